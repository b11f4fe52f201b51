import ForecacheModel
import Foundation
import GRDB

extension Failure {
    /// What SQLite said, with what to do about it. A ledger that cannot be written ends the process (nothing is acknowledged, so nothing is lost).
    init(database error: any Error, _ task: String, _ file: String) {
        if let failure = error as? Failure {
            self = failure
        } else if error is CancellationError {
            self.init(.cancelled, "ledger \(file): \(task): stopped")
        } else if let error = error as? DatabaseError {
            let (kind, remedy) = Self.judge(error)
            self.init(
                kind, "ledger \(file): cannot \(task): \(remedy)",
                cause: error.message ?? error.resultCode.description)
        } else if error is RowDecodingError {
            self.init(
                .fatal, "ledger \(file): cannot \(task): \(Self.damaged)",
                cause: "a column holds another type of value")
        } else {
            self.init(.fatal, "ledger \(file): cannot \(task)", cause: "\(error)")
        }
    }

    private static let damaged =
        "it is damaged or not a ledger; move it away and start again (hosts are surveyed anew, only the history is lost)"

    private static func judge(_ error: DatabaseError) -> (Kind, String) {
        switch error.resultCode {
        case .SQLITE_FULL: (.fatal, "its file system is full; free space")
        case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_AUTH:
            (
                .fatal,
                "it is not writable; run as the user that owns it and its directory, on a file system mounted writable"
            )
        case .SQLITE_CANTOPEN:
            (.fatal, "it cannot be opened; check owner and mode of the file and its directory")
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            (.fatal, damaged)
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            (.retriable, "another process holds it; end that one, or try again")
        case .SQLITE_IOERR: (.fatal, "its file system failed; check the disk and its space")
        case .SQLITE_INTERRUPT, .SQLITE_ABORT: (.cancelled, "stopped")
        case .SQLITE_NOMEM: (.fatal, "memory ran out")
        default: (.fatal, "SQLite refused it")
        }
    }
}

/// Runs `body` with its errors told as failures.
func translated<Value>(_ task: String, _ file: String, _ body: () throws -> Value) throws(Failure)
    -> Value
{
    do { return try body() } catch { throw Failure(database: error, task, file) }
}
