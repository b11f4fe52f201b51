import ForecacheModel
import FoundationEssentials
public import Logging
import Rules

/// Looks at every known image again: at start, after each reconnect, on reload, and every `interval`. An event that was lost costs at most that long.
public actor Resync<C: Clock> where C.Instant == WallInstant {
    private let catalog: any ImageCatalog
    private let ledger: any Ledger
    private let policy: CurrentPolicy
    private let rivals: RivalBook
    private let counters: EngineCounters
    private let interval: Duration
    private let clock: C
    private let logger: Logger
    private let workWakeup: Wakeup
    private let wakeup = Wakeup()
    private var failures = 0
    /// Whether what waits for another try is due with the next resync: at the start, and once Glance is back, the reason to wait may be gone.
    private var bringsForward = true
    /// Changes of the policy so far, and how many of them have been queued for.
    private var policyChanges = (seen: 0, queued: 0)

    public init(
        catalog: any ImageCatalog, ledger: any Ledger, policy: CurrentPolicy, counters: EngineCounters, intervalSeconds: Int,
        rivals: RivalBook, clock: C, logger: Logger, workWakeup: Wakeup
    ) {
        self.catalog = catalog
        self.ledger = ledger
        self.policy = policy
        self.rivals = rivals
        self.counters = counters
        self.interval = .seconds(intervalSeconds)
        self.clock = clock
        self.logger = logger
        self.workWakeup = workWakeup
        counters.resyncs(every: intervalSeconds)
    }

    /// Runs until cancelled.
    public func run() async {
        while !Task.isCancelled {
            var pause = interval
            do throws(Failure) {
                try await queueEverything()
                counters.resynced()
                failures = 0
            } catch {
                guard error.kind != .cancelled else { return }
                failures += 1
                bringsForward = true
                // Glance being away is common at start-up; the events keep coming meanwhile.
                pause = min(interval, .seconds(5 * failures))
                logger.warning("resync failed", metadata: ["reason": "\(error)", "again_in_seconds": "\(Int(pause.seconds))"])
            }
            // Each sleep is measured from its own beginning: the clock may be set back meanwhile.
            let rest = min(Self.rest, pause)
            // Throws on cancellation only, which ends the loop.
            try? await clock.sleep(until: clock.now.advanced(by: rest), tolerance: nil)
            await wakeup.sleep(until: clock.now.advanced(by: pause - rest), clock: clock)
        }
    }

    /// A broker that takes and drops us again and again must not make us list Glance each time: a resync waits `rest` after the last one.
    public func requestNow() { wakeup.wake() }

    /// Another policy is in force: every image is looked at as if for the first time, those that wait for another try as well.
    public func policyChanged() {
        policyChanges.seen += 1
        wakeup.wake()
    }

    private static var rest: Duration { .seconds(5) }

    /// Images that no rule wants and that the ledger never knew need no row.
    private func queueEverything() async throws(Failure) {
        let (policy, now, changes) = (policy.value, clock.now.date, policyChanges)
        var ids = try await knownImages()
        let (images, rivals) = try await rivals.list(for: policy.rules, at: now)
        for facts in images where !ids.contains(facts.id) {
            if !policy.rules.decide(facts, fleet: policy.fleet, now: now, among: rivals).placements.isEmpty { ids.insert(facts.id) }
        }
        try await ledger.request(ids.sorted(), cause: changes.seen > changes.queued ? .reload : .resync, at: now)
        policyChanges.queued = changes.seen
        if bringsForward { try await ledger.bringForward(ids.sorted(), at: now) }
        bringsForward = false
        logger.debug("resync", metadata: ["images": "\(ids.count)"])
        workWakeup.wake()
    }

    private func knownImages() async throws(Failure) -> Set<ImageID> {
        var ids: Set<ImageID> = []
        var last: ImageID?
        repeat {
            let page = try await ledger.images(after: last, limit: 1000)
            ids.formUnion(page.map(\.id))
            last = page.last?.id
        } while last != nil
        return ids
    }
}
