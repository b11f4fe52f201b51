import ForecacheModel
import ForecacheTestSupport
import Foundation
import SQLiteLedger
import Synchronization
import Testing

@Suite struct HealthTests {
    @Test func readyOnlyWithoutReasonsAgainstIt() async throws {
        try await RunningServer.with { server in
            server.world.notReady.withLock { $0 = ["not subscribed: no broker answers at rabbit1:5672"] }
            let before = try await server.get("/readyz")
            #expect(before.status == 503)
            #expect(before.body == "not ready\n- not subscribed: no broker answers at rabbit1:5672\n")
            #expect(try await server.get("/healthz").status == 200)
            server.world.notReady.withLock { $0 = [] }
            #expect(try await server.get("/readyz").status == 200)
            server.world.notReady.withLock { $0 = ["subscription lost"] }
            #expect(try await server.get("/readyz").status == 503)
        }
    }

    @Test func metricsAreWellFormedAndComplete() async throws {
        try await RunningServer.with { server in
            try await server.ledger.want(Samples.imageID(1), name: "ubuntu")
            try await server.ledger.request(
                [Samples.imageID(1), Samples.imageID(2)], cause: .event, at: RunningServer.now)
            server.world.counters.withLock {
                $0.isSubscribed = true
                $0.lastEventAt = RunningServer.now.addingTimeInterval(-30)
                $0.resyncedAt = RunningServer.now.addingTimeInterval(-90)
                $0.received = [.image: 7, .odd: 1]
                $0.outcomes = [.cached: 4]
                $0.bytesMoved = 1 << 40
            }
            let answer = try await server.get("/metrics")
            #expect(answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            let samples = try parse(answer.body)
            #expect(samples["forecache_placements{state=\"fresh\"}"] == 1)
            #expect(samples["forecache_placements{state=\"pending\"}"] == 1)
            #expect(samples["forecache_placements{state=\"expired\"}"] == 0)
            #expect(samples["forecache_work_queue_length"] == 2)
            #expect(samples["forecache_notifications_total{result=\"image\"}"] == 7)
            #expect(samples["forecache_notifications_total{result=\"duplicate\"}"] == 0)
            #expect(samples["forecache_outcomes_total{outcome=\"cached\"}"] == 4)
            #expect(samples["forecache_bytes_moved_total"] == 1 << 40)
            #expect(samples["forecache_subscription_up"] == 1)
            #expect(samples["forecache_last_event_age_seconds"] == 30)
            #expect(samples["forecache_resync_age_seconds"] == 90)
            #expect(samples["forecache_ready"] == 1)
            #expect(samples["forecache_ledger_up"] == 1)
        }
    }

    /// Strict: each sample follows the HELP and TYPE of its own name, no name comes twice, counters end in `_total`.
    private func parse(_ text: String) throws -> [String: Int] {
        #expect(text.hasSuffix("\n"))
        var (samples, types, current) = ([String: Int](), [String: String](), "")
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 3).map(String.init)
            if words[0] == "#" {
                if words[1] == "HELP" { current = words[2] }
                #expect(words[2] == current)
                if words[1] == "TYPE" {
                    #expect(types.updateValue(words[3], forKey: current) == nil, "\(current) twice")
                }
                continue
            }
            #expect(String(words[0].prefix { $0 != "{" }) == current)
            #expect((types[current] == "counter") == current.hasSuffix("_total"))
            #expect(
                samples.updateValue(try #require(Int(words[1])), forKey: words[0]) == nil, "\(line) twice")
        }
        return samples
    }
}
