import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import Logging
import Planning
import SSHFleet
import Testing

/// A lab of one site of its own, with a thin WAN: started for one test and ended with it.
struct RelayLab {
    let hosts: [ForecacheModel.Host]
    private let values: [String: String]
    private let command: [String]
    private let bridge: String

    static let image = ImageFile(bytes: 40_000_000)

    /// Six nodes behind 40 Mbit/s, with 200 Mbit/s between them. The lab of the other tests only says where the program lies.
    static func run(_ body: (RelayLab) async throws -> Void) async throws {
        let program = try #require(try LabFile.read()["LAB"]?.split(separator: " ").first.map(String.init))
        let name = "relay\(ProcessInfo.processInfo.processIdentifier)"
        let command = [program, "--name", name, "--state", "/tmp/forecache-\(name)"]
        defer {
            // What cannot be ended is shown by the lab's own lists; the test has its result by then.
            _ = try? shell(command + ["down", "--purge"])
        }
        try shell(command + ["up", "--parts", "nodes", "--sites", "edge:6", "--node-disk", "256M", "--wan", "40mbit", "--lan", "200mbit"])
        try await body(RelayLab(LabFile.read("/tmp/forecache-\(name)/lab.env"), command))
    }

    private init(_ values: [String: String], _ command: [String]) throws {
        (self.values, self.command) = (values, command)
        hosts = try #require(values["NODES"]).split(separator: " ").map { node in
            let key = node.replacingOccurrences(of: "-", with: "_")
            return ForecacheModel.Host(
                name: HostName(String(node)), site: "edge", role: "Compute", address: try #require(values["ADDRESS_\(key)"]),
                peerAddress: values["INTERNAL_API_\(key)"],
                ssh: SSHSettings(
                    user: try #require(values["SSH_USER"]), identityFiles: [try #require(values["SSH_IDENTITY"])],
                    knownHostsFiles: [try #require(values["SSH_KNOWN_HOSTS"])], connectTimeoutSeconds: 3))
        }
        let server = hosts[0].address.split(separator: ".").dropLast().joined(separator: ".") + ".1"
        bridge = try #require(
            try Self.shell(["/sbin/ip", "-o", "address", "show", "to", server]).split(separator: " ").dropFirst().first.map(String.init))
    }

    var serverAddress: String { hosts[0].address.split(separator: ".").dropLast().joined(separator: ".") + ".1" }

    /// `lab WORD …` for this lab.
    func lab(_ words: String...) throws { try Self.shell(command + words) }

    /// What this machine has sent into the site, with the headers of every packet.
    func wanBytes() throws -> Int {
        try #require(
            Int(
                try String(contentsOfFile: "/sys/class/net/\(bridge)/statistics/tx_bytes", encoding: .utf8).trimmingCharacters(
                    in: .newlines)))
    }

    func baseFile(on host: ForecacheModel.Host, of image: ImageFile) throws -> URL {
        URL(fileURLWithPath: try #require(values["INSTANCES_\(host.name.rawValue.replacingOccurrences(of: "-", with: "_"))"]))
            .appending(path: "_base/\(image.name)")
    }

    func temporary(on host: ForecacheModel.Host, of image: ImageFile) throws -> URL {
        try baseFile(on: host, of: image).deletingLastPathComponent()
            .appending(path: ".forecache/\(image.name).\(image.request.digest.hex.prefix(16)).part")
    }

    func bytes(in file: URL) -> Int {
        // Not there yet: nothing came.
        (try? FileManager.default.attributesOfItem(atPath: file.path)[.size] as? Int) ?? 0
    }

    /// Surveys, plans and executes one image by relay; `happen` runs beside it.
    func relay(
        _ image: ImageFile, grant: DownloadGrant, _ happen: @escaping @Sendable () async throws -> Void = {}
    ) async throws -> (outcomes: [Outcome], seconds: Double) {
        let fleet = SSHFleet(
            settings: SSHFleetSettings(
                peer: PeerSettings(
                    user: values["PEER_USER"], identity: values["PEER_IDENTITY"], port: values["PEER_PORT"].flatMap { Int($0) },
                    knownHosts: values["PEER_KNOWN_HOSTS"])), limits: Limits(), logger: Logger(label: "lab"))
        let facts = ImageFacts(
            id: image.request.image, status: .active, diskFormat: "raw", sizeBytes: image.request.bytes, digest: image.request.digest)
        var observed: [HostName: HostObservation] = [:]
        for host in hosts { observed[host.name] = .surveyed(try await fleet.survey(host)) }
        let inventory = Fleet(sites: [Site(name: "edge", hosts: hosts)])
        let placements = hosts.map { Placement(image: facts.id, site: "edge", role: $0.role, host: $0.name, rule: "lab") }
        let plan = Planner.plan(
            Decision(image: facts, placements: placements), fleet: inventory, observed: observed, defaults: PlanningDefaults())
        #expect(plan.sites.first?.isRelayed == true)
        #expect(PlanCheck.violations(plan, fleet: inventory, observed: observed).isEmpty)
        let executor = PlanExecutor(
            hosts: fleet, catalog: OneImage(facts: facts, grant: grant), forks: Forks(50), imagesPerSite: 1, clock: WallClock(),
            logger: Logger(label: "lab"))
        let start = ContinuousClock.now
        async let happened: Void = happen()
        let outcomes = await executor.execute(plan, fleet: inventory)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        try await happened
        await fleet.close()
        return (outcomes, seconds)
    }

    @discardableResult
    private static func shell(_ words: [String]) throws -> String {
        let (process, output) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: words[0])
        process.arguments = Array(words.dropFirst())
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(words.joined(separator: " ")): \(text)")
        return text
    }
}

/// Glance's part for one image.
private struct OneImage: ImageCatalog {
    let facts: ImageFacts
    let grant: DownloadGrant

    func image(_ id: ImageID) async throws(Failure) -> ImageFacts? { facts }
    func images(named name: String?) async throws(Failure) -> [ImageFacts] { [facts] }
    func download(of id: ImageID, endpoint: String?, refused: Secret?) async throws(Failure) -> DownloadGrant { grant }
    func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8] { [] }
}
