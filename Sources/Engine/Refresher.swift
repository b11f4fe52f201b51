public import ForecacheModel
import FoundationEssentials
public import Logging
import Planning

/// Touches base files ahead of their TTL, for ever: due placements are taken soonest expiry first and sent to each host in one command.
public struct Refresher<C: Clock>: Sendable where C.Instant == WallInstant {
    private let hosts: any HostOperations
    private let ledger: any Ledger
    private let policy: CurrentPolicy
    private let surveyor: Surveyor<C>
    private let forks: Forks
    private let counters: EngineCounters
    private let limits: Limits
    private let clock: C
    private let logger: Logger
    private let workWakeup: Wakeup
    private let wakeup = Wakeup()

    public init(
        hosts: any HostOperations, ledger: any Ledger, policy: CurrentPolicy, surveyor: Surveyor<C>, forks: Forks, counters: EngineCounters,
        limits: Limits, clock: C, logger: Logger, workWakeup: Wakeup
    ) {
        self.hosts = hosts
        self.ledger = ledger
        self.policy = policy
        self.surveyor = surveyor
        self.forks = forks
        self.counters = counters
        self.limits = limits
        self.clock = clock
        self.logger = logger
        self.workWakeup = workWakeup
    }

    /// Runs until cancelled; throws where the ledger fails.
    public func run() async throws(Failure) {
        while !Task.isCancelled {
            let due = try await ledger.dueRefreshes(at: clock.now.date, limit: limits.forks * limits.touchesPerCommand)
            if due.isEmpty {
                // A placement that becomes due sooner than the ledger says now is found within a second: TTLs are minutes at least.
                let next = try await ledger.nextRefresh().map { WallInstant($0) } ?? clock.now.advanced(by: .seconds(60))
                let soonest = clock.now.advanced(by: .seconds(1))
                await wakeup.sleep(until: max(soonest, min(next, clock.now.advanced(by: .seconds(5)))), clock: clock)
            } else {
                _ = try await touch(due)
            }
        }
    }

    /// Touches these placements now, hosts side by side; one outcome each. What is missing on its host becomes work.
    public func touch(_ placements: [PlacementRecord]) async throws(Failure) -> [Outcome] {
        let byHost = Dictionary(grouping: placements, by: \.host)
        return try await withThrowingFailureGroup { group in
            for (name, placements) in byHost {
                for start in stride(from: 0, to: placements.count, by: limits.touchesPerCommand) {
                    let batch = Array(placements[start..<min(start + limits.touchesPerCommand, placements.count)])
                    group.addTask { try await touch(batch, on: name) }
                }
            }
        }
    }

    private func touch(_ placements: [PlacementRecord], on name: HostName) async throws(Failure) -> [Outcome] {
        let started = clock.now
        let names = Dictionary(placements.map { (BaseFileName(of: $0.image), $0) }) { first, _ in first }
        let answers: [BaseFileName: Touch]
        do throws(Failure) {
            guard let host = policy.value.fleet.host(name) else {
                throw Failure(
                    .permanent, "host \(name) is not in the inventory any longer; it is asked for no more once the image is looked at again"
                )
            }
            answers = try await forks.run { () async throws(Failure) in try await hosts.touch(names.keys.sorted(), on: host) }
        } catch {
            return try await failed(placements, error)
        }
        let seconds = started.duration(to: clock.now).seconds / Double(max(1, placements.count))
        var outcomes: [Outcome] = []
        var missing: [ImageID] = []
        for (baseFile, placement) in names {
            var outcome = Outcome(image: placement.image, site: placement.site, host: name, kind: .existing, seconds: seconds)
            if case .touched = answers[baseFile] ?? .missing {
                outcome.touchedAt = clock.now.date
            } else {
                missing.append(placement.image)
                outcome.kind = .failed
                outcome.failure = .retriable
                outcome.reason = "base file \(baseFile) is gone from \(name); the image is looked at again"
            }
            outcomes.append(outcome)
        }
        try await settle(outcomes, missing: missing, on: name)
        return outcomes
    }

    private func settle(_ outcomes: [Outcome], missing: [ImageID], on name: HostName) async throws(Failure) {
        let now = clock.now.date
        let touched = outcomes.filter { $0.kind == .existing }
        try await ledger.record(touched, at: now)
        for outcome in outcomes { counters.count(refresh: outcome) }
        logger.notice("refreshed", metadata: ["host": "\(name)", "touched": "\(touched.count)", "missing": "\(missing.count)"])
        guard !missing.isEmpty else { return }
        await surveyor.forget(name)
        let later = now.addingTimeInterval(Double(limits.backoffMaxSeconds))
        for outcome in outcomes where outcome.kind == .failed {
            try await ledger.postponeRefresh(outcome.image, on: name, until: later, reason: outcome.reason ?? "", at: now)
        }
        try await ledger.request(missing, cause: .refresh, at: now)
        await workWakeup.wake()
    }

    /// The host could not be asked: its placements come again after a pause that leaves room for several tries before they expire.
    private func failed(_ placements: [PlacementRecord], _ failure: Failure) async throws(Failure) -> [Outcome] {
        let now = clock.now.date
        if failure.kind != .cancelled {
            logger.warning("refresh failed", metadata: ["host": "\(placements.first.map { "\($0.host)" } ?? "")", "reason": "\(failure)"])
            for placement in placements {
                let margin = (placement.expiresAt ?? now).timeIntervalSince(now)
                // Expired already: no hurry helps, and it must not crowd out those that can still be kept.
                let soon = margin > 0 ? max(Double(limits.backoffSeconds), margin / 8) : Double(limits.backoffMaxSeconds)
                let pause = min(Double(limits.backoffMaxSeconds), soon)
                try await ledger.postponeRefresh(
                    placement.image, on: placement.host, until: now.addingTimeInterval(pause), reason: failure.description, at: now)
            }
        }
        return placements.map {
            Outcome(
                image: $0.image, site: $0.site, host: $0.host, kind: .failed, reason: failure.description, failure: failure.kind)
        }
    }

    private func withThrowingFailureGroup(
        _ fill: (inout ThrowingTaskGroup<[Outcome], any Error>) -> Void
    ) async throws(Failure) -> [Outcome] {
        do {
            return try await withThrowingTaskGroup(of: [Outcome].self) { group in
                fill(&group)
                return try await group.reduce(into: []) { $0 += $1 }
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.fatal, "refresh ended", cause: "\(error)")
        }
    }
}
