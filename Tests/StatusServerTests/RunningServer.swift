import Engine
import ForecacheModel
import Foundation
import Logging
import SQLiteLedger
import StatusServer
import Synchronization
import Testing

/// A real server on a free port over a real ledger, with a feed and a readiness that tests control.
struct RunningServer: Sendable {
    var port: Int
    var ledger: SQLiteLedger
    var world: World

    /// What the service would know.
    final class World: Sendable {
        let counters = Mutex(StatusCounters())
        let notReady = Mutex<[String]>([])
        let listeners = Mutex<[AsyncStream<StatusEvent>.Continuation]>([])

        func tell(_ event: StatusEvent) {
            for listener in listeners.withLock({ $0 }) { listener.yield(event) }
        }

        func events() -> AsyncStream<StatusEvent> {
            let (stream, feed) = AsyncStream.makeStream(
                of: StatusEvent.self, bufferingPolicy: .bufferingNewest(16))
            listeners.withLock { $0.append(feed) }
            return stream
        }
    }

    static let now = Date(timeIntervalSince1970: 1_800_000_000)

    static func with(
        limits: Limits = Limits(), listen: String = "127.0.0.1",
        _ body: (RunningServer) async throws -> Void
    ) async throws {
        let (ledger, world) = (try SQLiteLedger.inMemory(), World())
        let server = StatusServer(
            listen: (host: listen, port: 0), source: source(ledger, world), limits: limits,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let (ports, opened) = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingOldest(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run { opened.yield($0) } }
            var iterator = ports.makeAsyncIterator()
            let port = try #require(await iterator.next())
            try await body(RunningServer(port: port, ledger: ledger, world: world))
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    static func source(_ ledger: any Ledger, _ world: World) -> StatusSource {
        StatusSource(
            ledger: ledger, counters: { world.counters.withLock { $0 } },
            notReady: { world.notReady.withLock { $0 } }, now: { now },
            events: { world.events() })
    }

    func get(_ path: String, _ options: [String] = []) async throws -> Answer {
        try await Answer.of(options + ["http://127.0.0.1:\(port)\(path)"])
    }
}

/// What `curl` got: a client that is not our own library.
struct Answer: Sendable {
    var status: Int
    /// Names in lower case.
    var headers: [String: String]
    var body: String

    static func of(_ arguments: [String]) async throws -> Answer {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("forecache-answer-\(UUID().uuidString)")
        defer {
            // What is left in the temporary directory fails no test.
            try? FileManager.default.removeItem(at: file)
        }
        try await run(["-s", "-i", "--max-time", "20", "-o", file.path] + arguments)
        let bytes = try Data(contentsOf: file)
        let parts = String(decoding: bytes, as: UTF8.self).split(
            separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
        let lines = try #require(parts.first).split(separator: "\r\n")
        let status = try #require(
            lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) }, "\(arguments)")
        let pairs = lines.dropFirst().map {
            $0.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
        }
        return Answer(
            status: status,
            headers: Dictionary(pairs.map { ($0[0].lowercased(), $0.count > 1 ? $0[1] : "") }) {
                $0 + ", " + $1
            },
            body: parts.count > 1 ? String(parts[1]) : "")
    }

    /// Into a file and not a pipe: other children that start at the same moment inherit a pipe's end and keep it from ending.
    private static func run(_ arguments: [String]) async throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        let (ends, ended) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        process.terminationHandler = { _ in ended.finish() }
        try process.run()
        for await _ in ends {}
    }
}

/// A running `curl`, whose output comes as it arrives; it is ended when its owner lets go of it.
final class Curl: Sendable {
    let output: AsyncStream<Data>
    /// Both are kept: a pipe that is let go of stops telling what arrives.
    private let process: Process
    private let pipe: Pipe

    init(_ arguments: [String]) throws {
        let (output, feed) = AsyncStream.makeStream(of: Data.self, bufferingPolicy: .unbounded)
        let (process, pipe) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        process.arguments = arguments
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        pipe.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            if data.isEmpty {
                handle.readabilityHandler = nil
                feed.finish()
            } else {
                feed.yield(data)
            }
        }
        try process.run()
        self.output = output
        (self.process, self.pipe) = (process, pipe)
    }

    deinit {
        // A child of a dispatch thread has SIGTERM blocked, as that thread has.
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    /// Reads on until `text` has come.
    func read(until text: String) async throws -> String {
        var seen = ""
        for await chunk in output {
            seen += String(decoding: chunk, as: UTF8.self)
            if seen.contains(text) { return seen }
        }
        Issue.record("ended before \(text): \(seen)")
        return seen
    }
}

extension SQLiteLedger {
    /// Records an image as wanted on these hosts of `dcn1` (`h0` is cached there) and `dcn2`.
    func want(
        _ id: ImageID, name: String, on hosts: [HostName] = ["h0", "h1"], rule: String = "golden"
    ) async throws {
        let placements = hosts.map {
            Placement(
                image: id, site: $0 == "h0" ? "dcn1" : "dcn2", role: "Compute", host: $0, rule: rule)
        }
        try await record(
            Decision(image: ImageFacts(id: id, name: name), placements: placements), ttlSeconds: [:],
            at: RunningServer.now)
        let cached = Outcome(
            image: id, site: "dcn1", host: "h0", kind: .cached, bytes: 5,
            touchedAt: RunningServer.now.addingTimeInterval(-60.5))
        try await record([cached], at: RunningServer.now)
    }
}
