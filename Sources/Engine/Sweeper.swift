public import ForecacheModel
import FoundationEssentials
public import Logging

/// Sweeps our own stale temporaries from all hosts, at start and once a day: what a killed transfer left behind and nobody resumed.
public struct Sweeper<C: Clock>: Sendable where C.Instant == WallInstant {
    private let hosts: any HostOperations
    private let policy: CurrentPolicy
    private let forks: Forks
    private let limits: Limits
    private let clock: C
    private let logger: Logger

    public init(hosts: any HostOperations, policy: CurrentPolicy, forks: Forks, limits: Limits, clock: C, logger: Logger) {
        self.hosts = hosts
        self.policy = policy
        self.forks = forks
        self.limits = limits
        self.clock = clock
        self.logger = logger
    }

    /// Runs until cancelled.
    public func run() async {
        while !Task.isCancelled {
            await withTaskGroup(of: Void.self) { group in
                for host in policy.value.hostsWithSSH { group.addTask { await sweep(host) } }
            }
            // Throws on cancellation only, which ends the loop.
            try? await clock.sleep(until: clock.now.advanced(by: .seconds(86400)), tolerance: nil)
        }
    }

    private func sweep(_ host: Host) async {
        do throws(Failure) {
            let freed = try await forks.run { () async throws(Failure) in
                try await hosts.sweep(olderThanSeconds: limits.temporarySeconds, on: host)
            }
            if freed > 0 { logger.notice("swept stale temporaries", metadata: ["host": "\(host.name)", "bytes": "\(freed)"]) }
        } catch {
            // The survey says what is wrong with a host; a missed sweep costs a day.
            logger.debug("sweep failed", metadata: ["host": "\(host.name)", "reason": "\(error)"])
        }
    }
}
