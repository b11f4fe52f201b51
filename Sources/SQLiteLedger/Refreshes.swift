public import Engine
public import ForecacheModel
public import Foundation
import GRDB
import Planning

extension SQLiteLedger {
    public func hostsDue(at now: Date, limit: Int) async throws(Failure) -> [DueHost] {
        try await read("read which hosts are due") { db in
            let rows = try db.rows(
                """
                SELECT h.name, due.expires_at, due.since FROM (
                    SELECT host, min(touched_at + ttl_seconds) AS expires_at, min(refresh_at) AS since FROM placements
                    WHERE refresh_at IS NOT NULL AND refresh_at <= ? GROUP BY host ORDER BY expires_at LIMIT ?
                ) due JOIN hosts h ON h.id = due.host ORDER BY due.expires_at
                """, [now.column, max(0, limit)])
            var hosts: [DueHost] = []
            while let row = try rows.next() {
                hosts.append(
                    try DueHost(host: HostName(row.at(0)), expiresAt: Date(column: row.at(1)), dueAt: Date(column: row.at(2))))
            }
            return hosts
        }
    }

    public func dueRefreshes(on host: HostName, at now: Date, limit: Int) async throws(Failure) -> [DueRefresh] {
        let share = refresh.takenAlongShare
        return try await read("read what is due on \(host)") { db in
            let rows = try db.rows(
                """
                SELECT i.uuid, i.base_file, s.word, u.word, p.touched_at + p.ttl_seconds AS expires_at
                FROM placements p JOIN images i ON i.id = p.image JOIN words s ON s.id = p.site JOIN words u ON u.id = p.rule
                WHERE p.host = (SELECT id FROM hosts WHERE name = ?) AND p.refresh_at IS NOT NULL AND p.refresh_at <= ? + p.ttl_seconds * ?
                ORDER BY expires_at LIMIT ?
                """, [host.rawValue, now.column, share, max(0, limit)])
            var due: [DueRefresh] = []
            while let row = try rows.next() {
                guard let baseFile = BaseFileName(try row.at(1)) else {
                    throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "base file")
                }
                due.append(
                    try DueRefresh(
                        image: ImageID(blob: row.at(0)), baseFile: baseFile, site: SiteName(row.at(2)), rule: row.at(3),
                        expiresAt: Date(column: row.at(4))))
            }
            return due
        }
    }

    public func nextRefresh() async throws(Failure) -> Date? {
        try await read("read when the next refresh is due") { db in
            try Double.fetchOne(
                db.cachedStatement(sql: "SELECT refresh_at FROM placements WHERE refresh_at IS NOT NULL ORDER BY refresh_at LIMIT 1")
            ).map { Date(column: $0) }
        }
    }

    public func recordTouched(_ images: [ImageID], on host: HostName, at moment: Date) async throws(Failure) {
        let refresh = refresh
        try await write("record \(images.count) touches on \(host)", isSynced: false) { db in
            let keys = Keys(db, at: moment)
            guard let key = try keys.knownHost(host) else { return }
            for image in images {
                guard let imageKey = try keys.knownImage(image), var placement = try StoredPlacement.one(db, image: imageKey, host: key)
                else { continue }
                placement.touchedAt = moment.column
                (placement.failures, placement.lastError) = (0, nil)
                placement.lastOutcome = OutcomeKind.existing.rawValue
                placement.refreshAt = placement.nextRefresh(refresh, image, host)
                try placement.update(db, image: imageKey, host: key, at: moment)
            }
        }
    }

    public func recordMissing(_ images: [ImageID], on host: HostName, reason: String, at now: Date) async throws(Failure) {
        try await write("record \(images.count) missing files on \(host)", isSynced: false) { db in
            guard let key = try Keys(db, at: now).knownHost(host) else { return }
            for image in images {
                try db.run(
                    """
                    UPDATE placements SET touched_at = NULL, refresh_at = NULL, bytes = 0, failures = failures + 1, last_outcome = ?,
                        last_error = ?, updated_at = ?
                    WHERE image = (SELECT id FROM images WHERE uuid = ?) AND host = ?
                    """, [OutcomeKind.failed.rawValue, reason.bounded(), now.column, image.blob, key])
            }
        }
    }

    /// The base files may lie there all the same, so their age stays.
    public func postponeRefresh(
        _ images: [ImageID], on host: HostName, until dueAt: Date, reason: String, at now: Date
    ) async throws(Failure) {
        try await write("put off \(images.count) refreshes on \(host)", isSynced: false) { db in
            guard let key = try Keys(db, at: now).knownHost(host) else { return }
            for image in images {
                try db.run(
                    """
                    UPDATE placements
                    SET refresh_at = CASE WHEN wanted = 1 AND touched_at IS NOT NULL THEN ? END, in_flight = 0, failures = failures + 1,
                        last_outcome = ?, last_error = ?, updated_at = ?
                    WHERE image = (SELECT id FROM images WHERE uuid = ?) AND host = ?
                    """, [dueAt.column, OutcomeKind.failed.rawValue, reason.bounded(), now.column, image.blob, key])
            }
        }
    }

    /// The same questions as `PlacementRecord.isAtRisk(at:)`.
    public func atRiskCount(at now: Date) async throws(Failure) -> Int {
        try await read("count the placements at risk") { db in
            let count = try db.integer(
                """
                SELECT count(*) FROM placements
                WHERE refresh_at IS NOT NULL AND wanted = 1 AND touched_at + ttl_seconds > ? AND (failures > 0 OR refresh_at <= ?)
                    AND coalesce(last_outcome, '') <> 'unsupported' AND touched_at + ttl_seconds - ? < ? + bytes / ?
                """,
                [
                    now.column, now.column, now.column, Limits.longestRetrySeconds, PlacementRecord.repairBytesPerSecond,
                ])
            return Int(count ?? 0)
        }
    }
}
