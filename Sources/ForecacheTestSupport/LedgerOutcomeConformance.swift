import Engine
import ForecacheModel
import Foundation
import Planning

extension LedgerRule {
    /// Outcomes, surveys and refreshes.
    func checkOutcomes(on ledger: any Ledger) async throws {
        let (now, hosts) = (LedgerSample.now, LedgerSample.hosts)
        let image = Samples.imageID(1)
        let ttl = Dictionary(hosts.map { ($0, 1000) }) { first, _ in first }
        try await ledger.record(LedgerSample.decision(image, on: hosts), ttlSeconds: ttl, at: now)
        switch self {
        case .startedIsCachingUntilItsOutcome:
            try await ledger.recordStarted(image, on: [hosts[0], hosts[1], "stranger"], at: now)
            try expect(try await states(ledger, image, at: now), [.caching, .caching, .pending], "started")
            try await ledger.record(
                [LedgerSample.outcome(image, hosts[0], .cached), LedgerSample.outcome(image, hosts[1], .skipped)], at: now)
            try expect(try await states(ledger, image, at: now), [.fresh, .pending, .pending], "ended")
        case .progressIsToldWhileItLasts:
            let half = TransferProgress(source: "glance", receivedBytes: 500, totalBytes: 1000)
            let told = { () async throws in try await ledger.placements(of: image).map(\.transfer) }
            try await ledger.recordStarted(image, on: [hosts[0]], at: now)
            try expect(try await told(), [nil, nil, nil], "started")
            try await ledger.recordProgress(image, [hosts[0]: half, hosts[1]: half, "stranger": half])
            try expect(try await told(), [half, nil, nil], "under way, and only what is worked on")
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .failed)], at: now)
            try expect(try await told(), [nil, nil, nil], "ended")
            try await ledger.recordStarted(image, on: [hosts[0]], at: now)
            try expect(try await told(), [nil, nil, nil], "started again")
        case .cachedIsFreshAndRefreshedAhead:
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached, at: now.later(-7))], at: now)
            let placement = try await placement(ledger, image, hosts[0])
            try expect(placement.touchedAt, now.later(-7), "touched")
            try expect(placement.expiresAt, now.later(993), "expires")
            try expect(placement.lastOutcome, .cached, "outcome")
            let schedule = RefreshSchedule(atFraction: 0.6)
            let expected = schedule.refreshAt(touchedAt: now.later(-7), ttlSeconds: 1000, image: image, host: hosts[0])
            try expect(near(placement.refreshAt, expected), true, "refresh by the schedule")
            try expect(near(try await ledger.nextRefresh(), expected), true, "next refresh")
            try expect(try await ledger.hostsDue(at: expected.later(-1), limit: 9).count, 0, "due before its time")
            try expect(try await ledger.hostsDue(at: expected.later(1), limit: 9).map(\.host), [hosts[0]], "due at its time")
            try expect(placement.state(at: expected.later(1)), .due, "state")
        case .failuresCountUntilASuccess:
            for count in 1...3 {
                try await ledger.record([LedgerSample.outcome(image, hosts[0], .failed)], at: now)
                try expect(try await placement(ledger, image, hosts[0]).failures, count, "failures")
            }
            try expect(try await placement(ledger, image, hosts[0]).lastError, "because", "error")
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .existing)], at: now)
            try expect(try await placement(ledger, image, hosts[0]).failures, 0, "failures after a success")
            try expect(try await placement(ledger, image, hosts[0]).lastError, nil, "error after a success")
        case .unsupportedIsNeverRefreshed:
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .unsupported)], at: now)
            try expect(try await placement(ledger, image, hosts[0]).state(at: now), .unsupported, "state")
            try expect(try await ledger.nextRefresh(), nil, "refresh")
        case .anOutcomeOfAnUnknownPlacementIsTaken:
            let stranger = Samples.imageID(50)
            try await ledger.record(
                [LedgerSample.outcome(stranger, "nowhere", .cached), LedgerSample.outcome(image, hosts[0], .cached)], at: now)
            try expect(try await placement(ledger, image, hosts[0]).state(at: now), .fresh, "the other one's state")
        case .aSurveySeesAgesAndWhatIsMissing: try await checkSurvey(on: ledger, image)
        case .anOlderSurveyChangesNothing:
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached)], at: now)
            try await ledger.record(HostSurvey(host: hosts[0], surveyedAt: now.later(-5)), at: now.later(1))
            try expect(try await placement(ledger, image, hosts[0]).touchedAt, now, "touched after the survey was taken")
        case .aClockThatWasAheadIsNotBelieved:
            let file = BaseFile(name: BaseFileName(of: image), bytes: 7000, allocatedBytes: 4096, ageSeconds: 10)
            let ahead = now.later(86_400)
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached, at: ahead)], at: ahead)
            try await ledger.record(HostSurvey(host: hosts[0], surveyedAt: now, baseFiles: [file]), at: now)
            try expect(try await placement(ledger, image, hosts[0]).touchedAt, now.later(-10), "as it lies there")
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached, at: ahead)], at: ahead)
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .existing, at: now)], at: now)
            try expect(try await placement(ledger, image, hosts[0]).touchedAt, now, "after an outcome")
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached, at: ahead)], at: ahead)
            try await ledger.recordTouched([image], on: hosts[0], at: now)
            try expect(try await placement(ledger, image, hosts[0]).touchedAt, now, "after a touch")
        case .anUnreachableHostKeepsItsPlacements:
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached)], at: now)
            try await ledger.recordUnreachable(hosts[0], reason: "no route", at: now)
            try await ledger.recordUnreachable("new-host", reason: "no route", at: now)
            try expect(try await placement(ledger, image, hosts[0]).state(at: now), .fresh, "state")
        case .aHostThatIsBackTellsWhatIsMissingThere:
            let survey = HostSurvey(host: hosts[0], surveyedAt: now)
            try expect(try await ledger.record(survey, at: now), [], "missing where it never was away")
            try await ledger.recordUnreachable(hosts[0], reason: "no route", at: now)
            try expect(try await ledger.record(HostSurvey(host: hosts[1], surveyedAt: now), at: now), [], "missing on another")
            try expect(try await ledger.record(survey, at: now), [image], "missing where it is back")
            try expect(try await ledger.record(survey, at: now), [], "missing once it is known to be back")
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached)], at: now)
            let file = BaseFile(name: BaseFileName(of: image), bytes: 7000, allocatedBytes: 4096, ageSeconds: 100)
            for (age, missing) in [(100.0, []), (1000.0, [image])] {
                try await ledger.recordUnreachable(hosts[0], reason: "no route", at: now)
                var survey = HostSurvey(host: hosts[0], surveyedAt: now.later(1), baseFiles: [file])
                survey.baseFiles[0].ageSeconds = age
                try expect(try await ledger.record(survey, at: now.later(1)), missing, "missing with a file of \(age) s")
            }
        case .dueRefreshesAreSoonestExpiryFirst:
            for (host, touched) in zip(hosts, [-20.0, -40, -30]) {
                try await ledger.record([LedgerSample.outcome(image, host, .cached, at: now.later(touched))], at: now)
            }
            let due = try await ledger.hostsDue(at: now.later(2000), limit: 2)
            try expect(due.map(\.host), [hosts[1], hosts[2]], "two of three")
        case .aPostponedRefreshComesLater:
            try await ledger.record([LedgerSample.outcome(image, hosts[0], .cached)], at: now)
            try await ledger.postponeRefresh([image], on: hosts[0], until: now.later(800), reason: "no route", at: now.later(600))
            try expect(try await ledger.hostsDue(at: now.later(799), limit: 9).count, 0, "due before")
            try expect(try await ledger.nextRefresh(), now.later(800), "next")
            try expect(try await placement(ledger, image, hosts[0]).lastError, "no route", "error")
            try expect(try await placement(ledger, image, hosts[0]).touchedAt, now, "age")
        default: throw BrokenLedgerRule(rule: self, what: "has no check")
        }
    }

    private func checkSurvey(on ledger: any Ledger, _ image: ImageID) async throws {
        let (now, hosts) = (LedgerSample.now, LedgerSample.hosts)
        let file = BaseFile(name: BaseFileName(of: image), bytes: 7000, allocatedBytes: 4096, ageSeconds: 100)
        let stranger = BaseFile(name: BaseFileName(of: Samples.imageID(9)), bytes: 1, allocatedBytes: 1, ageSeconds: 1)
        try await ledger.record(HostSurvey(host: hosts[0], surveyedAt: now, baseFiles: [stranger, file]), at: now)
        let seen = try await placement(ledger, image, hosts[0])
        try expect(seen.touchedAt, now.later(-100), "touched")
        try expect(seen.bytes, 7000, "bytes")
        let expected = RefreshSchedule(atFraction: 0.6).refreshAt(
            touchedAt: now.later(-100), ttlSeconds: 1000, image: image, host: hosts[0])
        try expect(near(seen.refreshAt, expected), true, "refresh")
        try expect(try await placement(ledger, image, hosts[1]).touchedAt, nil, "another host's")
        try await ledger.record(HostSurvey(host: hosts[0], surveyedAt: now.later(60)), at: now.later(60))
        try expect(try await placement(ledger, image, hosts[0]).state(at: now.later(60)), .pending, "state once it is gone")
        try expect(try await ledger.nextRefresh(), nil, "refresh once it is gone")
    }

    private func placement(_ ledger: any Ledger, _ image: ImageID, _ host: HostName) async throws -> PlacementRecord {
        guard let placement = try await ledger.placements(of: image).first(where: { $0.host == host }) else {
            throw BrokenLedgerRule(rule: self, what: "no placement on \(host)")
        }
        return placement
    }

    private func states(_ ledger: any Ledger, _ image: ImageID, at now: Date) async throws -> [PlacementState] {
        try await ledger.placements(of: image).sorted { $0.host < $1.host }.map { $0.state(at: now) }
    }
}
