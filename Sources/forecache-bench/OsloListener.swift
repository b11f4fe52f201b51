import ForecacheModel
import Foundation
import Synchronization

/// The peer: a Python process with a plain oslo.messaging notification listener (`oslo_listener.py`), started anew for each measurement.
final class OsloListener: Sendable {
    /// Debian's own interpreter, which has python3-oslo.messaging.
    private static let python = "/usr/bin/python3"

    private let process: Process
    private let input: FileHandle
    private let lines: AsyncStream<String>

    /// What it is told on its standard input: the URL has a password in it and must not be seen in `argv`.
    private struct Order: Encodable {
        var url: String
        var exchange: String
        var topic: String
        var pool: String
        var prefetch: Int
        var count: Int
        var stamped: Bool
    }

    private struct Answer: Decodable {
        var listening: Bool?
        var seconds: Double?
        var latencies: [Int64]?

        enum CodingKeys: String, CodingKey {
            case listening, seconds
            case latencies = "latencies_microseconds"
        }
    }

    /// Returns when it listens. With a count of 0 it only declares its queue.
    static func start(_ url: Secret, exchange: String, queue: String, prefetch: Int, count: Int, stamped: Bool = false) async throws
        -> OsloListener
    {
        let listener = try OsloListener()
        let order = Order(
            url: url.reveal(), exchange: exchange, topic: "notifications", pool: queue, prefetch: prefetch, count: count, stamped: stamped)
        try listener.input.write(contentsOf: try JSONEncoder().encode(order) + Data("\n".utf8))
        guard try await listener.answer(within: .seconds(30)).listening == true else { throw Self.silent("did not begin to listen") }
        return listener
    }

    /// From the call that connects to the last notification, once all have come.
    func measurement(deadline: Duration) async throws -> Deciding.Measurement {
        let answer = try await answer(within: deadline)
        guard let seconds = answer.seconds else { throw Self.silent("did not tell what it measured") }
        return Deciding.Measurement(seconds: seconds, latencies: answer.latencies ?? [])
    }

    /// It closes its connection by itself; a hung one is killed.
    func stop() async {
        // Closed already where the process is gone.
        try? input.close()
        for _ in 0..<100 where process.isRunning {
            // Throws on cancellation only: then it is killed at once.
            guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { break }
        }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    private init() throws {
        guard FileManager.default.isExecutableFile(atPath: Self.python) else {
            throw Failure(.permanent, "no \(Self.python): the peer needs Debian's python3 and python3-oslo.messaging")
        }
        let (process, input, output) = (Process(), Pipe(), Pipe())
        process.executableURL = URL(filePath: Self.python)
        process.arguments = ["-c", String(decoding: PackageResources.oslo_listener_py, as: UTF8.self)]
        (process.standardInput, process.standardOutput) = (input, output)
        let (lines, more) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .unbounded)
        let partial = Mutex(Data())
        output.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            guard !data.isEmpty else {
                handle.readabilityHandler = nil
                return more.finish()
            }
            let complete = partial.withLock { partial in
                partial += data
                let parts = partial.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                partial = Data(parts.last ?? Data())
                return parts.dropLast().map { String(decoding: $0, as: UTF8.self) }
            }
            for line in complete { more.yield(line) }
        }
        try process.run()
        (self.process, self.input, self.lines) = (process, input.fileHandleForWriting, lines)
    }

    private func answer(within deadline: Duration) async throws -> Answer {
        let lines = lines
        let line = try await withThrowingTaskGroup(of: String?.self) { group in
            group.addTask {
                for await line in lines { return line }
                return nil
            }
            group.addTask {
                try await Task.sleep(for: deadline)
                return nil
            }
            let first = try await group.next() ?? nil
            group.cancelAll()
            return first
        }
        guard let line else { throw Self.silent("said nothing for \(deadline.components.seconds) s, or ended") }
        return try JSONDecoder().decode(Answer.self, from: Data(line.utf8))
    }

    private static func silent(_ what: String) -> Failure {
        Failure(
            .permanent,
            "the oslo.messaging listener \(what): see what it wrote above; it needs python3-oslo.messaging (`lab install rabbitmq,glance`)")
    }
}
