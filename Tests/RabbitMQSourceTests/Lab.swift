import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import Logging
import RabbitMQSource
import Synchronization
import Testing

/// The real broker that these tests run against.
struct Lab {
    private let values: [String: String]

    init() throws { values = try LabFile.read() }

    private init(file: String) throws { values = try LabFile.read(file) }

    func callAsFunction(_ name: String) throws -> String {
        try #require(values[name], "lab.env has no \(name): start the lab with rabbitmq")
    }

    func access(_ name: String = "RABBITMQ_URL") throws -> BrokerAccess { try TransportURL.parse(Secret(self(name))) }

    /// A broker for one test alone, to be stopped and frozen at will; gone afterwards.
    func withOwnBroker(_ body: (Lab) async throws -> Void) async throws {
        let command = String(try self("LAB").prefix { $0 != " " })
        let name = "test-\(UInt32.random(in: .min ... .max))"
        let state = try self("LAB_STATE") + "-" + name
        let own = ["--name", name, "--state", state]
        let result: Result<Void, any Error>
        do {
            try await run([command, "up", "--parts", "rabbitmq"] + own)
            result = .success(try await body(Lab(file: state + "/lab.env")))
        } catch {
            result = .failure(error)
        }
        try await run([command, "down", "--purge"] + own)
        try result.get()
    }

    /// `lab rabbitmq stop|start|restart` on this lab.
    func rabbitmq(_ action: String) async throws {
        let words = try self("LAB").split(separator: " ").map(String.init)
        try await run([words[0], "rabbitmq", action] + words.dropFirst())
    }

    func rabbitmqctl(_ arguments: String...) async throws { try await run([self("RABBITMQCTL")] + arguments) }

    /// A line of the shell as an operator would type it, with this lab's `rabbitmqctl`.
    func atTheBroker(_ line: String) async throws {
        let command = try self("RABBITMQCTL")
        try await run(["-c", line.replacingOccurrences(of: "rabbitmqctl ", with: "\(command) ")])
    }

    /// Sends a signal to the broker and all its processes.
    func signalBroker(_ signal: Int32) throws {
        let record = try String(contentsOfFile: self("LAB_STATE") + "/pids/rabbitmq", encoding: .utf8)
        let leader = try #require(record.split(separator: " ").first.flatMap { Int32($0) })
        try #require(leader > 1 && kill(-leader, signal) == 0)
    }

    private func run(_ words: [String]) async throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = words
        process.standardOutput = FileHandle.standardError
        let status = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        try #require(status == 0, "\(words.joined(separator: " ")) ended with \(status)")
    }
}

/// Names that no other test uses, and a publisher to fill and clear them.
struct Room {
    let lab: Lab
    let publisher: Publisher
    let exchange: String
    var settings: RabbitMQSettings

    init(in lab: Lab? = nil) throws {
        self.lab = try lab ?? Lab()
        let access = try self.lab.access()
        publisher = Publisher(access: access)
        exchange = "test-\(UUID().uuidString.lowercased())"
        settings = RabbitMQSettings(access: access, exchanges: [exchange], queue: exchange)
    }

    /// Deletes afterwards what the test made.
    func open(hasExchange: Bool = true, _ body: (Room) async throws -> Void) async throws {
        if hasExchange { try await publisher.declareExchange(exchange) }
        let result: Result<Void, any Error>
        do { result = .success(try await body(self)) } catch { result = .failure(error) }
        do {
            // A publisher of its own: the test may have broken the first one's connection.
            let cleaner = Publisher(access: try lab.access())
            try await cleaner.deleteQueue(settings.queue)
            try await cleaner.deleteExchange(exchange)
        } catch {
            // What went wrong first is told.
            try result.get()
            throw error
        }
        try result.get()
    }

    func publish(_ texts: String...) async throws {
        try await publisher.publish(texts.map { Array($0.utf8) }, exchange: exchange, routingKey: "notifications.info")
    }

    func source(_ change: (inout Limits) -> Void = { _ in }) -> RabbitMQSource {
        var limits = Limits()
        change(&limits)
        return RabbitMQSource(settings: settings, limits: limits, logger: quiet)
    }
}

var quiet: Logger {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
}

/// What a source said, in order; others wait for it.
final class Record: Sendable {
    typealias Handler = @Sendable (NotificationSourceEvent) async throws(Failure) -> Void

    private struct State {
        var events: [String] = []
        var texts: [String] = []
        var batches: [Int] = []
        var failures: [Failure] = []
        var redelivered = 0
    }
    private let state = Mutex(State())
    private let handler: Handler

    /// - Parameter handler: what else to do with each event, before it counts as handled.
    init(_ handler: @escaping Handler = { _ in }) { self.handler = handler }

    func note(_ event: NotificationSourceEvent) async throws(Failure) {
        state.withLock { state in
            switch event {
            case .subscribed: state.events.append("subscribed")
            case .lost(let failure):
                state.events.append("lost")
                state.failures.append(failure)
            case .deliveries(let deliveries):
                state.events.append("deliveries")
                state.batches.append(deliveries.count)
                state.redelivered += deliveries.count { $0.isRedelivered }
                state.texts += deliveries.map { String(decoding: $0.body, as: UTF8.self) }
            }
        }
        try await handler(event)
    }

    var events: [String] { state.withLock { $0.events } }
    var texts: [String] { state.withLock { $0.texts } }
    var batches: [Int] { state.withLock { $0.batches } }
    var failures: [Failure] { state.withLock { $0.failures } }
    var redelivered: Int { state.withLock { $0.redelivered } }
    func count(_ event: String) -> Int { state.withLock { $0.events.count { $0 == event } } }
}

/// Runs a source beside `body` and cancels it afterwards.
func running(_ source: RabbitMQSource, _ record: Record, _ body: @Sendable () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await source.run { event throws(Failure) in try await record.note(event) } }
        try await body()
        group.cancelAll()
        try await group.waitForAll()
    }
}
