import ForecacheModel
import ForecacheTestSupport
import Foundation
import Synchronization
import Testing

@Suite struct FeedTests {
    @Test(.timeLimit(.minutes(4))) func eventsArriveAsTheyHappen() async throws {
        try await RunningServer.with { server in
            let curl = try Curl([
                "-siN", "--max-time", "30", "http://127.0.0.1:\(server.port)/api/v1/events",
            ])
            let head = try await curl.read(until: "retry: 5000\n\n")
            #expect(head.lowercased().contains("content-type: text/event-stream"))
            try await listening(server)
            server.world.tell(
                StatusEvent(
                    at: RunningServer.now, kind: .progress, image: Samples.imageID(1), host: "h0\ndata: forged",
                    source: "glance", bytes: 5, totalBytes: 9))
            let event = try await curl.read(until: "\n\n")
            #expect(event.contains("event: progress\ndata: {"))
            #expect(event.contains("\"total_bytes\":9"))
            #expect(event.contains("\"host\":\"h0\\ndata: forged\""))
            #expect(event.contains("\"at\":\"2027-01-15T08:00:00Z\""))
        }
    }

    @Test(.timeLimit(.minutes(4))) func thereIsRoomForSoManyAndNoMore() async throws {
        var limits = Limits()
        limits.statusClients = 2
        try await RunningServer.with(limits: limits) { server in
            let url = "http://127.0.0.1:\(server.port)/api/v1/events"
            var open = try [
                Curl(["-sN", "--max-time", "30", url]), Curl(["-sN", "--max-time", "30", url]),
            ]
            for curl in open { _ = try await curl.read(until: "retry") }
            let refused = try await server.get("/api/v1/events")
            #expect(refused.status == 503)
            #expect(refused.headers["retry-after"] == "30")
            #expect(try await server.get("/healthz").status == 200)
            open.removeLast()
            // The server learns of it when it next writes: one event is told until there is room, at most as long as the test may take.
            while true {
                try Task.checkCancellation()
                server.world.tell(
                    StatusEvent(at: RunningServer.now, kind: .started, image: Samples.imageID(1), host: "h0"))
                let curl = try Curl(["-siN", "--max-time", "30", url])
                if try await curl.read(until: "\r\n").contains(" 200 ") { break }
            }
        }
    }

    /// Awaits that the feed's consumer is there.
    private func listening(_ server: RunningServer) async throws {
        while server.world.listeners.withLock({ $0.isEmpty }) {
            try Task.checkCancellation()
            await Task.yield()
        }
    }
}
