public import ForecacheModel
import FoundationEssentials
public import Logging

/// Takes work rows from the ledger as they fall due and reconciles `imagesAtOnce` of them side by side, each image at most once at a time. The ledger is the
/// queue; this loop holds nothing that a crash could lose.
public actor WorkLoop<C: Clock> where C.Instant == WallInstant {
    private let ledger: any Ledger
    private let reconciler: Reconciler<C>
    private let limits: Limits
    private let clock: C
    private let logger: Logger
    private let wakeup: Wakeup
    private var inFlight: Set<ImageID> = []
    private var isDraining = false
    /// A round could not be written down: the loop ends, and with it the process.
    private var hasFailed = false

    public init(ledger: any Ledger, reconciler: Reconciler<C>, limits: Limits, clock: C, logger: Logger, wakeup: Wakeup) {
        self.ledger = ledger
        self.reconciler = reconciler
        self.limits = limits
        self.clock = clock
        self.logger = logger
        self.wakeup = wakeup
    }

    /// Runs until drained or cancelled. Throws where the ledger fails: without it nothing may be done.
    public func run() async throws(Failure) {
        do {
            try await withThrowingDiscardingTaskGroup { group in
                while !isDraining, !Task.isCancelled, !hasFailed {
                    for row in try await ledger.dueWork(
                        at: clock.now.date, excluding: inFlight, limit: limits.imagesAtOnce - inFlight.count)
                    {
                        inFlight.insert(row.image)
                        group.addTask { try await self.reconcile(row) }
                    }
                    await wakeup.sleep(until: try await nextLook(), clock: clock)
                }
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.fatal, "work loop ended", cause: "\(error)")
        }
    }

    /// Takes no more rows; `run` returns when those under way have ended.
    public func drain() async {
        isDraining = true
        await wakeup.wake()
    }

    public var imagesInFlight: Int { inFlight.count }

    private func reconcile(_ row: WorkRow) async throws(Failure) {
        let end = await reconciler.reconcile(row.image, cause: row.cause)
        do throws(Failure) {
            try await settle(row, end)
        } catch {
            hasFailed = true
            inFlight.remove(row.image)
            await wakeup.wake()
            throw error
        }
        inFlight.remove(row.image)
        await wakeup.wake()
    }

    private func settle(_ row: WorkRow, _ end: Reconciler<C>.End) async throws(Failure) {
        switch end {
        case .settled: try await ledger.finish(row)
        case .again(let reason, let isPermanent):
            let wait = isPermanent ? Double(limits.backoffMaxSeconds) : backoff(after: row.attempts)
            logger.notice(
                "tried again later",
                metadata: ["image": "\(row.image)", "in_seconds": "\(Int(wait))", "attempt": "\(row.attempts + 1)", "reason": "\(reason)"])
            try await ledger.postpone(row, until: clock.now.date.addingTimeInterval(wait), reason: reason)
        case .stopped: break  // the row stays as it is: the next start finds it due
        }
    }

    private func nextLook() async throws(Failure) -> WallInstant {
        // Full: only a finished round makes room. Rows that are in flight may be the earliest due, and must not make this loop spin.
        let idle = clock.now.advanced(by: .seconds(30))
        guard inFlight.count < limits.imagesAtOnce, let due = try await ledger.nextWorkDue() else { return idle }
        let soonest = inFlight.isEmpty ? clock.now : clock.now.advanced(by: .seconds(1))
        return min(idle, max(soonest, WallInstant(due)))
    }

    /// Doubled each time up to the bound, with jitter so that a site that comes back is not met by everything at once.
    private func backoff(after attempts: Int) -> Double {
        let doubled = Double(limits.backoffSeconds) * Double(1 << min(attempts, 30))
        return min(doubled, Double(limits.backoffMaxSeconds)) * Double.random(in: 0.75...1.25)
    }
}
