public import ForecacheModel
public import Foundation
import GRDB

extension SQLiteLedger {
    @discardableResult
    public func request(_ images: [ImageID], cause: WorkCause, at now: Date) async throws(Failure) -> [WorkRow] {
        guard !images.isEmpty else { return [] }
        let latestDue = now.addingTimeInterval(limits.longestBackoffSeconds)
        return try await write("queue \(images.count) images") { db in
            try db.run("UPDATE meta SET generation = generation + 1")
            let generation = try db.integer("SELECT generation FROM meta")
            let statement = try db.cachedStatement(
                sql: cause == .resync ? insertUnlessWaiting : insertOrRenew)
            // RETURNING would need SQLite 3.35.
            let made = try db.cachedStatement(sql: "SELECT \(columns) FROM work WHERE image = ? AND generation = ?")
            var rows: [ImageID: WorkRow] = [:]
            for image in images {
                let row: StatementArguments = [image.blob, cause.rawValue, generation, now.column, now.column]
                try statement.execute(arguments: cause == .resync ? row + [latestDue.column] : row)
                rows[image] = try Row.fetchOne(made, arguments: [image.blob, generation]).map(WorkRow.init)
            }
            return Array(rows.values)
        }
    }

    public func bringForward(_ images: [ImageID], at now: Date) async throws(Failure) {
        guard !images.isEmpty else { return }
        try await write("bring the work on \(images.count) images forward", isSynced: false) { db in
            for image in images {
                try db.run("UPDATE work SET due_at = ? WHERE image = ? AND due_at > ?", [now.column, image.blob, now.column])
            }
        }
    }

    public func dueWork(at now: Date, excluding: [ImageID: Int64], limit: Int) async throws(Failure)
        -> [WorkRow]
    {
        guard limit > 0 else { return [] }
        return try await read("read the work that is due") { db in
            var due: [WorkRow] = []
            let rows = try db.rows(
                """
                SELECT \(columns) FROM work INDEXED BY work_by_turn
                WHERE due_at <= ? ORDER BY attempts > 0, cause = 'resync', queued_at, due_at, image
                """, [now.column])
            while due.count < limit, let row = try rows.next() {
                let work = try WorkRow(row)
                if work.generation > excluding[work.image] ?? .min { due.append(work) }
            }
            return due
        }
    }

    public func nextWorkDue() async throws(Failure) -> Date? {
        try await read("read when work is due") { db in
            try Double.fetchOne(db.cachedStatement(sql: "SELECT min(due_at) FROM work")).map {
                Date(column: $0)
            }
        }
    }

    public func finish(_ rows: [WorkRow]) async throws(Failure) {
        try await write("finish the work on \(rows.count) images", isSynced: false) { db in
            for row in rows { try db.run("DELETE FROM work WHERE image = ? AND generation <= ?", [row.image.blob, row.generation]) }
        }
    }

    public func postpone(_ row: WorkRow, until dueAt: Date, reason: String, isFailure: Bool) async throws(Failure) {
        let failures = isFailure ? 1 : 0
        let cause = row.cause == .refresh ? WorkCause.refresh : .retry
        try await write("put off the work on image \(row.image)", isSynced: false) { db in
            try db.run(
                "UPDATE work SET due_at = min(due_at, ?), cause = iif(cause = 'refresh', ?, cause) WHERE image = ? AND generation > ?",
                [dueAt.column, cause.rawValue, row.image.blob, row.generation])
            guard db.changesCount == 0 else { return }
            try db.run("UPDATE meta SET generation = generation + 1")
            try db.run(
                """
                INSERT INTO work (image, cause, generation, queued_at, due_at, attempts, reason)
                VALUES (?, ?, (SELECT generation FROM meta), ?, ?, ?, ?)
                ON CONFLICT (image) DO UPDATE
                SET cause = iif(work.cause = 'refresh', excluded.cause, 'retry'), generation = excluded.generation, due_at = excluded.due_at,
                    attempts = work.attempts + ?, reason = excluded.reason
                """,
                [
                    row.image.blob, cause.rawValue, row.queuedAt.column, dueAt.column, row.attempts + failures, reason.bounded(), failures,
                ])
        }
    }

    public func workCount() async throws(Failure) -> Int {
        try await read("count the work") { db in Int(try db.integer("SELECT count(*) FROM work") ?? 0) }
    }
}

/// As `WorkRow` reads them.
private let columns = "image, cause, generation, queued_at, due_at, attempts"

/// A refresh asks for some hosts only, so a row of one does not stand for a look at all of them. And what is due later than anything is put off was written down
/// by a clock that has been set back since.
private let insertUnlessWaiting = """
    INSERT INTO work (image, cause, generation, queued_at, due_at, attempts) VALUES (?, ?, ?, ?, ?, 0)
    ON CONFLICT (image) DO UPDATE
    SET cause = excluded.cause, generation = excluded.generation, due_at = excluded.due_at, attempts = 0, reason = NULL
    WHERE work.cause = 'refresh' OR work.due_at > ?
    """

private let insertOrRenew = """
    INSERT INTO work (image, cause, generation, queued_at, due_at, attempts) VALUES (?, ?, ?, ?, ?, 0)
    ON CONFLICT (image) DO UPDATE
    SET cause = iif(excluded.cause = 'refresh', work.cause, excluded.cause), generation = excluded.generation, due_at = excluded.due_at,
        attempts = 0, reason = NULL
    """

extension WorkRow {
    fileprivate init(_ row: Row) throws {
        try self.init(
            image: ImageID(blob: row.at(0)), cause: WorkCause(rawValue: row.at(1)) ?? .event,
            generation: row.at(2),
            queuedAt: Date(column: row.at(3)),
            dueAt: Date(column: row.at(4)), attempts: row.at(5))
    }
}
