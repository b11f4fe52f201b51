import Engine
import ForecacheModel
import Foundation
import Logging
import Notifications
import Planning
import RabbitMQSource
import Rules
import SQLiteLedger

/// forecache's own way from the broker to a decision: `RabbitMQSource`, `Intake` with a ledger on disk, and a decision on each image before its message is
/// acknowledged. Only Glance is left out: its answers are made up in memory.
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
        let decisions = Decisions(policy: policy, count: count, isStamped: stamped)
        let logger = Logger(label: "forecache-bench") { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = .error
            return handler
        }
        let (clock, wakeup) = (WallClock(), Wakeup())
        let source = DecidingSource(
            inner: RabbitMQSource(settings: settings, limits: Limits(), logger: logger), decisions: decisions, listening: listening)
        // Never run: it is what the intake tells of a subscription.
        let resync = Resync(
            catalog: MadeUpCatalog(), ledger: ledger, policy: CurrentPolicy(policy), intervalSeconds: 600, clock: clock, logger: logger,
            workWakeup: wakeup)
        let intake = Intake(
            source: source, ledger: ledger, resync: resync, counters: EngineCounters(now: { clock.now.date }), limits: Limits(),
            clock: clock, logger: logger, wakeup: wakeup)
        let started = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await intake.run() }
            group.addTask { for await _ in decisions.done {} }
            group.addTask { try await Task.sleep(for: deadline) }
            // Whichever is first: all decided, out of time, or a broker or disk that failed.
            try await group.next()
            group.cancelAll()
        }
        guard let ended = await decisions.ended else {
            throw Failure(
                .retriable,
                "\(await decisions.made) of \(count) notifications were decided in \(deadline.seconds) s: give a lower --count, or look at the broker"
            )
        }
        return Measurement(seconds: started.duration(to: ended).seconds, latencies: await decisions.latencies)
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

/// Adds to the source what the work loop does next: a decision on each image that the intake has committed a row for. The messages are decoded once more for
/// it, which counts against us.
private struct DecidingSource: NotificationSource {
    let inner: RabbitMQSource
    let decisions: Decisions
    let listening: @Sendable () -> Void

    func run(handle: @escaping @Sendable (NotificationSourceEvent) async throws(Failure) -> Void) async throws(Failure) {
        try await inner.run { event throws(Failure) in
            try await handle(event)
            switch event {
            case .subscribed: listening()
            case .lost(let failure): throw failure
            case .deliveries(let deliveries): try await decisions.decide(deliveries)
            }
        }
    }
}

/// Counts decisions, and how long ago their messages were published.
private actor Decisions {
    private let policy: Policy
    private let count: Int
    private let isStamped: Bool
    private let catalog = MadeUpCatalog()
    private let ending: AsyncStream<Never>.Continuation
    /// Ends with the last decision.
    nonisolated let done: AsyncStream<Never>
    private(set) var made = 0
    private(set) var latencies: [Int64] = []
    private(set) var ended: ContinuousClock.Instant?

    init(policy: Policy, count: Int, isStamped: Bool) {
        (self.policy, self.count, self.isStamped) = (policy, count, isStamped)
        (done, ending) = AsyncStream.makeStream(of: Never.self, bufferingPolicy: .bufferingOldest(1))
    }

    func decide(_ deliveries: [Delivery]) async throws(Failure) {
        for delivery in deliveries {
            guard case .image(let event) = NotificationDecoder.decode(delivery.body, limits: Limits()) else { continue }
            guard let facts = try await catalog.image(event.image) else { continue }
            _ = policy.rules.decide(facts, fleet: policy.fleet, now: Date())
            made += 1
            if isStamped, let passed = Moment.microseconds(sinceStampIn: event.image.text) { latencies.append(passed) }
        }
        guard made >= count, ended == nil else { return }
        ended = .now
        ending.finish()
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

    func download(of id: ImageID, endpoint: String?) async throws(Failure) -> DownloadGrant {
        throw Failure(.permanent, "a made-up image has no bytes")
    }

    func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8] {
        throw Failure(.permanent, "a made-up image has no bytes")
    }
}
