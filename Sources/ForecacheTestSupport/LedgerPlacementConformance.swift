import Engine
import ForecacheModel
import Foundation
import Planning

extension LedgerRule {
    /// Decisions and what is read back.
    func checkDecisions(on ledger: any Ledger) async throws {
        let (now, hosts) = (LedgerSample.now, LedgerSample.hosts)
        let image = Samples.imageID(1)
        let ttl = Dictionary(hosts.map { ($0, 1000) }) { first, _ in first }
        try await ledger.record(LedgerSample.decision(image, on: hosts), ttlSeconds: ttl, at: now)
        switch self {
        case .aDecisionMakesPlacementsPending:
            let placements = try await ledger.placements(of: image)
            try expect(placements.map(\.host).sorted(), hosts, "hosts")
            try expect(placements.map { $0.state(at: now) }, [.pending, .pending, .pending], "states")
            try expect(Set(placements.map(\.ttlSeconds)), [1000], "TTLs")
            try expect(Set(placements.map(\.rule)), ["golden"], "rules")
            try expect(placements.filter { $0.refreshAt != nil }.count, 0, "refreshes of what is not there")
            try expect(try await ledger.nextRefresh(), nil, "next refresh")
        case .aDecisionUpdatesWhatIsKept:
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached)], at: now)
            var decision = LedgerSample.decision(image, on: hosts, rule: "other")
            for index in decision.placements.indices {
                (decision.placements[index].role, decision.placements[index].priority) = ("Edge", 90)
            }
            try await ledger.record(decision, ttlSeconds: ttl, at: now.later(1))
            let placements = try await ledger.placements(of: image)
            try expect(Set(placements.map { "\($0.rule) \($0.role) \($0.priority)" }), ["other Edge 90"], "rule, role, priority")
            try expect(placements.first { $0.host == hosts[0] }?.touchedAt, now, "age of what lies there")
        case .aDecisionUnwantsTheRest:
            try await ledger.record(hosts.map { LedgerSample.outcome(image, $0, .cached) }, at: now)
            try await ledger.record(LedgerSample.decision(image, on: [hosts[1]]), ttlSeconds: ttl, at: now.later(1))
            let wanted = try await ledger.placements(of: image).filter(\.isWanted)
            try expect(wanted.map(\.host), [hosts[1]], "wanted")
            try expect(try await ledger.placements(of: image).count, 3, "rows, for nothing is deleted")
            try expect(try await ledger.hostsDue(at: now.later(5000), limit: 9).map(\.host), [hosts[1]], "refreshes")
        case .dryRunLeavesNoPlacement:
            let other = Samples.imageID(2)
            try await ledger.record(LedgerSample.decision(other, on: hosts, mode: .dryRun), ttlSeconds: ttl, at: now)
            try expect(try await ledger.placements(of: other).count, 0, "placements")
        case .aNewTTLMovesTheRefresh:
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached)], at: now)
            try await ledger.record(LedgerSample.decision(image, on: hosts), ttlSeconds: [hosts[0]: 9000], at: now.later(1))
            let expected = RefreshSchedule(atFraction: 0.6).refreshAt(touchedAt: now, ttlSeconds: 9000, image: image, host: hosts[0])
            try expect(try await near(ledger.nextRefresh(), expected), true, "refresh moved")
        case .wantedAgainIsRefreshedAgain:
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached)], at: now)
            let due = try await ledger.nextRefresh()
            try await ledger.record(LedgerSample.decision(image, on: []), ttlSeconds: [:], at: now.later(1))
            try expect(try await ledger.nextRefresh(), nil, "refresh of what is unwanted")
            try await ledger.record(LedgerSample.decision(image, on: hosts), ttlSeconds: ttl, at: now.later(2))
            try expect(try await ledger.nextRefresh(), due, "refresh")
        case .goneIsUnwanted:
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached)], at: now)
            try await ledger.recordGone(image, at: now.later(1))
            try await ledger.recordGone(Samples.imageID(77), at: now.later(1))
            try expect(Set(try await ledger.placements(of: image).map { $0.state(at: now) }), [.unwanted], "states")
            try expect(try await ledger.nextRefresh(), nil, "refresh")
        case .aMatchIsRememberedWhileItLasts: try await checkMatches(on: ledger, image)
        case .imagesComeInPages:
            let others = [Samples.imageID(2), Samples.imageID(3)]
            for other in others { try await ledger.record(LedgerSample.decision(other, on: [hosts[0]]), ttlSeconds: ttl, at: now) }
            let page = try await ledger.images(after: nil, limit: 2)
            try expect(page.map(\.id), [image, others[0]], "first page")
            try expect(page.first?.name, "image 01", "name")
            try expect(try await ledger.images(after: others[0], limit: 2).map(\.id), [others[1]], "second page")
            try expect(try await ledger.images(after: others[1], limit: 2), [], "end")
        case .countsAgreeWithStates: try await checkCounts(on: ledger, ttl)
        default: throw BrokenLedgerRule(rule: self, what: "has no check")
        }
    }

    private func checkMatches(on ledger: any Ledger, _ image: ImageID) async throws {
        let now = LedgerSample.now
        func decision(_ began: [String: Date]) -> Decision {
            var decision = LedgerSample.decision(image, on: [])
            decision.rules = ["for-a-week", "always"].map {
                RuleVerdict(rule: $0, file: "r.yaml", line: 1, matched: true, reasons: [], placements: 0, began: began[$0])
            }
            return decision
        }
        try expect(try await ledger.matchesBegan(image), [:], "matches before any")
        try await ledger.record(decision(["for-a-week": now]), ttlSeconds: [:], at: now.later(5))
        try expect(try await ledger.matchesBegan(image), ["for-a-week": now], "matches")
        try expect(try await ledger.matchesBegan(Samples.imageID(2)), [:], "another image's matches")
        try await ledger.record(decision(["for-a-week": now, "always": now.later(9)]), ttlSeconds: [:], at: now.later(9))
        try expect(try await ledger.matchesBegan(image), ["for-a-week": now, "always": now.later(9)], "two matches")
        try await ledger.record(decision([:]), ttlSeconds: [:], at: now.later(10))
        try expect(try await ledger.matchesBegan(image), [:], "matches that ended")
        try await ledger.record(decision(["always": now]), ttlSeconds: [:], at: now.later(11))
        try await ledger.recordGone(image, at: now.later(12))
        try expect(try await ledger.matchesBegan(image), [:], "matches of an image that is gone")
    }

    /// One placement in every state, counted by the ledger and by `PlacementRecord.state(at:)`.
    private func checkCounts(on ledger: any Ledger, _ ttl: [HostName: Int]) async throws {
        let (now, host) = (LedgerSample.now, LedgerSample.hosts[0])
        let moments: [(OutcomeKind, Double)] = [
            (.cached, -5000), (.cached, -950), (.existing, -10), (.failed, 0), (.unsupported, 0), (.skipped, 0),
        ]
        for (index, moment) in moments.enumerated() {
            let image = Samples.imageID(10 + index)
            try await ledger.record(LedgerSample.decision(image, on: [host]), ttlSeconds: ttl, at: now)
            try await ledger.record([LedgerSample.outcome(image, host, moment.0, at: now.later(moment.1))], at: now)
        }
        let (started, gone) = (Samples.imageID(30), Samples.imageID(31))
        for image in [started, gone] { try await ledger.record(LedgerSample.decision(image, on: [host]), ttlSeconds: ttl, at: now) }
        try await ledger.recordStarted(started, on: [host], at: now)
        try await ledger.recordGone(gone, at: now)
        var expected: [PlacementState: Int] = [:]
        for image in try await ledger.images(after: nil, limit: 99) {
            for placement in try await ledger.placements(of: image.id) { expected[placement.state(at: now), default: 0] += 1 }
        }
        try expect(Set(expected.keys), Set(PlacementState.allCases), "states that this rule makes")
        try expect(try await ledger.placementCounts(at: now).filter { $0.value > 0 }, expected, "counts")
    }

    func near(_ found: Date?, _ wanted: Date) -> Bool { found.map { abs($0.timeIntervalSince(wanted)) < 0.001 } ?? false }
}
