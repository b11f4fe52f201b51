import ForecacheModel
import ForecacheTestSupport
import Foundation
import Planning
import SQLiteLedger
import Testing

@testable import Daemon

/// `status --history`: what the ledger keeps of what was done.
@Suite struct HistoryTests {
    private let folder: Folder
    private let setup: Setup

    init() throws {
        folder = try Folder()
        var options = Setup.Options(environment: folder.environment)
        options.file = try folder.write("forecache.yaml", "state: ledger\n")
        setup = try Setup.load(options)
    }

    private func outcome(_ number: Int, _ site: SiteName, _ kind: OutcomeKind, reason: String? = nil) -> Outcome {
        Outcome(
            image: Samples.imageID(number), site: site, host: HostName("\(site)-0"), kind: kind, source: "glance", bytes: 5, seconds: 1.5,
            reason: reason)
    }

    @Test func whatWasDoneLastComesFirstWithAllKeysOfCacheAndTwoMore() async throws {
        let ledger = try SQLiteLedger(path: setup.configuration.state, refresh: RefreshSchedule(), limits: Limits())
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let placement = Placement(image: Samples.imageID(1), site: "dcn1", role: "Compute", host: "dcn1-0", rule: "r")
        try await ledger.record(Decision(image: Samples.image(1), placements: [placement]), ttlSeconds: [:], at: now)
        let failed = outcome(2, "dcn2", .failed, reason: "no space")
        try await ledger.record([outcome(1, "dcn1", .cached)], at: now)
        try await ledger.record([failed], at: now.addingTimeInterval(60))

        let report = try await StatusQuery(setup: setup).history(limit: 10)
        let json = try JSONSerialization.jsonObject(with: Data(try ContractJSON.text(report).utf8)) as? [String: [[String: Any]]]
        let entries = try #require(json?["history"])
        #expect(entries.map { $0["at"] as? String } == ["2027-01-15T08:01:00Z", "2027-01-15T08:00:00Z"])
        #expect(entries.map { $0["outcome"] as? String } == ["failed", "cached"])
        #expect(entries.map { $0["name"] as? String } == [nil, Samples.image(1).name])
        let ofCache = try JSONSerialization.jsonObject(with: Data(try ContractJSON.text(OutcomeReport([failed])).utf8)) as? [String: Any]
        let keys = try #require((ofCache?["outcomes"] as? [[String: Any]])?.first).keys
        #expect(Set(entries[0].keys) == Set(keys).union(["at", "name"]))
        #expect(try await StatusQuery(setup: setup).history(limit: 1).history.map(\.row.outcome) == [.failed])
    }
}
