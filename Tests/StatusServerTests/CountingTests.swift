import ForecacheModel
import Foundation
import Synchronization
import Testing

@testable import StatusServer

/// What a look at the metrics costs.
@Suite struct CountingTests {
    @Test(.timeLimit(.minutes(4))) func whoAsksWhileACountRunsWaitsForIt() async throws {
        let (begun, begins) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let (goOn, gate) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let runs = Mutex(0)
        let counts = PlacementCounts { _ async throws(Failure) in
            runs.withLock { $0 += 1 }
            begins.yield()
            for await _ in goOn {}
            if Task.isCancelled { throw Failure(.cancelled, "the first one hung up") }
            return PlacementCounts.Counts(states: [.fresh: 7], atRisk: 0)
        }
        let first = Task { try await counts.at(RunningServer.now) }
        for await _ in begun { break }
        let others = (0..<20).map { _ in Task { try await counts.at(RunningServer.now) } }
        first.cancel()
        // Most of the others ask before the count may go on; a late one is answered by what is known.
        for _ in 0..<1000 { await Task.yield() }
        gate.finish()
        for other in others { #expect(try await other.value.states == [.fresh: 7]) }
        #expect(runs.withLock { $0 } == 1)
    }

    /// Of the library's threads there is one, whatever the number of CPUs and of servers.
    @Test func oneThreadServesThemAll() async throws {
        try await RunningServer.with { server in
            #expect(try await server.get("/healthz").status == 200)
            let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")
            // A thread that has ended meanwhile has no name.
            let names = tasks.compactMap { try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8) }
            #expect(names.count { $0.hasPrefix("NIO-") } == 1, "\(names)")
        }
    }
}
