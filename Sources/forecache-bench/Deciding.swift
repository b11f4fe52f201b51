import Engine
import ForecacheModel
import Foundation
import Logging
import Planning
import RabbitMQSource
import Rules
import SQLiteLedger
import Synchronization

/// forecache's own way from the broker to a decision: `RabbitMQSource`, `Intake` with a ledger on disk, and a decision on each row that it has committed.
/// Glance's answers are made up in memory, and no rule wants anything done.
struct Deciding {
    let settings: RabbitMQSettings
    let policy: Policy
    /// A directory of its own, for the ledger.
    let directory: String

    /// What was measured.
    struct Measurement: Sendable {
        /// From the call that connects to the last decision.
        var seconds: Double
        var latencies: [Int64]
    }

    /// Takes `count` notifications. `listening` is called once, when the broker delivers to us.
    func run(
        count: Int, stamped: Bool, deadline: Duration, listening: @escaping @Sendable () -> Void = {}
    ) async throws -> Measurement {
        let ledger = try SQLiteLedger(path: "\(directory)/\(UUID().uuidString).sqlite", refresh: RefreshSchedule(), limits: Limits())
        let logger = Logger(label: "forecache-bench") { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = .error
            return handler
        }
        let (clock, desk, limits) = (WallClock(), Desk(), Limits())
        let decisions = Decisions(isStamped: stamped)
        let source = ListeningSource(
            inner: RabbitMQSource(settings: settings, limits: limits, logger: logger), decisions: decisions, listening: listening)
        let counters = EngineCounters(now: { WallClock().now.date })
        // Never run: it is what the intake tells of a subscription.
        let catalog = MadeUpCatalog()
        let resync = Resync(
            catalog: catalog, ledger: ledger, policy: CurrentPolicy(policy), counters: counters, intervalSeconds: 600,
            rivals: RivalBook(catalog: catalog), clock: clock, logger: logger, workWakeup: desk.wakeup)
        let intake = Intake(
            source: source, ledger: ledger, resync: resync, counters: counters, limits: limits, clock: clock, logger: logger
        ) { desk.take($0) }
        let started = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await intake.run() }
            group.addTask { try await decide(on: ledger, count: count, decisions, desk) }
            group.addTask {
                try await Task.sleep(for: deadline)
                throw Failure(
                    .retriable,
                    "\(decisions.handled) of \(count) notifications were taken in \(deadline.seconds) s: give a lower --count, or look at the broker"
                )
            }
            // Whichever is first: all decided, out of time, or a broker or disk that failed.
            try await group.next()
            group.cancelAll()
        }
        return Measurement(seconds: started.duration(to: decisions.ended).seconds, latencies: decisions.latencies)
    }

    /// Returns with the decision on the last of `count` messages.
    private func decide(on ledger: SQLiteLedger, count: Int, _ decisions: Decisions, _ desk: Desk) async throws(Failure) {
        let (clock, catalog) = (WallClock(), MadeUpCatalog())
        var newestRead: Int64 = 0
        while true {
            // Asked before the rows are: what is handled by now has its rows committed.
            let isLast = decisions.handled >= count
            // As the work loop has it: what was committed a moment ago is not read back first.
            var rows = desk.handed { $0.generation > newestRead }
            if rows.isEmpty {
                rows = try await ledger.dueWork(at: clock.now.date, excluding: [:], limit: 500)
                newestRead = max(newestRead, rows.map(\.generation).max() ?? 0)
            }
            for row in rows {
                guard let facts = try await catalog.image(row.image) else { continue }
                _ = policy.rules.decide(facts, fleet: policy.fleet, now: clock.now.date)
                decisions.made(on: row.image)
            }
            try await ledger.finish(rows)
            if rows.isEmpty {
                if isLast { return }
                await desk.wakeup.sleep(until: clock.now.advanced(by: .milliseconds(100)), clock: clock)
            }
        }
    }

    /// Declares our queue and its bindings, by subscribing for a moment.
    func subscribeOnce() async throws {
        let logger = Logger(label: "forecache-bench") { _ in SwiftLogNoOpLogHandler() }
        let source = RabbitMQSource(settings: settings, limits: Limits(), logger: logger)
        do throws(Failure) {
            try await source.run { event throws(Failure) in
                switch event {
                case .subscribed: throw Failure(.cancelled, "subscribed")
                case .lost(let failure): throw failure
                case .deliveries: return
                }
            }
        } catch {
            guard error.kind == .cancelled else { throw error }
        }
    }
}

/// Notes when the broker delivers to us, and how many messages have been dealt with and are acknowledged.
private struct ListeningSource: NotificationSource {
    let inner: RabbitMQSource
    let decisions: Decisions
    let listening: @Sendable () -> Void

    func run(handle: @escaping @Sendable (NotificationSourceEvent) async throws(Failure) -> Void) async throws(Failure) {
        try await inner.run { event throws(Failure) in
            try await handle(event)
            switch event {
            case .subscribed: listening()
            case .lost(let failure): throw failure
            case .deliveries(let deliveries): decisions.handled(deliveries.count)
            }
        }
    }
}

/// Rows on their way from the intake to the decisions.
private final class Desk: Sendable {
    let wakeup = Wakeup()
    private let rows = Mutex<[WorkRow]>([])

    func take(_ more: [WorkRow]) {
        rows.withLock { $0 += more }
        wakeup.wake()
    }

    /// Those that nobody has had.
    func handed(_ isNew: (WorkRow) -> Bool) -> [WorkRow] {
        rows.withLock { rows in
            defer { rows = [] }
            return rows.filter(isNew)
        }
    }
}

/// When decisions were made, and how long ago their messages were published.
private final class Decisions: Sendable {
    private struct State {
        var handled = 0
        var latencies: [Int64] = []
        var ended = ContinuousClock.now
    }

    private let isStamped: Bool
    private let state = Mutex(State())

    init(isStamped: Bool) { self.isStamped = isStamped }

    var handled: Int { state.withLock { $0.handled } }
    var latencies: [Int64] { state.withLock { $0.latencies } }
    var ended: ContinuousClock.Instant { state.withLock { $0.ended } }

    func handled(_ count: Int) { state.withLock { $0.handled += count } }

    func made(on image: ImageID) {
        let (passed, now) = (isStamped ? Moment.microseconds(sinceStampIn: image.text) : nil, ContinuousClock.now)
        state.withLock { state in
            state.ended = now
            if let passed { state.latencies.append(passed) }
        }
    }
}

/// A Glance that has every image that is asked for.
struct MadeUpCatalog: ImageCatalog {
    func image(_ id: ImageID) async throws(Failure) -> ImageFacts? {
        ImageFacts(
            id: id, name: "ubuntu-24.04-build", visibility: "public", owner: "b68b6bf0afa64c738201d9d6a94d3ad1", sizeBytes: 1 << 20,
            tags: ["t\(id.text.utf8.reduce(0) { $0 + Int($1) } % 500)", "amd64"],
            properties: ["os_distro": "ubuntu", "hw_disk_bus": "virtio"])
    }

    func images(named name: String?) async throws(Failure) -> [ImageFacts] { [] }

    func download(of id: ImageID, endpoint: String?, refused: Secret?) async throws(Failure) -> DownloadGrant {
        throw Failure(.permanent, "a made-up image has no bytes")
    }

    func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8] {
        throw Failure(.permanent, "a made-up image has no bytes")
    }
}
