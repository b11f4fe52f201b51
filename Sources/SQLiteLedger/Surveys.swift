public import ForecacheModel
public import Foundation
import GRDB
import Planning

extension SQLiteLedger {
    /// What was learnt after the survey was taken stays: a base file may have been made or touched while its answer was under way.
    @discardableResult
    public func record(_ survey: HostSurvey, at now: Date) async throws(Failure) -> [ImageID] {
        let refresh = refresh
        return try await write("record the survey of \(survey.host)") { db in
            let host = try Keys(db, at: now).host(survey.host)
            let wasAway = try db.integer("SELECT reachable FROM hosts WHERE id = ?", [host]) == 0
            try db.run(
                """
                UPDATE hosts SET reachable = 1, surveyed_at = ?, ttl_seconds = ?, clock_skew_seconds = ?, images_type = ?, free_bytes = ?,
                    error = NULL, updated_at = ?
                WHERE id = ?
                """,
                [
                    survey.surveyedAt.column, survey.ttlSeconds, survey.clockSkewSeconds,
                    survey.imagesType?.bounded(64), survey.freeBytes,
                    now.column, host,
                ])
            for change in try changes(db, survey, host, refresh, at: now) {
                try db.run(
                    "UPDATE placements SET touched_at = ?, refresh_at = ?, bytes = ?, updated_at = ? WHERE image = ? AND host = ?",
                    [change.touchedAt, change.refreshAt, change.bytes, now.column, change.image, host])
            }
            return wasAway ? try missing(db, on: host, at: now) : []
        }
    }

    public func recordUnreachable(_ host: HostName, reason: String, at now: Date)
        async throws(Failure)
    {
        try await write("record that \(host) is unreachable") { db in
            let key = try Keys(db, at: now).host(host)
            try db.run(
                "UPDATE hosts SET reachable = 0, error = ?, updated_at = ? WHERE id = ?",
                [reason.bounded(), now.column, key])
        }
    }
}

/// Images that are wanted there, and not there or past their expiry.
private func missing(_ db: Database, on host: Int64, at now: Date) throws -> [ImageID] {
    let rows = try db.rows(
        """
        SELECT i.uuid FROM placements p JOIN images i ON i.id = p.image
        WHERE p.host = ? AND p.wanted = 1 AND (p.touched_at IS NULL OR p.touched_at + p.ttl_seconds <= ?)
        ORDER BY i.uuid
        """, [host, now.column])
    var images: [ImageID] = []
    while let row = try rows.next() { images.append(try ImageID(blob: row.at(0))) }
    return images
}

private struct Change {
    var image: Int64
    var touchedAt: Double?
    var refreshAt: Double?
    var bytes: Int64
}

/// Placements of the host that read otherwise than the ledger has them. Differences below a second are how exactly ages are known; writing those would
/// rewrite every row of the host at each survey.
private func changes(
    _ db: Database, _ survey: HostSurvey, _ host: Int64, _ schedule: RefreshSchedule, at now: Date
) throws -> [Change] {
    let there = Dictionary(survey.baseFiles.map { ($0.name, $0) }) { first, _ in first }
    let surveyedAt = survey.surveyedAt.column
    var changes: [Change] = []
    let rows = try db.rows(
        """
        SELECT p.image, i.uuid, i.base_file, p.touched_at, p.bytes, p.ttl_seconds, p.wanted, p.last_outcome, p.refresh_at
        FROM placements p JOIN images i ON i.id = p.image WHERE p.host = ?
        """, [host])
    while let row = try rows.next() {
        let known: Double? = try row.at(3)
        // What lies in the future was written down by a clock that has been set back since.
        if let known, known > surveyedAt, known <= now.column { continue }
        guard let file = BaseFileName(try row.at(2)).flatMap({ there[$0] }) else {
            if known != nil { changes.append(Change(image: try row.at(0), bytes: 0)) }
            continue
        }
        let touchedAt = surveyedAt - file.ageSeconds
        let lastOutcome: String? = try row.at(7)
        let isKept: Bool = try row.at(6) && lastOutcome != OutcomeKind.unsupported.rawValue
        // A touch that was put off while the host was away is due again: it answers now.
        let isPutOff: Bool = try isKept && lastOutcome == OutcomeKind.failed.rawValue && (row.at(8) as Double? ?? 0) > surveyedAt
        if let known, abs(known - touchedAt) < 1, try row.at(4) == file.bytes, !isPutOff { continue }
        let refreshAt =
            isKept
            ? schedule.refreshAt(
                touchedAt: Date(column: touchedAt), ttlSeconds: try row.at(5),
                image: try ImageID(blob: row.at(1)), host: survey.host)
            : nil
        changes.append(
            Change(
                image: try row.at(0), touchedAt: touchedAt, refreshAt: refreshAt?.column, bytes: file.bytes)
        )
    }
    return changes
}
