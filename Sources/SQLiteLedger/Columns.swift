import ForecacheModel
import Foundation
import GRDB

/// How our values lie in columns.
extension ImageID {
    /// The UUID's 16 bytes: they sort as its lower-case text does.
    var blob: Data { Data(bytes) }

    init(blob: Data) throws {
        let id = blob.withUnsafeBytes { ImageID(bytes: $0) }
        guard let id else { throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "image id") }
        self = id
    }
}

extension Date {
    var column: Double { timeIntervalSince1970 }

    init(column: Double) { self.init(timeIntervalSince1970: column) }
}

extension String {
    /// Text from nodes, brokers and tenants, cut to what is worth keeping, so that nobody outside fills the disk with it. Without NUL, at which SQLite's own
    /// tools would cut it silently.
    func bounded(_ bytes: Int = 2000) -> String {
        guard utf8.count > bytes || utf8.contains(0) else { return self }
        return String(decoding: utf8.prefix(bytes).filter { $0 != 0 }, as: UTF8.self)
    }
}

extension Database {
    /// Statements are few and fixed: each is prepared once a connection.
    func run(_ sql: String, _ arguments: StatementArguments = StatementArguments()) throws {
        try cachedStatement(sql: sql).execute(arguments: arguments)
    }

    /// One transaction that is written to the log but not synced: the next synced one brings it to the disk as well.
    func unsynced<Value>(_ body: (Database) throws -> Value) throws -> Value {
        try execute(sql: "PRAGMA synchronous = NORMAL")
        defer {
            do {
                try execute(sql: "PRAGMA synchronous = FULL")
            } catch {
                // It touches no file and cannot fail outside a transaction; and were it to, no later commit might be called safe.
                preconditionFailure("the ledger's log is not synced any more: \(error)")
            }
        }
        var value: Value?
        try inTransaction {
            value = try body(self)
            return .commit
        }
        guard let value else { throw DatabaseError(resultCode: .SQLITE_ABORT) }
        return value
    }

    func integer(_ sql: String, _ arguments: StatementArguments = StatementArguments()) throws
        -> Int64?
    {
        try Int64.fetchOne(cachedStatement(sql: sql), arguments: arguments)
    }

    /// Keep the cursor in a variable while a row of it is used: the row is the statement's own.
    func rows(_ sql: String, _ arguments: StatementArguments = StatementArguments()) throws
        -> RowCursor
    {
        try Row.fetchCursor(cachedStatement(sql: sql), arguments: arguments)
    }
}

extension Row {
    /// Throws where a damaged file holds something else than the column's type; `row[index]` would end the process.
    func at<Value: DatabaseValueConvertible & StatementColumnConvertible>(_ index: Int) throws
        -> Value
    {
        try decode(Value.self, atIndex: index)
    }
}
