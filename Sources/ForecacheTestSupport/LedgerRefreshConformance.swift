import Engine
import ForecacheModel
import Foundation
import Planning

extension LedgerRule {
    /// What keeps base files alive.
    func checkRefreshes(on ledger: any Ledger) async throws {
        let (now, host) = (LedgerSample.now, LedgerSample.hosts[0])
        let images = [Samples.imageID(1), Samples.imageID(2), Samples.imageID(3)]
        for image in images {
            try await ledger.record(LedgerSample.decision(image, on: LedgerSample.hosts), ttlSeconds: [host: 1000], at: now)
        }
        let schedule = RefreshSchedule(atFraction: 0.6)
        switch self {
        case .aPutOffRefreshIsDueOnceTheHostAnswers:
            try await ledger.record([LedgerSample.outcome(images[0], host, .cached)], at: now)
            try await ledger.postponeRefresh([images[0]], on: host, until: now.later(900), reason: "no route", at: now.later(650))
            let file = BaseFile(name: BaseFileName(of: images[0]), bytes: 5000, allocatedBytes: 5000, ageSeconds: 660)
            try await ledger.record(HostSurvey(host: host, surveyedAt: now.later(660), baseFiles: [file]), at: now.later(660))
            try expect(try await ledger.hostsDue(at: now.later(660), limit: 9).map(\.host), [host], "due")
        case .whatIsDueSoonIsTakenAlong:
            // Touched one after the other, the second comes due within the jitter, the third after it.
            for (image, touched) in zip(images, [0.0, 60, 300]) {
                try await ledger.record([LedgerSample.outcome(image, host, .cached, at: now.later(touched))], at: now.later(touched))
            }
            let due = schedule.refreshAt(touchedAt: now, ttlSeconds: 1000, image: images[0], host: host)
            try expect(try await ledger.hostsDue(at: due.later(1), limit: 9).map(\.expiresAt), [now.later(1000)], "hosts due")
            let taken = try await ledger.dueRefreshes(on: host, at: due.later(1), limit: 9)
            try expect(taken.map(\.image), [images[0], images[1]], "taken along, soonest expiry first")
            let first = DueRefresh(
                image: images[0], baseFile: BaseFileName(of: images[0]), site: "dcn1", rule: "golden", expiresAt: now.later(1000))
            try expect(taken.first, first, "what is told of it")
            try expect(try await ledger.dueRefreshes(on: host, at: due.later(1), limit: 1).map(\.image), [images[0]], "one of two")
            try expect(try await ledger.dueRefreshes(on: "nowhere", at: due, limit: 9).count, 0, "of a host that is not known")
        case .aTouchMakesItFresh:
            try await ledger.record([LedgerSample.outcome(images[0], host, .cached)], at: now)
            try await ledger.postponeRefresh([images[0]], on: host, until: now.later(700), reason: "no route", at: now.later(600))
            try await ledger.recordTouched([images[0], images[1], Samples.imageID(77)], on: host, at: now.later(710))
            let record = try await only(ledger, images[0], host)
            try expect(record.state(at: now.later(711)), .fresh, "state")
            try expect(record.touchedAt, now.later(710), "touched")
            try expect(record.failures, 0, "failures")
            try expect(record.lastError, nil, "error")
            let next = schedule.refreshAt(touchedAt: now.later(710), ttlSeconds: 1000, image: images[0], host: host)
            try expect(near(record.refreshAt, next), true, "next refresh")
        case .whatIsMissingIsNotRefreshed:
            try await ledger.record([LedgerSample.outcome(images[0], host, .cached)], at: now)
            try await ledger.recordMissing([images[0]], on: host, reason: "gone", at: now.later(600))
            let record = try await only(ledger, images[0], host)
            try expect(record.state(at: now.later(600)), .failed, "state")
            try expect(record.lastError, "gone", "error")
            try expect(record.touchedAt, nil, "touched")
            try expect(try await ledger.nextRefresh(), nil, "refresh")
        case .whereItIsMissingIsTold:
            let sites = { (image: ImageID, moment: Date) async throws in try await ledger.sitesInNeed(of: image, at: moment) }
            try expect(try await sites(images[0], now), ["dcn1", "dcn2"], "before it is anywhere")
            try await ledger.record(LedgerSample.hosts.map { LedgerSample.outcome(images[0], $0, .cached) }, at: now)
            try expect(try await sites(images[0], now.later(999)), [], "while it is everywhere")
            try await ledger.recordMissing([images[0]], on: LedgerSample.hosts[2], reason: "gone", at: now.later(600))
            try expect(try await sites(images[0], now.later(999)), ["dcn2"], "where it is gone")
            try expect(try await sites(images[0], now.later(1000)), ["dcn1", "dcn2"], "where it has expired")
            try await ledger.recordTouched([images[0]], on: host, at: now.later(600))
            try expect(try await sites(images[0], now.later(1000)), ["dcn2"], "where it was touched")
            try await ledger.record(LedgerSample.decision(images[0], on: [host]), ttlSeconds: [:], at: now.later(700))
            try expect(try await sites(images[0], now.later(1000)), [], "where nobody wants it any longer")
            try expect(try await sites(Samples.imageID(77), now), [], "of an image that is not known")
        case .anOutcomeMakesNoFileOlder:
            try await ledger.record([LedgerSample.outcome(images[0], host, .cached)], at: now)
            try await ledger.recordTouched([images[0]], on: host, at: now.later(600))
            try await ledger.record([LedgerSample.outcome(images[0], host, .existing, at: now)], at: now.later(610))
            try expect(try await only(ledger, images[0], host).touchedAt, now.later(600), "touched")
        case .riskIsCounted:
            for image in images { try await ledger.record([LedgerSample.outcome(image, host, .cached)], at: now) }
            try expect(try await ledger.atRiskCount(at: now.later(470)), 0, "at risk before they are due")
            let failed = Array(images.prefix(2))
            try await ledger.postponeRefresh(failed, on: host, until: now.later(900), reason: "no route", at: now.later(590))
            let moments = [now.later(300), now.later(399), now.later(401), now.later(599), now.later(700), now.later(1001)]
            for moment in moments {
                var expected = 0
                for image in images where try await only(ledger, image, host).isAtRisk(at: moment) { expected += 1 }
                try expect(try await ledger.atRiskCount(at: moment), expected, "at risk after \(moment.timeIntervalSince(now)) s")
            }
            try expect(try await ledger.atRiskCount(at: now.later(700)), 3, "at risk")
            try expect(try await ledger.atRiskCount(at: now.later(1001)), 0, "at risk once expired")
        default: throw BrokenLedgerRule(rule: self, what: "has no check")
        }
    }

    private func only(_ ledger: any Ledger, _ image: ImageID, _ host: HostName) async throws -> PlacementRecord {
        guard let record = try await ledger.placements(of: image).first(where: { $0.host == host }) else {
            throw BrokenLedgerRule(rule: self, what: "no placement on \(host)")
        }
        return record
    }
}
