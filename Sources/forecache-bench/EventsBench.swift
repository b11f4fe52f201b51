import Engine
import ForecacheModel
import Foundation
import Planning
import RabbitMQSource
import Rules

/// One exchange, a queue for each side, and the rounds on them.
struct EventsBench: Sendable {
    struct Round: Sendable {
        var ours: Deciding.Measurement
        var theirs: Deciding.Measurement
        var stream: Stream
    }

    struct Stream: Sendable {
        /// Notifications per second as they were really published.
        var rate: Double
        /// Microseconds from publishing to the decision, or to the endpoint.
        var ours: [Int64]
        var theirs: [Int64]
    }

    static let ruleCount = 100
    /// A drain that takes longer is given up.
    private static let deadline = Duration.seconds(120)
    /// Publishing connections of the steady stream: a confirmation may take a disk's sync, and the next message must not wait for it.
    private static let lanes = 16

    private let url: Secret
    private let prefetch: Int
    private let publisher: Publisher
    private let access: BrokerAccess
    private let ours: Deciding
    private let exchange: String
    private let (ourQueue, theirQueue): (String, String)

    init(url: Secret, access: BrokerAccess, prefetch: Int, directory: String) {
        (self.url, self.access, self.prefetch, publisher) = (url, access, prefetch, Publisher(access: access))
        exchange = "forecache-bench-\(String(UInt32.random(in: .min ... .max), radix: 16))"
        (ourQueue, theirQueue) = ("\(exchange)-forecache", "\(exchange)-oslo")
        ours = Deciding(
            settings: RabbitMQSettings(access: access, exchanges: [exchange], queue: ourQueue, prefetch: prefetch), policy: Self.policy,
            directory: directory)
    }

    /// Both queues are declared by their own side, as they would be.
    func declare() async throws {
        try await publisher.declareExchange(exchange)
        try await ours.subscribeOnce()
        await (try OsloListener.start(url, exchange: exchange, queue: theirQueue, prefetch: prefetch, count: 0)).stop()
    }

    func round(backlog: Int, rate: Int, seconds: Int) async throws -> Round {
        try await publisher.publish(ImageNotifications.uploads(count: backlog), exchange: exchange, routingKey: "notifications.info")
        let ours = try await ours.run(count: backlog, stamped: false, deadline: Self.deadline)
        say("  forecache drained \(backlog) in \(number(ours.seconds)) s")
        let peer = try await OsloListener.start(url, exchange: exchange, queue: theirQueue, prefetch: prefetch, count: backlog)
        let theirs = try await stopping(peer) { try await peer.measurement(deadline: Self.deadline) }
        say("  oslo.messaging drained \(backlog) in \(number(theirs.seconds)) s")
        return Round(ours: ours, theirs: theirs, stream: try await stream(rate: rate, seconds: seconds))
    }

    /// Runs `body` and deletes what it made on the broker, also where it failed.
    func cleaningUp<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            let result = try await body()
            await delete()
            return result
        } catch {
            await delete()
            throw error
        }
    }

    private func stream(rate: Int, seconds: Int) async throws -> Stream {
        let count = rate * seconds
        let peer = try await OsloListener.start(url, exchange: exchange, queue: theirQueue, prefetch: prefetch, count: count, stamped: true)
        return try await stopping(peer) {
            let (listening, begin) = AsyncStream.makeStream(of: Never.self, bufferingPolicy: .bufferingOldest(1))
            async let measured = ours.run(count: count, stamped: true, deadline: Self.deadline) { begin.finish() }
            for await _ in listening {}
            let took = try await publish(count: count, rate: rate)
            return Stream(
                rate: Double(count) / took, ours: try await measured.latencies,
                theirs: try await peer.measurement(deadline: Self.deadline).latencies)
        }
    }

    /// Seconds that it took.
    private func publish(count: Int, rate: Int) async throws -> Double {
        let (clock, exchange) = (ContinuousClock(), exchange)
        let started = clock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in 0..<Self.lanes {
                group.addTask {
                    let publisher = Publisher(access: access)
                    for index in stride(from: lane, to: count, by: Self.lanes) {
                        // The first second is for the lanes to connect.
                        try await clock.sleep(until: started + .seconds(1) + .microseconds(index * 1_000_000 / rate))
                        try await publisher.publish(
                            ImageNotifications.stamped(index: index), exchange: exchange, routingKey: "notifications.info")
                    }
                }
            }
            try await group.waitForAll()
        }
        return started.duration(to: clock.now).seconds - 1
    }

    private func stopping<Result>(_ peer: OsloListener, _ body: () async throws -> Result) async throws -> Result {
        do {
            let result = try await body()
            await peer.stop()
            return result
        } catch {
            await peer.stop()
            throw error
        }
    }

    private func delete() async {
        for (what, delete) in [
            ("queue \(ourQueue)", { () async throws in try await publisher.deleteQueue(ourQueue) }),
            ("queue \(theirQueue)", { try await publisher.deleteQueue(theirQueue) }),
            ("exchange \(exchange)", { try await publisher.deleteExchange(exchange) }),
        ] {
            do {
                try await delete()
            } catch {
                // The figures are not to be lost for it.
                say("forecache-bench: \(what) was left behind, delete it by hand: \(error)")
            }
        }
    }

    /// As many rules as a large operator has, none of which lets anything be done.
    private static var policy: Policy {
        let rules = (0..<ruleCount).map {
            "  - {name: r\($0), mode: dry-run, match: {all: [{tag: t\($0)}, {visibility: public}]}, targets: {sites: [dcn\($0 % 20)]}}"
        }
        return Policy(
            rules: MadeUpFleet.ruleSet(rules.joined(separator: "\n")), fleet: MadeUpFleet.fleet(sites: 20, hosts: 10),
            defaults: PlanningDefaults())
    }
}
