import ForecacheModel
import GRDB

/// The tables. Times are seconds since 1970 as REAL, as `Date` counts them.
/// Nothing newer than SQLite 3.34 is used, which is what RHEL 9 has.
enum Schema {
    /// `PRAGMA application_id`, the letters "fcst" (forecache state): `file` shows it, and another program's database is refused.
    private static let applicationID = 0x6663_7374

    static func migrate(_ writer: any DatabaseWriter, _ file: String) throws {
        try writer.read { try checkOwner($0, file) }
        try writer.writeWithoutTransaction {
            try $0.execute(sql: "PRAGMA application_id = \(applicationID)")
        }
        try migrator.migrate(writer)
    }

    /// A reader cannot migrate: it works on a file of its own version only.
    static func checkReadable(_ db: Database, _ file: String) throws {
        try checkOwner(db, file)
        guard try migrator.hasCompletedMigrations(db) else {
            throw Failure(
                .permanent,
                "ledger \(file) was written by an older version: start `forecache watch` of this version once"
            )
        }
    }

    private static func checkOwner(_ db: Database, _ file: String) throws {
        let application = try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0
        let tables = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") ?? 0
        guard application == applicationID || (application == 0 && tables == 0) else {
            throw Failure(
                .fatal, "\(file) is another program's database: set `state:` to a file of forecache's own")
        }
        guard try !migrator.hasBeenSuperseded(db) else {
            throw Failure(
                .fatal,
                "ledger \(file) was written by a newer version: install that one, or move the file away")
        }
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("work") { db in
            try db.execute(
                sql: """
                    -- The last generation that was given out: one counter for all images, so that a finished row's number never comes again.
                    CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL);
                    INSERT INTO meta VALUES (1, 0);

                    CREATE TABLE work (
                        image BLOB NOT NULL PRIMARY KEY CHECK (length(image) = 16),
                        cause TEXT NOT NULL,
                        generation INTEGER NOT NULL,
                        queued_at REAL NOT NULL,
                        due_at REAL NOT NULL,
                        attempts INTEGER NOT NULL,
                        reason TEXT
                    ) WITHOUT ROWID;
                    CREATE INDEX work_by_age ON work (queued_at, due_at);
                    CREATE INDEX work_by_due ON work (due_at);

                    CREATE TABLE odd_messages (
                        id INTEGER PRIMARY KEY,
                        received_at REAL NOT NULL,
                        exchange TEXT NOT NULL,
                        routing_key TEXT NOT NULL,
                        reason TEXT NOT NULL,
                        excerpt TEXT NOT NULL
                    );
                    """)
        }
        migrator.registerMigration("placements") { db in
            try db.execute(
                sql: """
                    -- Names of sites, roles and rules, stored once: two million placements repeat a few dozen of them.
                    CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);

                    CREATE TABLE hosts (
                        id INTEGER PRIMARY KEY,
                        name TEXT NOT NULL UNIQUE,
                        reachable INTEGER,
                        surveyed_at REAL,
                        ttl_seconds INTEGER,
                        clock_skew_seconds REAL,
                        images_type TEXT,
                        free_bytes INTEGER,
                        error TEXT,
                        updated_at REAL NOT NULL
                    );

                    CREATE TABLE images (
                        id INTEGER PRIMARY KEY,
                        uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
                        -- SHA-1 of the UUID's text, as Nova names the file.
                        base_file TEXT NOT NULL,
                        name TEXT NOT NULL,
                        digest TEXT,
                        size INTEGER,
                        status TEXT NOT NULL,
                        updated_at REAL NOT NULL
                    );

                    CREATE TABLE placements (
                        image INTEGER NOT NULL REFERENCES images,
                        host INTEGER NOT NULL REFERENCES hosts,
                        site INTEGER NOT NULL REFERENCES words,
                        role INTEGER NOT NULL REFERENCES words,
                        rule INTEGER NOT NULL REFERENCES words,
                        wanted INTEGER NOT NULL,
                        priority INTEGER NOT NULL,
                        in_flight INTEGER NOT NULL DEFAULT 0,
                        ttl_seconds INTEGER NOT NULL,
                        touched_at REAL,
                        -- Set exactly where a wanted base file lies there.
                        refresh_at REAL,
                        bytes INTEGER NOT NULL DEFAULT 0,
                        failures INTEGER NOT NULL DEFAULT 0,
                        last_outcome TEXT,
                        last_error TEXT,
                        updated_at REAL NOT NULL,
                        PRIMARY KEY (image, host)
                    ) WITHOUT ROWID;
                    CREATE INDEX placements_by_host ON placements (host);
                    CREATE INDEX placements_in_flight ON placements (in_flight) WHERE in_flight = 1;
                    -- With all that the order by expiry needs: choosing among many due ones reads the index only.
                    CREATE INDEX placements_by_refresh ON placements (refresh_at, touched_at, ttl_seconds) WHERE refresh_at IS NOT NULL;

                    CREATE TABLE outcomes (
                        id INTEGER PRIMARY KEY,
                        at REAL NOT NULL,
                        image BLOB NOT NULL,
                        host TEXT NOT NULL,
                        site TEXT NOT NULL,
                        outcome TEXT NOT NULL,
                        via TEXT,
                        source TEXT,
                        bytes INTEGER NOT NULL,
                        seconds REAL NOT NULL,
                        digest TEXT,
                        reason TEXT,
                        failure TEXT,
                        touched_at REAL
                    );
                    """)
        }
        migrator.registerMigration("work in turn") { db in
            try db.execute(
                sql: """
                    -- The order in which work is taken (`dueWork`): the next few of a hundred thousand rows are read without sorting them.
                    DROP INDEX work_by_age;
                    CREATE INDEX work_by_turn ON work (attempts > 0, cause = 'resync', queued_at, due_at, image);
                    """)
        }
        migrator.registerMigration("reload") { db in
            try db.execute(
                sql: """
                    -- One row: the last ReloadReport as JSON, read as a whole.
                    CREATE TABLE reload (id INTEGER PRIMARY KEY CHECK (id = 1), report TEXT NOT NULL);
                    -- Sets of files that an operator has released.
                    CREATE TABLE approvals (digest TEXT NOT NULL PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
                    """)
        }
        migrator.registerMigration("matches") { db in
            try db.execute(
                sql: """
                    -- Since when a rule with `for:` matches an image.
                    CREATE TABLE matches (
                        image INTEGER NOT NULL REFERENCES images ON DELETE CASCADE,
                        rule INTEGER NOT NULL REFERENCES words,
                        began_at REAL NOT NULL,
                        PRIMARY KEY (image, rule)
                    ) WITHOUT ROWID;
                    """)
        }
        migrator.registerMigration("progress") { db in
            try db.execute(
                sql: """
                    -- How far the transfer is; counts only while in_flight = 1.
                    ALTER TABLE placements ADD COLUMN source TEXT;
                    ALTER TABLE placements ADD COLUMN received_bytes INTEGER;
                    ALTER TABLE placements ADD COLUMN total_bytes INTEGER;
                    """)
        }
        return migrator
    }
}
