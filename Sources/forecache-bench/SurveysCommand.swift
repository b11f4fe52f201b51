import ArgumentParser
import Engine
import ForecacheModel
import Foundation
import Logging
import Planning
import SQLiteLedger
import SSHFleet

/// Resident memory of the surveys that the engine keeps, and the time that one image's question about all hosts takes: `Surveyor` on made-up hosts.
struct SurveysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "surveys", abstract: "Memory and time of the kept surveys of 200 hosts with 10,000 base files each.")

    @OptionGroup var common: CommonOptions

    @Option(help: "Hosts (1 to 2000).")
    var hosts = 200

    @Option(help: "Base files on each of them (1 to 100000).")
    var baseFiles = 10_000

    private static let questions = 20

    func validate() throws {
        try hold([("hosts", hosts, 1...2000), ("base-files", baseFiles, 1...100_000)])
    }

    func run() async throws {
        try await reporting {
            let scratch = try Scratch(below: common.state)
            defer { scratch.remove() }
            try await measure(scratch).print(as: common.output)
        }
    }

    private func measure(_ scratch: Scratch) async throws -> Report {
        let fleet = MadeUpFleet.fleet(sites: 1, hosts: hosts)
        let ledger = try SQLiteLedger(path: "\(scratch.path)/ledger.sqlite", refresh: RefreshSchedule(), limits: Limits())
        let surveyor = Surveyor(
            hosts: MadeUpHosts(baseFiles: baseFiles), ledger: ledger, limits: Limits(), forks: Forks(Limits().forks), clock: WallClock(),
            logger: Logger(label: "forecache-bench") { _ in SwiftLogNoOpLogHandler() }, workWakeup: Wakeup())
        guard let image = ImageID("07bc2424-753b-4f65-9da5-000000000000") else { throw Failure(.fatal, "no id") }
        // As the fleet of the service does.
        SSHFleet.giveMemoryBack()
        let before = try ProcessMemory()
        _ = await surveyor.observations(of: fleet.hosts, for: image)
        let after = try ProcessMemory()
        let took = await ContinuousClock().measure {
            for _ in 0..<Self.questions { _ = await surveyor.observations(of: fleet.hosts, for: image) }
        }
        var report = Report(bench: "surveys")
        report.readings = [
            Reading("resident before", before.residentMiB, "MiB"),
            Reading("resident, all hosts surveyed", after.residentMiB, "MiB").below(150, "below 150 MiB"),
            Reading("resident, at most", try ProcessMemory().peakMiB, "MiB"),
            Reading("one image's question about all hosts", took.seconds * 1000 / Double(Self.questions), "ms").below(10, "below 10 ms"),
        ]
        report.notes = ["\(hosts) hosts with \(baseFiles) base files each, surveyed \(Limits().forks) at once and then known."]
        return report
    }
}

/// Hosts that are full of base files and can do nothing else.
struct MadeUpHosts: HostOperations {
    let baseFiles: Int

    func survey(_ host: ForecacheModel.Host) async throws(Failure) -> HostSurvey {
        let files = (0..<baseFiles).compactMap { index in
            BaseFileName(String(format: "%040x", index)).map {
                BaseFile(name: $0, bytes: 2 << 30, allocatedBytes: 1 << 30, ageSeconds: Double(index))
            }
        }
        return HostSurvey(host: host.name, surveyedAt: Date(), baseFiles: files)
    }

    func fetch(
        _ request: BaseFileRequest, with grant: DownloadGrant, on host: ForecacheModel.Host, progress: @escaping Engine.Progress
    ) async throws(Failure) -> Transfer { throw Self.idle }

    func receive(
        _ request: BaseFileRequest, from source: @escaping ByteSource, on host: ForecacheModel.Host, progress: @escaping Engine.Progress
    ) async throws(Failure) -> Transfer { throw Self.idle }

    func copy(
        _ request: BaseFileRequest, from source: ForecacheModel.Host, on host: ForecacheModel.Host, progress: @escaping Engine.Progress
    ) async throws(Failure) -> Transfer { throw Self.idle }

    func publish(_ request: BaseFileRequest, on host: ForecacheModel.Host) async throws(Failure) -> Bool { throw Self.idle }

    func release(_ request: BaseFileRequest, on host: ForecacheModel.Host) async throws(Failure) { throw Self.idle }

    func touch(_ names: [BaseFileName], on host: ForecacheModel.Host) async throws(Failure) -> [BaseFileName: Touch] { throw Self.idle }

    func sweep(olderThanSeconds: Int, on host: ForecacheModel.Host) async throws(Failure) -> Int64 { throw Self.idle }

    private static let idle = Failure(.permanent, "a made-up host can only be surveyed")
}
