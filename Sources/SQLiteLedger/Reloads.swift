public import ForecacheModel
public import Foundation
import GRDB

extension SQLiteLedger {
    /// How the operator's files stand, for commands that look on beside the service.
    public func record(_ report: ReloadReport) async throws(Failure) {
        try await write("record the reload") { db in
            let text = String(decoding: try JSONEncoder().encode(report), as: UTF8.self)
            try db.run("INSERT INTO reload (id, report) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET report = excluded.report", [text])
        }
    }

    /// Nil before the first start of a service.
    public func reloadReport() async throws(Failure) -> ReloadReport? {
        try await read("read the last reload") { db in
            guard let text = try String.fetchOne(db.cachedStatement(sql: "SELECT report FROM reload")) else { return nil }
            // A report of another version: nothing is known, which the next reload mends.
            return try? JSONDecoder().decode(ReloadReport.self, from: Data(text.utf8))
        }
    }

    /// Lets the service take the set of files with this digest, now or whenever it meets it. Old approvals go.
    public func approve(_ set: String, at now: Date) async throws(Failure) {
        try await write("approve a reload") { db in
            try db.run("INSERT OR REPLACE INTO approvals (digest, at) VALUES (?, ?)", [set.bounded(64), now.column])
            try db.run("DELETE FROM approvals WHERE digest NOT IN (SELECT digest FROM approvals ORDER BY at DESC LIMIT 100)")
        }
    }

    public func isApproved(_ set: String) async throws(Failure) -> Bool {
        try await read("read the approvals") { db in try db.integer("SELECT 1 FROM approvals WHERE digest = ?", [set]) != nil }
    }
}
