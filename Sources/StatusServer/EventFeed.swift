import ForecacheModel
import Foundation
import Hummingbird
import ServiceLifecycle

/// Server-sent events. A client that reads slower than things happen misses some: 256 are kept for it, then the oldest go.
struct EventFeed: Sendable {
    var events: @Sendable () -> AsyncStream<StatusEvent>

    func write(to writer: inout any ResponseBodyWriter) async throws {
        // Buffers up to 256 frames; the newest are kept.
        let (frames, feed) = AsyncStream.makeStream(
            of: ByteBuffer.self, bufferingPolicy: .bufferingNewest(256))
        // The first frame tells the browser that it is connected, and after how many milliseconds to come again when it is not.
        feed.yield(ByteBuffer(string: "retry: 5000\n\n"))
        let events = events
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                // Ends with the service: an open feed must not hold up its shutdown.
                for await event in events().cancelOnGracefulShutdown() { feed.yield(Self.frame(event)) }
                feed.finish()
            }
            group.addTask {
                // A comment every 15 seconds keeps proxies from closing a quiet feed and finds clients that went away without a word.
                while !Task.isCancelled {
                    try await Task.sleep(for: .seconds(15))
                    feed.yield(ByteBuffer(string: ":\n\n"))
                }
            }
            for await frame in frames { try await writer.write(frame) }
            group.cancelAll()
        }
    }

    private static func frame(_ event: StatusEvent) -> ByteBuffer {
        // JSON escapes line ends, so the data is one line. An event that cannot be encoded (none is known) is a comment.
        guard let data = try? ContractJSON.text(event, pretty: false) else { return ByteBuffer(string: ":\n\n") }
        return ByteBuffer(string: "event: \(event.kind.rawValue)\ndata: \(data)\n\n")
    }
}
