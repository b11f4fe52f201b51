public import ForecacheModel
import FoundationEssentials
public import Logging

/// Takes work rows from the ledger as they fall due and reconciles `imagesInFlight` of them side by side. The ledger is the queue; this loop holds nothing that
/// a crash could lose.
///
/// A round ends with its last site, which may take hours behind a thin line, and nobody else is to wait for that: rounds that only stand in the lines of their
/// sites make room for others, and an image whose round is that long is looked at again meanwhile, for all that the round is not at work on.
public actor WorkLoop<C: Clock> where C.Instant == WallInstant {
    private let ledger: any Ledger
    private let reconciler: Reconciler<C>
    private let limits: Limits
    private let clock: C
    private let logger: Logger
    private let wakeup: Wakeup
    /// Rounds whose end is not written down yet, by image.
    private var inFlight: [ImageID: Rounds] = [:]
    /// Due rows that were read ahead, the next one last. Read anew whenever somebody queued something, so that an event overtakes a resync.
    private var waiting: [WorkRow] = []
    /// Rows that were handed over since the loop looked last.
    private var handed: [WorkRow] = []
    /// The newest generation that was read from the ledger: a row of it has been seen, and none is begun twice.
    private var newestRead: Int64 = 0
    private var workers = 0
    /// Those of them whose rounds only stand in lines.
    private var waitingWorkers = 0
    /// Those whose rows the next transaction finishes together.
    private var settled: [Round] = []
    private var lastRound = 0
    private var isFinishing = false
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

    private struct Round: Identifiable, Sendable {
        let id: Int
        let row: WorkRow
        var image: ImageID { row.image }
    }

    /// Rounds of one image that have begun, and not ended.
    private struct Rounds {
        var count = 0
        var newest = Int64.min
        /// The one that looks at the image and plans: there is one at a time.
        var looking: Round.ID?
        /// When one of them was last done with looking: for some time its row is not taken again.
        var lookedAt = Date.distantPast

        /// All of them while it is looked at.
        func newestTaken(at now: Date) -> Int64? {
            if looking != nil { return .max }
            return lookedAt.isYounger(than: Limits.longestRetrySeconds, at: now) ? newest : nil
        }
    }

    /// Runs until drained or cancelled. Throws where the ledger fails: without it nothing may be done.
    public func run() async throws(Failure) {
        do {
            try await withThrowingDiscardingTaskGroup { group in
                while isTaking {
                    waiting = handed.filter { $0.generation > newestRead }
                    handed = []
                    begin(&group)
                    waiting = []
                    waiting = try await ledger.dueWork(
                        at: clock.now.date, excluding: takenGenerations, limit: limits.imagesInFlight * Self.roundsAhead
                    ).reversed()
                    newestRead = max(newestRead, waiting.map(\.generation).max() ?? 0)
                    begin(&group)
                    await wakeup.sleep(until: try await nextLook(), clock: clock)
                }
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.fatal, "work loop ended", cause: "\(error)")
        }
    }

    /// Rows that were committed a moment ago: they are begun without being read back, as far as there is room. The others stand in the ledger and are due.
    public func take(_ rows: [WorkRow]) {
        if handed.count < limits.imagesInFlight { handed += rows }
        wakeup.wake()
    }

    /// Takes no more rows; `run` returns when those under way have ended.
    public func drain() {
        isDraining = true
        wakeup.wake()
    }

    public var imagesInFlight: Int { inFlight.count }

    /// Rows read ahead for each image in flight, so that most rounds need no look at the ledger before them.
    private static var roundsAhead: Int { 4 }

    private var isTaking: Bool { !isDraining && !hasFailed && !Task.isCancelled }

    /// Of each image, the newest that is not to be taken now.
    private var takenGenerations: [ImageID: Int64] {
        let now = clock.now.date
        return inFlight.compactMapValues { $0.newestTaken(at: now) }
    }

    private func mayTake(_ row: WorkRow) -> Bool { row.generation > inFlight[row.image]?.newestTaken(at: clock.now.date) ?? .min }

    /// Rounds that stand in lines hold little more than their plans; but for many of them that is much.
    private var busyWorkers: Int { workers - min(waitingWorkers, 4 * limits.imagesInFlight) }
    private var isFull: Bool { busyWorkers >= limits.imagesInFlight }

    private func begin(_ group: inout ThrowingDiscardingTaskGroup<any Error>) {
        while !isFull, let round = next() {
            workers += 1
            group.addTask { try await self.work(from: round) }
        }
    }

    private func next() -> Round? {
        while isTaking, let row = waiting.popLast() {
            guard mayTake(row) else { continue }
            lastRound += 1
            var rounds = inFlight[row.image] ?? Rounds()
            (rounds.count, rounds.newest, rounds.looking) = (rounds.count + 1, max(rounds.newest, row.generation), lastRound)
            inFlight[row.image] = rounds
            return Round(id: lastRound, row: row)
        }
        return nil
    }

    private func reached(_ stage: Reconciler<C>.Stage, _ round: Round) {
        switch stage {
        case .planned: looked(round)
        case .waits(let waits):
            waitingWorkers += waits ? 1 : -1
            if waits { wakeup.wake() }
        }
    }

    /// What its round is at work on is left to it for some time; an event is a newer row.
    private func looked(_ round: Round) {
        guard inFlight[round.image]?.looking == round.id else { return }
        inFlight[round.image]?.looking = nil
        inFlight[round.image]?.lookedAt = clock.now.date
    }

    private func ended(_ round: Round) {
        // There may have been nothing to plan.
        looked(round)
        inFlight[round.image]?.count -= 1
        if inFlight[round.image]?.count == 0 { inFlight[round.image] = nil }
    }

    /// One row after the other until none is left that was read ahead.
    private func work(from first: Round) async throws(Failure) {
        var round: Round? = first
        do throws(Failure) {
            while let taken = round {
                let end = await reconciler.reconcile(taken.image, cause: taken.row.cause) { await self.reached($0, taken) }
                try await settle(taken, end)
                // Those that stood in lines may have gone on meanwhile.
                round = busyWorkers <= limits.imagesInFlight ? next() : nil
            }
        } catch {
            hasFailed = true
            workers -= 1
            wakeup.wake()
            throw error
        }
        workers -= 1
        wakeup.wake()
    }

    private func settle(_ round: Round, _ end: Reconciler<C>.End) async throws(Failure) {
        let row = round.row
        switch end {
        case .settled:
            settled.append(round)
            return try await finishSettled()
        case .again(let reason, let isPermanent, let latest):
            let rest = isPermanent ? Double(limits.backoffMaxSeconds) : backoff(after: row.attempts)
            let wait = min(rest, latest?.timeIntervalSince(clock.now.date) ?? rest)
            logger.notice(
                "tried again later",
                metadata: ["image": "\(row.image)", "in_seconds": "\(Int(wait))", "attempt": "\(row.attempts + 1)", "reason": "\(reason)"])
            try await postpone(row, until: clock.now.date.addingTimeInterval(wait), reason: reason)
        case .waiting(let until, let reason):
            // Looked at now and then all the same: what another site misses of an image meanwhile must not wait for this one's window.
            let dueAt = min(until, clock.now.date.addingTimeInterval(Double(limits.backoffMaxSeconds)))
            logger.info("waits", metadata: ["image": "\(row.image)", "reason": "\(reason)"])
            try await postpone(row, until: dueAt, reason: reason, isFailure: false)
        case .stopped: break  // the row stays as it is: the next start finds it due
        }
        ended(round)
    }

    /// For all rounds of the image that have begun: none of them that ends well may take it away.
    private func postpone(_ row: WorkRow, until dueAt: Date, reason: String, isFailure: Bool = true) async throws(Failure) {
        var row = row
        row.generation = max(row.generation, inFlight[row.image]?.newest ?? row.generation)
        try await ledger.postpone(row, until: dueAt, reason: reason, isFailure: isFailure)
    }

    /// One worker writes for all: while its transaction is on its way, the rows of the next one gather.
    private func finishSettled() async throws(Failure) {
        guard !isFinishing else { return }
        isFinishing = true
        defer { isFinishing = false }
        while !settled.isEmpty {
            let rounds = settled
            settled = []
            try await ledger.finish(rounds.map(\.row))
            rounds.forEach(ended)
        }
    }

    private func nextLook() async throws(Failure) -> WallInstant {
        // Full: only a finished round makes room. Rows that are in flight may be the earliest due, and must not make this loop spin.
        let idle = clock.now.advanced(by: .seconds(30))
        guard !isFull, let due = try await ledger.nextWorkDue() else { return idle }
        let soonest = inFlight.isEmpty ? clock.now : clock.now.advanced(by: .seconds(1))
        return min(idle, max(soonest, WallInstant(due)))
    }

    /// Doubled each time up to the bound, with jitter so that a site that comes back is not met by everything at once.
    private func backoff(after attempts: Int) -> Double {
        let doubled = Double(limits.backoffSeconds) * Double(1 << min(attempts, 30))
        return min(doubled, Double(limits.backoffMaxSeconds)) * Double.random(in: Limits.backoffJitter)
    }
}
