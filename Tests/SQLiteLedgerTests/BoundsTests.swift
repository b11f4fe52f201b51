import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import Planning
import SQLiteLedger
import Testing

@Suite struct BoundsTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)

    @Test func historyKeepsTheNewest() async throws {
        var limits = Limits()
        limits.history = 10
        let ledger = try SQLiteLedger.inMemory(limits: limits)
        for number in 0..<25 {
            let outcome = Outcome(
                image: Samples.imageID(number), site: "dcn1", host: "h0", kind: .failed, via: .relay,
                source: "glance", bytes: 5, seconds: 1.5,
                digest: Digest(.md5, hex: String(repeating: "ab", count: 16)), reason: "because",
                failure: .retriable)
            try await ledger.record([outcome, outcome], at: now)
        }
        let history = try await ledger.outcomes(limit: 100)
        #expect(history.count == 10)
        #expect(history.first?.outcome.image == Samples.imageID(24))
        #expect(
            history.first?.outcome.digest?.description == "md5:" + String(repeating: "ab", count: 16))
        #expect(history.first?.outcome.failure == .retriable)
        #expect(history.first?.at == now)
        #expect(try await ledger.outcomes(of: ["dcn1", "dcn2"], limit: 3).map(\.outcome.image) == history.prefix(3).map(\.outcome.image))
        #expect(try await ledger.outcomes(of: ["dcn2"], limit: 3).isEmpty)
    }

    @Test func oddMessagesKeepTheNewestAndAreCut() async throws {
        var limits = Limits()
        limits.oddMessages = 3
        let ledger = try SQLiteLedger.inMemory(limits: limits)
        for number in 0..<8 {
            let message = OddMessage(
                receivedAt: now, exchange: "glance\0", routingKey: "\(number)", reason: "no JSON",
                excerpt: String(repeating: "é", count: 1 << 20))
            try await ledger.keep(message)
        }
        let kept = try await ledger.oddMessages(limit: 100)
        #expect(kept.map(\.routingKey) == ["7", "6", "5"])
        #expect(kept.allSatisfy { $0.excerpt.utf8.count <= 4100 && $0.exchange == "glance" })
    }

    @Test func imagesThatAreLongGoneAreForgotten() async throws {
        let (ledger, id) = (try SQLiteLedger.inMemory(), Samples.imageID(1))
        let placement = Placement(image: id, site: "dcn1", role: "Compute", host: "h0", rule: "golden")
        try await ledger.record(
            Decision(image: ImageFacts(id: id), placements: [placement]), ttlSeconds: ["h0": 100], at: now
        )
        try await ledger.recordGone(id, at: now)
        try await ledger.recordGone(id, at: now.addingTimeInterval(86399))
        #expect(try await ledger.images(after: nil, limit: 10).map(\.id) == [id])
        try await ledger.recordGone(id, at: now.addingTimeInterval(86401))
        #expect(try await ledger.images(after: nil, limit: 10).isEmpty)
        #expect(try await ledger.placements(of: id).isEmpty)
    }

    @Test func hostileTextGoesInAndComesOut() async throws {
        let (ledger, id) = (try SQLiteLedger.inMemory(), Samples.imageID(1))
        let text = "'; DROP TABLE work; -- \u{202e}<script>"
        let placement = Placement(
            image: id, site: SiteName(text), role: RoleName(text), host: HostName(text), rule: text)
        try await ledger.record(
            Decision(image: ImageFacts(id: id, name: text + "\0"), placements: [placement]),
            ttlSeconds: [:],
            at: now)
        let stored = try await ledger.placements(of: id)
        #expect(stored.map(\.host) == [HostName(text)])
        #expect(try await ledger.workCount() == 0)
    }
}
