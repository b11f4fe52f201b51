import Engine
import ForecacheModel
import Foundation

/// All ways of bringing the lab's image to its hosts, one after the other.
struct RelayBench {
    enum Way: String, CaseIterable {
        case direct, proxy, star, binomial
    }

    let lab: RelayLab
    let directory: String
    let wan: Int
    let bytes: Int64

    private struct Run {
        /// From the start to each host's base file; a host that never had it is missing.
        var seconds: [String: Double] = [:]
        var processorSeconds = 0.0
        /// Of all processors of this machine, which is every host, the LAN and Glance at once.
        var busyShare = 0.0
        var wanBytes: Int64 = 0
        var text = ""

        func last(of hosts: some Sequence<String>) -> Double { hosts.map { seconds[$0] ?? .infinity }.max() ?? 0 }
    }

    /// A host that has half of the image when the first one is to be disturbed: the seed's first child has others below it.
    private var middle: String { lab.nodes[1] }
    private var fastest: Double { Double(bytes) * 8 / (Double(wan) * 1e6) }

    func measure(beside ways: [Way]) async throws -> [Reading] {
        let (count, nodes) = (lab.nodes.count, lab.nodes)
        let head = "\(count) hosts"
        let bar = count <= 8 ? 1.15 : 1.25
        let relay = try await forecache("relay", expecting: nodes)
        let last = relay.last(of: nodes)
        var readings = [
            Reading("\(head), relay: last host done", last, "s"),
            Reading("\(head), relay: over size / WAN rate", last / fastest, "x").atMost(bar),
            Reading("\(head), relay: WAN bytes over size", Double(relay.wanBytes) / Double(bytes), "x").atMost(1.02),
            Reading(
                "\(head), relay: controller's CPU a GiB delivered",
                relay.processorSeconds / (Double(bytes) * Double(count) / Double(1 << 30)), "s"
            ).below(0.5, "below 0.5 s"),
            Reading("\(head), relay: this machine's processors busy", 100 * relay.busyShare, "%"),
        ]
        for way in ways {
            let seconds = try await self.seconds(of: way)
            readings.append(
                Reading("\(head), \(way.rawValue): last host done", seconds, "s")
                    .held(last < seconds, "relay is faster (\(number(seconds / last))x)"))
        }
        let others = nodes.filter { $0 != middle }
        let killed = try await forecache("relay", expecting: others) { try await lab.lab("node", "stop", middle) }
        try await lab.lab("node", "start", middle)
        readings.append(
            Reading("\(head), relay, a middle host dies: the others lose", killed.last(of: others) - relay.last(of: others), "s")
                .below(5, "below 5 s"))
        try await lab.lab("lan", middle, "\(max(1, lab.lanRate / 10))mbit")
        let slowed = try await forecache("relay", expecting: nodes, isLimited: true)
        try await lab.lab("lan", middle, "\(lab.lanRate)mbit")
        readings.append(
            Reading("\(head), relay, one at a tenth of the LAN: the others over size / WAN rate", slowed.last(of: others) / fastest, "x")
                .atMost(bar))
        return readings
    }

    private func seconds(of way: Way) async throws -> Double {
        switch way {
        case .direct, .proxy: try await forecache(way.rawValue, expecting: lab.nodes).last(of: lab.nodes)
        case .star: try await wholeFiles { holders, rest in rest.map { (holders[0], $0) } }
        // Each that has it gives it to one that has not: the holders double with each round.
        case .binomial: try await wholeFiles { holders, rest in Array(zip(holders, rest)) }
        }
    }

    // MARK: - forecache

    /// `forecache cache IMAGE --via VIA`; `disturb` runs once the middle host has a third of the bytes.
    private func forecache(
        _ via: String, expecting hosts: [String], isLimited: Bool = false, disturb: (() async throws -> Void)? = nil
    ) async throws -> Run {
        try lab.forget()
        try writeConfiguration()
        var environment = lab.values.filter { $0.key.hasPrefix("OS_") }
        environment.merge(RelayLab.plain) { own, _ in own }
        let log = "\(directory)/cache-\(via).log"
        let before = try lab.wanBytes()
        let (processorBefore, machineBefore) = (ProcessorTime.ofEndedChildren, try ProcessorTime.ofTheMachine())
        let started = ContinuousClock.now
        let running = try Program(
            try Program.forecache(),
            ["cache", lab.image, "--via", via, "--forks", "\(lab.nodes.count)", "--config", "\(directory)/forecache.yaml"],
            environment: environment
        ).start(log: log)
        defer { running.end() }
        var run = Run()
        var disturbance = disturb
        while running.isRunning {
            note(&run, since: started)
            if let disturb = disturbance, temporaryBytes(middle) > bytes / 3 {
                disturbance = nil
                try await disturb()
            }
            guard started.duration(to: .now) < .seconds(900) else {
                throw Failure(.permanent, "forecache cache --via \(via) took more than 15 minutes: see \(log)")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        note(&run, since: started)
        _ = await running.status()
        run.processorSeconds = ProcessorTime.ofEndedChildren - processorBefore
        let passed = started.duration(to: .now).seconds * Double(ProcessInfo.processInfo.activeProcessorCount)
        run.busyShare = (try ProcessorTime.ofTheMachine() - machineBefore) / passed
        run.wanBytes = try lab.wanBytes() - before
        run.text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""  // without it there is nothing to show
        guard hosts.allSatisfy({ run.seconds[$0] != nil }) else {
            throw Failure(.permanent, "forecache cache --via \(via) left hosts without the image", cause: String(run.text.suffix(3000)))
        }
        say(
            "  \(lab.nodes.count) hosts, \(via)\(disturb == nil ? "" : ", disturbed")\(isLimited ? ", one limited" : ""): \(number(run.last(of: hosts))) s"
        )
        return run
    }

    private func note(_ run: inout Run, since started: ContinuousClock.Instant) {
        for node in lab.nodes where run.seconds[node] == nil && lab.isThere(node) {
            run.seconds[node] = started.duration(to: .now).seconds
        }
    }

    private func temporaryBytes(_ node: String) -> Int64 {
        let folder = "\(lab.instances(node))/_base/.forecache"
        // Not made yet: nothing has come.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let sizes = names.map { name -> Int64 in
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")  // gone meanwhile: nothing
            return attributes?[.size] as? Int64 ?? 0
        }
        return sizes.max() ?? 0
    }

    private func writeConfiguration() throws {
        let text = """
            inventory: ["\(lab.values["INVENTORY"] ?? "")"]
            ssh: { user: \(lab.values["SSH_USER"] ?? ""), identity: ["\(lab.values["SSH_IDENTITY"] ?? "")"], known_hosts: "\(
                lab.values["SSH_KNOWN_HOSTS"] ?? "")" }
            state: "\(directory)/by-hand.sqlite"
            """
        try (text + "\n").write(toFile: "\(directory)/forecache.yaml", atomically: true, encoding: .utf8)
    }

    // MARK: - Whole files

    /// The seed downloads, then `pairs` of (from, to) copy side by side, again until all have it. Seconds.
    private func wholeFiles(_ pairs: ([String], [String]) -> [(String, String)]) async throws -> Double {
        try lab.forget()
        let file = "/var/lib/nova/instances/whole"
        let token = try await Program(
            "/bin/bash", ["-c", ". \"$1/overcloudrc\" && openstack token issue -f value -c id", "bash", lab.state],
            environment: RelayLab.plain
        ).succeed(log: "\(directory)/token.log").text.trimmingCharacters(in: .whitespacesAndNewlines)
        // As nova and onto nova's own disk, whose top belongs to root until something was made in it.
        for node in lab.nodes {
            try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: lab.instances(node))
        }
        let started = ContinuousClock.now
        let url = "\(lab.values["GLANCE_URL"] ?? "")/v2/images/\(lab.image)/file"
        let shell = lab.shell
        try await shell.run(
            "curl -sSf -o \(file) -H 'X-Auth-Token: \(token)' \(url) && chmod 0644 \(file) 2>/dev/null; test -s \(file)",
            on: lab.nodes[0], log: "\(directory)/seed.log")
        var (holders, rest) = ([lab.nodes[0]], Array(lab.nodes.dropFirst()))
        while !rest.isEmpty {
            let round = pairs(holders, rest)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, (source, target)) in round.enumerated() {
                    let (shell, log) = (shell, "\(directory)/scp-\(index).log")
                    let copy = "scp -q -O nova_migration@\(shell.innerAddress(source)):\(file) \(file)"
                    group.addTask { try await shell.run("sudo -n podman exec -u nova nova_compute \(copy)", on: target, log: log) }
                }
                try await group.waitForAll()
            }
            holders += round.map(\.1)
            rest.removeAll { target in round.contains { $0.1 == target } }
        }
        return started.duration(to: .now).seconds
    }
}
