import Engine
import ForecacheModel
import Foundation
import Logging
import SSHFleet

/// Rounds of both sides on the hosts of one sshd.
struct FanoutBench {
    struct Wall {
        var hosts: Int
        var seconds: [Double]
    }

    struct Result {
        /// Seconds of each round over all hosts.
        var ours: [Double]
        var theirs: [Double]
        /// A quarter, half and all of the hosts.
        var walls: [Wall]
        var connectionsPerHost: Double
        var peakMiB: Double
        /// CPU seconds of one round over all hosts, sshd's not included.
        var processorSeconds: Double
        var peerProcessorSeconds: Double
    }

    private let directory: String
    private let daemon: OwnSSHD
    private let forks: Int
    private let names: [BaseFileName]

    init(directory: String, images: Int, forks: Int) async throws {
        (self.directory, self.forks) = (directory, forks)
        names = (0..<images).compactMap { BaseFileName(String(format: "%040x", $0)) }
        daemon = try await OwnSSHD(directory: directory, listenAddress: "0.0.0.0", addresses: (1...250).map(Self.address))
        for name in names {
            try Data("base file\n".utf8).write(to: URL(filePath: "\(daemon.cacheDirectory)/\(name)"))
        }
    }

    func whileListening<Value>(_ body: () async throws -> Value) async throws -> Value { try await daemon.whileListening(body) }

    func measure(hosts count: Int, rounds: Int) async throws -> Result {
        let hosts = (1...count).map(host)
        // Once, so that neither side pays for what the kernel has not read yet.
        _ = try await touch(Array(hosts.prefix(4)))
        var result = Result(
            ours: [], theirs: [], walls: [count / 4, count / 2, count].map { Wall(hosts: $0, seconds: []) }, connectionsPerHost: 0,
            peakMiB: 0, processorSeconds: 0, peerProcessorSeconds: 0)
        var (ownCPU, peerCPU): ([Double], [Double]) = ([], [])
        for round in 1...rounds {
            for index in result.walls.indices {
                let before = (daemon.logins, ProcessorTime.ours)
                let seconds = try await touch(Array(hosts.prefix(result.walls[index].hosts)))
                result.walls[index].seconds.append(seconds)
                guard index == result.walls.count - 1 else { continue }
                result.ours.append(seconds)
                ownCPU.append(ProcessorTime.ours - before.1)
                result.connectionsPerHost = Double(daemon.logins - before.0) / Double(count)
            }
            say("round \(round) of \(rounds): forecache touched \(count) hosts in \(number(result.ours.last ?? 0)) s")
            let before = ProcessorTime.ofEndedChildren
            result.theirs.append(try await ansible(hosts))
            peerCPU.append(ProcessorTime.ofEndedChildren - before)
            say("round \(round) of \(rounds): ansible touched \(count) hosts in \(number(result.theirs.last ?? 0)) s")
        }
        result.peakMiB = try ProcessMemory().peakMiB
        (result.processorSeconds, result.peerProcessorSeconds) = (median(ownCPU), median(peerCPU))
        return result
    }

    // MARK: - The two sides

    /// Seconds until all hosts are touched and logged out of.
    private func touch(_ hosts: [ForecacheModel.Host]) async throws -> Double {
        try age()
        var limits = Limits()
        limits.forks = forks
        let fleet = SSHFleet(
            settings: SSHFleetSettings(cacheDirectory: daemon.cacheDirectory, container: nil), limits: limits,
            logger: Logger(label: "forecache-bench") { _ in SwiftLogNoOpLogHandler() })
        let (line, names) = (Forks(forks), names)
        let started = ContinuousClock.now
        let missing = try await withThrowingTaskGroup(of: Int.self) { group in
            for host in hosts {
                group.addTask {
                    try await line.run { () async throws(Failure) in
                        try await fleet.touch(names, on: host).values.filter { $0 == .missing }.count
                    }
                }
            }
            return try await group.reduce(0, +)
        }
        let seconds = started.duration(to: .now).seconds
        await fleet.close()
        guard missing == 0 else { throw Failure(.fatal, "\(missing) base files were not found where they lie") }
        try checkAges()
        return seconds
    }

    private func ansible(_ hosts: [ForecacheModel.Host]) async throws -> Double {
        try age()
        let inventory = hosts.map { "\($0.name) ansible_host=\($0.address) ansible_port=\(OwnSSHD.port)" }.joined(separator: "\n")
        let options = "-o UserKnownHostsFile=\(directory)/known_hosts"
        let text = """
            \(inventory)
            [all:vars]
            ansible_user=root
            ansible_ssh_private_key_file=\(directory)/user
            ansible_ssh_common_args=\(options)
            """
        try (text + "\n").write(toFile: "\(directory)/inventory.ini", atomically: true, encoding: .utf8)
        try "[defaults]\n".write(toFile: "\(directory)/ansible.cfg", atomically: true, encoding: .utf8)
        let files = names.map { "\(daemon.cacheDirectory)/\($0)" }.joined(separator: " ")
        let ended = try await Program(
            "/usr/bin/ansible",
            ["all", "-i", "\(directory)/inventory.ini", "-f", "\(forks)", "-m", "raw", "-a", "touch -c -h -- \(files)"],
            environment: [
                "PATH": "/usr/bin:/bin", "HOME": "\(directory)/home", "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": "\(directory)/ansible.cfg",
                "ANSIBLE_NOCOLOR": "1", "ANSIBLE_SSH_CONTROL_PATH_DIR": "/run/cp\(UInt32.random(in: 0 ... .max))",
            ]
        ).succeed(log: "\(directory)/ansible.log")
        try checkAges()
        return ended.seconds
    }

    // MARK: - What is there

    private static func address(_ index: Int) -> String { "127.0.1.\(index)" }

    private func host(_ index: Int) -> ForecacheModel.Host { daemon.host(HostName("dcn1-compute-\(index)"), at: Self.address(index)) }

    /// Makes all base files an hour old.
    private func age() throws {
        for name in names {
            try FileManager.default.setAttributes(
                [.modificationDate: Date().addingTimeInterval(-3600)], ofItemAtPath: "\(daemon.cacheDirectory)/\(name)")
        }
    }

    private func checkAges() throws {
        for name in names {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(daemon.cacheDirectory)/\(name)")
            guard let date = attributes[.modificationDate] as? Date, Date().timeIntervalSince(date) < 1800 else {
                throw Failure(.fatal, "base file \(name) was not touched")
            }
        }
    }
}
