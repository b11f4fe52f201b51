import Engine
import ForecacheModel
public import Logging
import Planning
import SSHFleet

/// Looks at every host, and at Glance for the names of what lies there.
public struct Survey: Sendable {
    private let setup: Setup
    private let environment: [String: String]
    private let logger: Logger

    public init(setup: Setup, environment: [String: String], logger: Logger) {
        self.setup = setup
        self.environment = environment
        self.logger = logger
    }

    /// A survey needs no Glance: without it base files stay without their images' ids, and `note` says why. The exit code speaks of the hosts that were asked.
    public func report(note: (String) -> Void) async throws(Refusal) -> (report: SurveyReport, exitCode: Int32) {
        let hosts = Shells.hosts(setup, logger: logger)
        let images = await Shells.imagesByName(setup, environment: environment, logger: logger) { reason in
            note("base files are shown without their images: \(reason)")
        }
        let observer = HostObserver(hosts: hosts, forks: setup.configuration.limits.forks)
        let observed = await observer.observe(setup.policy)
        await hosts.close()
        let observations = setup.fleet.hosts.map { ($0, observed[$0.name] ?? .unreachable(reason: "not surveyed")) }
        return (SurveyReport(observations, images: images.mapValues(\.id)), ExitStatus.code(observations.map(\.1)))
    }
}

extension ExitStatus {
    /// Hosts that are left to Nova are not asked, so they do not count.
    static func code(_ observations: [HostObservation]) -> Int32 {
        var (asked, failed) = (0, 0)
        for observation in observations {
            switch observation {
            case .told: break
            case .surveyed: asked += 1
            case .unreachable: (asked, failed) = (asked + 1, failed + 1)
            }
        }
        return code(failed: failed, of: asked)
    }
}
