public import Engine
public import ForecacheModel
public import Foundation
import GRDB

extension SQLiteLedger {
    /// Ordered by site and host.
    public func placements(of image: ImageID) async throws(Failure) -> [PlacementRecord] {
        try await read("read the placements of image \(image)") { db in
            try records(
                db,
                "SELECT \(recordColumns) FROM images i JOIN placements p ON p.image = i.id \(recordJoins) WHERE i.uuid = ? ORDER BY s.word, h.name",
                [image.blob])
        }
    }

    public func sitesInNeed(of image: ImageID, at now: Date) async throws(Failure) -> Set<SiteName> {
        try await read("read where image \(image) is missing") { db in
            let rows = try db.rows(
                """
                SELECT DISTINCT s.word FROM placements p JOIN words s ON s.id = p.site
                WHERE p.image = (SELECT id FROM images WHERE uuid = ?) AND p.wanted = 1
                    AND (p.touched_at IS NULL OR p.touched_at + p.ttl_seconds <= ?)
                """, [image.blob, now.column])
            var sites: Set<SiteName> = []
            while let row = try rows.next() { sites.insert(SiteName(try row.at(0))) }
            return sites
        }
    }

    public func images(after image: ImageID?, limit: Int) async throws(Failure) -> [LedgerImage] {
        try await read("read the images") { db in
            // An empty blob sorts before every other.
            let rows = try db.rows(
                "SELECT uuid, name FROM images WHERE uuid > ? ORDER BY uuid LIMIT ?",
                [image?.blob ?? Data(), max(0, limit)])
            var images: [LedgerImage] = []
            while let row = try rows.next() {
                images.append(try LedgerImage(id: ImageID(blob: row.at(0)), name: row.at(1)))
            }
            return images
        }
    }

    /// States without placements are left out.
    public func placementCounts(at now: Date) async throws(Failure) -> [PlacementState: Int] {
        try await read("count the placements") { db in
            let rows = try db.rows(countByState, [now.column, now.column])
            var counts: [PlacementState: Int] = [:]
            while let row = try rows.next() {
                guard let state = PlacementState(rawValue: try row.at(0)) else { continue }
                counts[state] = try row.at(1)
            }
            return counts
        }
    }
}

/// The same order of questions as `PlacementRecord.state(at:)`; a test holds the two together.
private let countByState = """
    SELECT CASE
        WHEN wanted = 0 THEN 'unwanted'
        WHEN in_flight = 1 THEN 'caching'
        WHEN last_outcome = 'unsupported' THEN 'unsupported'
        WHEN touched_at + ttl_seconds <= ? THEN 'expired'
        WHEN last_outcome = 'failed' THEN 'failed'
        WHEN touched_at IS NULL THEN 'pending'
        WHEN refresh_at <= ? THEN 'due'
        ELSE 'fresh' END AS state, count(*)
    FROM placements GROUP BY state
    """

let recordColumns = """
    i.uuid, s.word, r.word, h.name, p.wanted, u.word, p.priority, p.in_flight, p.ttl_seconds, p.touched_at, p.refresh_at, p.bytes,
    p.last_outcome, p.last_error, p.failures, p.updated_at, p.source, p.received_bytes, p.total_bytes
    """

let recordJoins = """
    JOIN hosts h ON h.id = p.host JOIN words s ON s.id = p.site JOIN words r ON r.id = p.role JOIN words u ON u.id = p.rule
    """

func records(_ db: Database, _ sql: String, _ arguments: StatementArguments) throws
    -> [PlacementRecord]
{
    let rows = try db.rows(sql, arguments)
    var records: [PlacementRecord] = []
    while let row = try rows.next() { records.append(try PlacementRecord(row)) }
    return records
}

extension PlacementRecord {
    fileprivate init(_ row: Row) throws {
        let isInFlight: Bool = try row.at(7)
        let transfer = isInFlight ? try TransferProgress(row, from: 16) : nil
        try self.init(
            image: ImageID(blob: row.at(0)), site: SiteName(row.at(1)), role: RoleName(row.at(2)),
            host: HostName(row.at(3)), isWanted: row.at(4),
            rule: row.at(5), priority: row.at(6), isInFlight: isInFlight, transfer: transfer, ttlSeconds: row.at(8),
            touchedAt: (row.at(9) as Double?).map { Date(column: $0) },
            refreshAt: (row.at(10) as Double?).map { Date(column: $0) }, bytes: row.at(11),
            lastOutcome: (row.at(12) as String?).flatMap(OutcomeKind.init(rawValue:)),
            lastError: row.at(13),
            failures: row.at(14),
            updatedAt: Date(column: row.at(15)))
    }
}

extension TransferProgress {
    /// Nil where nothing was told yet.
    fileprivate init?(_ row: Row, from column: Int) throws {
        guard let source = try row.at(column) as String?, let received = try row.at(column + 1) as Int64?,
            let total = try row.at(column + 2) as Int64?
        else { return nil }
        self.init(source: source, receivedBytes: received, totalBytes: total)
    }
}
