import Engine
import ForecacheModel
public import Logging
import Planning
import SSHFleet

/// Looks into the base files that already lie on the hosts. Reads a few ranges of each over SSH; no `qemu-img` ever sees them.
public struct Scan: Sendable {
    private let setup: Setup
    private let environment: [String: String]
    private let logger: Logger

    public init(setup: Setup, environment: [String: String], logger: Logger) {
        self.setup = setup
        self.environment = environment
        self.logger = logger
    }

    /// Needs no Glance: without it files are not compared with what it declares, and `note` says why. `tell` hears of each host as it is done.
    public func report(note: (String) -> Void, tell: (ScanReport.HostRow) -> Void) async throws(Refusal) -> ScanReport {
        let hosts = Shells.hosts(setup, logger: logger)
        let images = await Shells.imagesByName(setup, environment: environment, logger: logger) { reason in
            note("base files are not compared with what Glance declares: \(reason)")
        }
        let observer = HostObserver(hosts: hosts, forks: setup.configuration.limits.forks)
        let observed = await observer.observe(setup.policy)
        let (scan, forks) = (BaseFileScan(hosts: hosts), Forks(setup.configuration.limits.forks))
        let rows = await withTaskGroup(of: ScanReport.HostRow.self) { group in
            for host in setup.fleet.hosts {
                let observation = observed[host.name] ?? .unreachable(reason: "not surveyed")
                group.addTask {
                    // Cancelled while it waited: nothing was looked at.
                    let row = try? await forks.run { () async throws(Failure) in await look(at: host, observation, images, scan) }
                    return row ?? ScanReport.HostRow(host, error: "told to stop before it was looked at")
                }
            }
            return await group.reduce(into: [ScanReport.HostRow]()) { rows, row in
                tell(row)
                rows.append(row)
            }
        }
        await hosts.close()
        if Task.isCancelled { throw .failed(Failure(.cancelled, "told to stop before all hosts were looked at")) }
        return ScanReport(hosts: rows.sorted { ($0.site, $0.host) < ($1.site, $1.host) }, asked: ExitStatus.code(Array(observed.values)))
    }

    private func look(
        at host: Host, _ observation: HostObservation, _ images: [BaseFileName: ImageFacts], _ scan: BaseFileScan
    ) async -> ScanReport.HostRow {
        switch observation {
        case .unreachable(let reason): return ScanReport.HostRow(host, error: reason)
        case .told: return ScanReport.HostRow(host, error: "left to Nova")
        case .surveyed(let survey):
            var row = ScanReport.HostRow(host, error: nil)
            // Where the operator places originals whatever nova.conf says, they are no surprise.
            let forcesRaw = setup.configuration.node.format.isRaw(forcesRawImages: survey.forcesRawImages)
            for file in survey.baseFiles.sorted(by: { $0.name < $1.name }) {
                if Task.isCancelled { break }
                row.files.append(await scan.row(file, of: images[file.name], on: host, forcesRaw: forcesRaw))
            }
            return row
        }
    }
}
