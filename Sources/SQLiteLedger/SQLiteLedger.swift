public import Engine
public import ForecacheModel
import Foundation
import GRDB
import Glibc
public import Planning

/// The ledger in one SQLite file: intents, placements, hosts, the history of outcomes, odd messages. Any number of tasks may call it; SQLite writes one
/// transaction after the other and reads beside them. Nothing but SQLite's page caches (about 14 MiB) is held in memory, whatever the number of rows.
///
/// A committed row survives a power cut: WAL with `synchronous=FULL` syncs the log on every commit, where `NORMAL` would sync it at checkpoints only, and
/// notifications are acknowledged to the broker right after the commit. What only says that work is over is not synced: after a power cut the ledger is as it
/// was a moment before, and that work is looked at once more.
public final class SQLiteLedger: Ledger {
    /// Who else may be working on the same file.
    public enum Access: Sendable {
        /// The service: refuses a second owner, and clears the marks that a crash left.
        case owner
        /// A command by hand beside a service that may be running: writes too, but takes no lock and leaves the service's marks alone.
        case guest
    }

    let refresh: RefreshSchedule
    let limits: Limits
    private let file: String
    private let reader: any DatabaseReader
    /// Nil where the ledger was opened for reading only.
    private let writer: (any DatabaseWriter)?
    /// Held as long as the ledger is.
    private let lock: LedgerLock?

    /// Opens or creates the ledger (mode 0600, its directory with 0700) and brings its tables up to date. Throws `.fatal` failures that name the file and
    /// the remedy: not writable, disk full, not a ledger, written by a newer version, or held by another process.
    public convenience init(
        path: String, refresh: RefreshSchedule, limits: Limits, access: Access = .owner
    ) throws(Failure) {
        try LedgerFile.prepare(path)
        let lock: LedgerLock? =
            switch access {
            case .owner: try LedgerLock(ledger: path)
            case .guest: nil
            }
        let pool = try translated("open it", path) {
            try LedgerFile.check(path)
            return try DatabasePool(path: path, configuration: Self.configuration())
        }
        try self.init(file: path, pool, lock: lock, refresh: refresh, limits: limits, access: access)
    }

    /// A ledger for tests that ends with the process.
    public static func inMemory(
        refresh: RefreshSchedule = RefreshSchedule(), limits: Limits = Limits()
    ) throws(Failure) -> SQLiteLedger {
        let queue = try translated("open it", ":memory:") {
            try DatabaseQueue(configuration: configuration())
        }
        return try SQLiteLedger(
            file: ":memory:", queue, lock: nil, refresh: refresh, limits: limits, access: .owner)
    }

    /// For `status` and its like: works beside a running service, changes nothing; every writing method throws.
    public static func reading(path: String) throws(Failure) -> SQLiteLedger {
        guard Glibc.access(path, F_OK) == 0 else {
            // A directory that may not be entered hides the ledger that is in it.
            guard errno != EACCES else {
                throw Failure(.permanent, "cannot look for ledger \(path): run as the user that owns its directory: permission denied")
            }
            throw Failure(.permanent, "no ledger at \(path): 'forecache watch' makes it; check 'state' in the configuration")
        }
        let queue = try translated("read it", path) {
            try LedgerFile.check(path)
            var configuration = Self.configuration()
            configuration.readonly = true
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            try queue.read { try Schema.checkReadable($0, path) }
            return queue
        }
        return SQLiteLedger(reading: path, queue)
    }

    private init(
        file: String, _ writer: any DatabaseWriter, lock: LedgerLock?, refresh: RefreshSchedule,
        limits: Limits, access: Access
    ) throws(Failure) {
        (self.file, self.lock, self.refresh, self.limits) = (file, lock, refresh, limits)
        (self.reader, self.writer) = (writer, writer)
        try translated("open it", file) {
            // GRDB sets NORMAL when it turns WAL on, so this comes after; the writer also gets the larger share of the page cache.
            try writer.writeWithoutTransaction { db in
                try db.execute(
                    sql:
                        "PRAGMA synchronous = FULL; PRAGMA cache_size = -8192; PRAGMA journal_size_limit = 67108864"
                )
            }
            try Schema.migrate(writer, file)
            guard access == .owner else { return }
            try writer.writeWithoutTransaction { try LogRoom.make(in: $0, file) }
            try writer.write { db in
                try db.execute(sql: "UPDATE placements SET in_flight = 0 WHERE in_flight = 1")
            }
        }
    }

    private init(reading file: String, _ reader: DatabaseQueue) {
        (self.file, self.lock, self.refresh, self.limits) = (file, nil, RefreshSchedule(), Limits())
        (self.reader, self.writer) = (reader, nil)
    }

    private static func configuration() -> Configuration {
        var configuration = Configuration()
        configuration.label = "ledger"
        configuration.foreignKeysEnabled = true
        // A guest's or a backup's transaction takes milliseconds; who waits five seconds waits for something that hangs.
        configuration.busyMode = .timeout(5)
        configuration.maximumReaderCount = 3
        configuration.prepareDatabase { db in
            // Pages in KiB when negative. Mapped pages would count as resident memory without a bound.
            try db.execute(sql: "PRAGMA cache_size = -2048; PRAGMA mmap_size = 0")
        }
        return configuration
    }
}

extension SQLiteLedger {
    /// One transaction. It is not torn by the caller's cancellation: it takes milliseconds, and an outcome that is lost at shutdown costs a survey.
    ///
    /// `isSynced: false` is for what may be forgotten in a power cut, and only there: a crash of ours forgets nothing.
    func write<Value: Sendable>(
        _ task: @autoclosure () -> String, isSynced: Bool = true, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(Failure) -> Value {
        guard let writer else {
            throw Failure(.permanent, "ledger \(file): cannot \(task()): it was opened for reading only")
        }
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Value, any Error>, Never>) in
            if isSynced {
                writer.asyncWrite(body) { _, result in continuation.resume(returning: result) }
            } else {
                writer.asyncWriteWithoutTransaction { db in continuation.resume(returning: Result { try db.unsynced(body) }) }
            }
        }
        switch result {
        case .success(let value): return value
        case .failure(let error): throw Failure(database: error, task(), file)
        }
    }

    func read<Value: Sendable>(
        _ task: @autoclosure () -> String, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(Failure) -> Value {
        do {
            return try await reader.read(body)
        } catch {
            throw Failure(database: error, task(), file)
        }
    }
}
