public import ForecacheModel
public import Foundation
import GRDB
import Planning

extension SQLiteLedger {
    /// Writes only what changed, so that the resync of a settled image costs reads. An image that is wanted nowhere and never was leaves no row.
    public func record(_ decision: Decision, ttlSeconds: [HostName: Int], at now: Date)
        async throws(Failure)
    {
        let wanted = decision.placements.filter { $0.mode == .enforce }
        let (refresh, id) = (refresh, decision.image.id)
        // Most images of a cloud: they must not stand in line for the one writer.
        let lasting = decision.rules.compactMap { verdict in verdict.began.map { (verdict.rule, $0) } }
        if wanted.isEmpty, lasting.isEmpty, try await !read("look for image \(id)", { try Keys($0, at: now).knownImage(id) != nil }) {
            return
        }
        try await write("record the decision on image \(decision.image.id)") { db in
            var keys = Keys(db, at: now)
            if wanted.isEmpty, lasting.isEmpty, try keys.knownImage(decision.image.id) == nil { return }
            let image = try keys.image(decision.image)
            try remember(lasting, of: image, &keys)
            var stored = try StoredPlacement.all(db, image: image)
            for placement in wanted {
                let host = try keys.host(placement.host)
                let word = (
                    site: try keys.word(placement.site.rawValue),
                    role: try keys.word(placement.role.rawValue),
                    rule: try keys.word(placement.rule)
                )
                let known = ttlSeconds[placement.host]
                guard let old = stored.removeValue(forKey: host) else {
                    let ttl = known ?? placement.ttlSeconds ?? 86400
                    try db.run(
                        insertPlacement,
                        [image, host, word.site, word.role, word.rule, placement.priority, ttl, now.column])
                    continue
                }
                // A host that could not be asked keeps the TTL that it had.
                let ttl = known ?? old.ttlSeconds
                var new = old
                (new.site, new.role, new.rule) = word
                (new.isWanted, new.priority, new.ttlSeconds) = (true, placement.priority, ttl)
                if !old.isWanted {
                    // It is wanted anew: how it failed under an earlier rule is history.
                    new.failures = 0
                    new.lastError = nil
                    if old.lastOutcome == OutcomeKind.failed.rawValue { new.lastOutcome = nil }
                }
                if !old.isWanted || old.ttlSeconds != ttl {
                    new.refreshAt = new.nextRefresh(refresh, decision.image.id, placement.host)
                }
                if new != old { try new.update(db, image: image, host: host, at: now) }
            }
            for (host, old) in stored where old.isWanted {
                try db.run(unwantPlacement, [now.column, image, host])
            }
        }
    }

    /// Forgets, besides, what was unwanted for a day already and is past its expiry: images come and go by the thousand where a pipeline builds them, and each
    /// one that the ledger knows is asked for again at every resync.
    public func recordGone(_ image: ImageID, at now: Date) async throws(Failure) {
        try await write("record that image \(image) is gone") { db in
            guard let key = try Keys(db, at: now).knownImage(image) else { return }
            try db.run(
                """
                DELETE FROM placements
                WHERE image = ? AND wanted = 0 AND in_flight = 0 AND updated_at < ? AND (touched_at IS NULL OR touched_at + ttl_seconds < ?)
                """, [key, now.column - 86400, now.column])
            try db.run(
                "UPDATE placements SET wanted = 0, refresh_at = NULL, updated_at = ? WHERE image = ? AND wanted = 1",
                [now.column, key])
            try db.run("DELETE FROM matches WHERE image = ?", [key])
            try db.run(
                "UPDATE images SET status = 'deleted', updated_at = ? WHERE id = ? AND status <> 'deleted'",
                [now.column, key])
            try db.run(
                "DELETE FROM images WHERE id = ? AND NOT EXISTS (SELECT 1 FROM placements WHERE image = images.id)",
                [key])
        }
    }

    public func recordStarted(_ image: ImageID, on hosts: [HostName], at now: Date)
        async throws(Failure)
    {
        try await write("record the start of work on image \(image)", isSynced: false) { db in
            for host in hosts {
                try db.run(
                    """
                    UPDATE placements SET in_flight = 1, source = NULL, received_bytes = NULL, total_bytes = NULL, updated_at = ?
                    WHERE image = (SELECT id FROM images WHERE uuid = ?) AND host = (SELECT id FROM hosts WHERE name = ?)
                    """, [now.column, image.blob, host.rawValue])
            }
        }
    }

    public func recordProgress(_ image: ImageID, _ progress: [HostName: TransferProgress]) async throws(Failure) {
        try await write("record how far image \(image) is", isSynced: false) { db in
            for (host, transfer) in progress {
                try db.run(
                    """
                    UPDATE placements SET source = ?, received_bytes = ?, total_bytes = ?
                    WHERE image = (SELECT id FROM images WHERE uuid = ?) AND host = (SELECT id FROM hosts WHERE name = ?) AND in_flight = 1
                    """, [transfer.source.bounded(255), transfer.receivedBytes, transfer.totalBytes, image.blob, host.rawValue])
            }
        }
    }
}

private let insertPlacement = """
    INSERT INTO placements (image, host, site, role, rule, wanted, priority, ttl_seconds, updated_at) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?)
    """

private let unwantPlacement =
    "UPDATE placements SET wanted = 0, refresh_at = NULL, updated_at = ? WHERE image = ? AND host = ?"

/// The part of a placement's row that decisions, outcomes and surveys change.
struct StoredPlacement: Equatable {
    var site: Int64
    var role: Int64
    var rule: Int64
    var isWanted: Bool
    var priority: Int
    var isInFlight: Bool
    var ttlSeconds: Int
    var touchedAt: Double?
    var refreshAt: Double?
    var bytes: Int64
    var failures: Int
    var lastOutcome: String?
    var lastError: String?

    private static let columns = """
        host, site, role, rule, wanted, priority, in_flight, ttl_seconds, touched_at, refresh_at, bytes, failures, last_outcome, last_error
        """

    /// By the host's key.
    static func all(_ db: Database, image: Int64) throws -> [Int64: StoredPlacement] {
        let rows = try db.rows("SELECT \(columns) FROM placements WHERE image = ?", [image])
        var stored: [Int64: StoredPlacement] = [:]
        while let row = try rows.next() { try stored[row.at(0)] = StoredPlacement(row) }
        return stored
    }

    static func one(_ db: Database, image: Int64, host: Int64) throws -> StoredPlacement? {
        let rows = try db.rows(
            "SELECT \(columns) FROM placements WHERE image = ? AND host = ?", [image, host])
        return try rows.next().map(StoredPlacement.init)
    }

    private init(_ row: Row) throws {
        (site, role, rule, isWanted, priority) = try (
            row.at(1), row.at(2), row.at(3), row.at(4), row.at(5)
        )
        (isInFlight, ttlSeconds, touchedAt, refreshAt) = try (
            row.at(6), row.at(7), row.at(8), row.at(9)
        )
        (bytes, failures, lastOutcome, lastError) = try (row.at(10), row.at(11), row.at(12), row.at(13))
    }

    /// Nil where nothing is to be touched: not wanted, nothing there, or a host that cannot use it.
    func nextRefresh(_ schedule: RefreshSchedule, _ image: ImageID, _ host: HostName) -> Double? {
        guard isWanted, let touchedAt, lastOutcome != OutcomeKind.unsupported.rawValue else {
            return nil
        }
        return schedule.refreshAt(
            touchedAt: Date(column: touchedAt), ttlSeconds: ttlSeconds, image: image, host: host
        ).column
    }

    func update(_ db: Database, image: Int64, host: Int64, at now: Date) throws {
        try db.run(
            """
            UPDATE placements SET site = ?, role = ?, rule = ?, wanted = ?, priority = ?, in_flight = ?, ttl_seconds = ?, touched_at = ?,
                refresh_at = ?, bytes = ?, failures = ?, last_outcome = ?, last_error = ?, updated_at = ?
            WHERE image = ? AND host = ?
            """,
            [
                site, role, rule, isWanted, priority, isInFlight, ttlSeconds, touchedAt, refreshAt, bytes,
                failures, lastOutcome, lastError,
                now.column, image, host,
            ])
    }
}
