import ForecacheModel
import Foundation
import Logging
import SQLiteLedger
import ServiceLifecycle
import StatusServer
import Testing

@Suite struct GuardTests {
    @Test(arguments: ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) func nothingButReadingIsAllowed(
        _ method: String
    ) async throws {
        try await RunningServer.with { server in
            let answer = try await server.get("/api/v1/status", ["-X", method])
            #expect(answer.status == 405)
            #expect(answer.headers["allow"] == "GET, HEAD")
        }
    }

    @Test func headHasHeadersOnly() async throws {
        try await RunningServer.with { server in
            for path in ["/", "/metrics", "/api/v1/events", "/api/v1/status"] {
                let answer = try await server.get(path, ["-I"])
                #expect(answer.status == 200, "\(path)")
                #expect(answer.body.isEmpty)
            }
        }
    }

    @Test func everyAnswerIsGuarded() async throws {
        try await RunningServer.with { server in
            for path in ["/", "/metrics", "/healthz", "/readyz", "/api/v1/status", "/nowhere"] {
                let headers = try await server.get(path).headers
                #expect(headers["x-content-type-options"] == "nosniff", "\(path)")
                #expect(headers["x-frame-options"] == "DENY")
                #expect(headers["referrer-policy"] == "no-referrer")
                #expect(headers["cache-control"] == "no-store")
                #expect(headers["content-security-policy"]?.hasPrefix("default-src 'none'") == true)
                #expect(headers["access-control-allow-origin"] == nil)
            }
            #expect(try await server.get("/nowhere").status == 404)
        }
    }

    @Test func anOutsideNameIsRefusedOnLoopback() async throws {
        try await RunningServer.with { server in
            for host in ["evil.example", "evil.example:\(server.port)", "127.0.0.1.evil.example", "localhost.", "[::2]"] {
                let answer = try await server.get("/api/v1/status", ["-H", "Host: \(host)"])
                #expect(answer.status == 421, "\(host)")
            }
            for host in ["localhost", "LOCALHOST:\(server.port)", "[::1]:\(server.port)", "127.0.0.1"] {
                let answer = try await server.get("/healthz", ["-H", "Host: \(host)"])
                #expect(answer.status == 200, "\(host)")
            }
        }
        try await RunningServer.with(listen: "0.0.0.0") { server in
            let answer = try await server.get("/healthz", ["-H", "Host: controller.example"])
            #expect(answer.status == 200)
        }
    }

    @Test func hugeHeadersAreRefused() async throws {
        try await RunningServer.with { server in
            let long = "X-Long: " + String(repeating: "a", count: 30000)
            let answer = try await server.get("/healthz", ["-H", long])
            #expect((400..<500).contains(answer.status))
            let next = try await server.get("/healthz")
            #expect(next.status == 200)
        }
    }

    @Test func anAddressInUseIsNamedWithItsRemedy() async throws {
        try await RunningServer.with { server in
            let second = StatusServer(
                listen: (host: "127.0.0.1", port: server.port),
                source: RunningServer.source(server.ledger, server.world), limits: Limits(),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let failure = await #expect(throws: Failure.self) { try await second.run() }
            #expect(failure?.kind == .fatal)
            #expect(failure?.cause == "Address already in use")
            #expect(
                failure?.description.contains("cannot listen on 127.0.0.1:\(server.port)") == true,
                "\(String(describing: failure))")
            #expect(failure?.description.contains("status: { listen:") == true)
        }
    }

    /// As the daemon runs it: in a service group, with a client on the live feed when the shutdown comes.
    @Test(.timeLimit(.minutes(4))) func gracefulShutdownEndsItWithAFeedOpen() async throws {
        let (ledger, world) = (try SQLiteLedger.inMemory(), RunningServer.World())
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let (ports, opened) = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingOldest(1))
        let server = StatusServer(
            listen: (host: "127.0.0.1", port: 0), source: RunningServer.source(ledger, world),
            limits: Limits(), logger: quiet)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [Wrapped(server: server, opened: opened)], logger: quiet))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var iterator = ports.makeAsyncIterator()
            let port = try #require(await iterator.next())
            let curl = try Curl(["-sN", "--max-time", "30", "http://127.0.0.1:\(port)/api/v1/events"])
            _ = try await curl.read(until: "retry: 5000")
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private struct Wrapped: Service {
        var server: StatusServer
        var opened: AsyncStream<Int>.Continuation

        func run() async throws { try await server.run { opened.yield($0) } }
    }
}
