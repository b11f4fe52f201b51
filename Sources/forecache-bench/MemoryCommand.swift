import ArgumentParser
import ForecacheModel
import Foundation

/// Resident memory of the real service beside a large ledger: `forecache watch` itself, subscribed to a real broker, read from /proc.
struct MemoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memory",
        abstract: "Resident memory of `forecache watch` with 10,000 images x 200 hosts in its ledger.",
        discussion: """
            Takes a broker of the lab (deploy/lab/lab up --parts rabbitmq); queue and exchange are its own and are deleted at the end. Glance and the \
            hosts are away. The program is FORECACHE_BINARY, or `forecache` beside this one. Filling the ledger takes a few minutes: --ledger keeps it.
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "oslo's transport_url; default: RABBITMQ_URL of the file that FORECACHE_LAB_ENV names.")
    var url: String?

    @Option(help: "Images in the ledger (1 to 100000).")
    var images = 10_000

    @Option(help: "Hosts that each of them is on (1 to 2000).")
    var hosts = 200

    @Option(help: ArgumentHelp("A filled ledger to keep and use again; made where it does not exist.", valueName: "file"))
    var ledger: String?

    /// What the service may have resident, in MiB.
    private static let barMiB = 150.0

    func validate() throws {
        try hold([("images", images, 1...100_000), ("hosts", hosts, 1...2000)])
    }

    func run() async throws {
        try await reporting {
            let url = try LabValues.url(given: url)
            let scratch = try Scratch(below: common.state)
            defer { scratch.remove() }
            let fleet = MadeUpFleet.fleet(sites: 1, hosts: hosts)
            let file = ledger ?? "\(scratch.path)/ledger.sqlite"
            let filling = LedgerFilling(path: file, fleet: fleet, imageCount: images)
            try await filling.fill()
            let service = try WatchedService(directory: scratch.path, ledger: file, fleet: fleet, url: url)
            let report = try await service.running { try await measure(service, filling) }
            try report.print(as: common.output)
        }
    }

    private func measure(_ service: WatchedService, _ filling: LedgerFilling) async throws -> Report {
        var report = Report(bench: "memory")
        func note(_ name: String) throws {
            report.readings.append(try Reading(name, service.memory().residentMiB, "MiB").below(Self.barMiB, "below 150 MiB"))
        }
        func timed(_ name: String, _ path: String) async throws {
            let answer = try await service.get(path)
            report.readings.append(Reading("\(name): time", answer.seconds, "s"))
            report.readings.append(Reading("\(name): bytes", Double(answer.bytes), "B"))
            try note("resident after it")
        }
        try await service.settle()
        try note("resident, settled")
        try await timed("status of one image", "/api/v1/status?image=\(filling.image(images / 2))")
        try await timed("metrics", "/metrics")
        try await timed("page", "/")
        try await timed("whole status", "/api/v1/status")
        report.readings.append(
            try Reading("resident, at most", service.memory().peakMiB, "MiB").below(Self.barMiB, "below 150 MiB"))
        report.notes = [
            "\(images) images on \(hosts) hosts, \(images * hosts) placements; ledger \(number(filling.fileMiB)) MiB; "
                + "\(service.binary); VmRSS and VmHWM of /proc.",
            "Subscribed to a real broker; Glance and the hosts are away, so the list of images from Glance is not in these figures.",
        ]
        return report
    }
}
