import ForecacheModel
import Foundation
import GRDB
import Planning

/// The integer keys of names inside one transaction, made where they are new. Two million placements hold these instead of their texts.
struct Keys {
    let db: Database
    let now: Date
    private var words: [String: Int64] = [:]

    init(_ db: Database, at now: Date) {
        self.db = db
        self.now = now
    }

    /// A site's, role's or rule's name.
    mutating func word(_ text: String) throws -> Int64 {
        if let known = words[text] { return known }
        var key = try db.integer("SELECT id FROM words WHERE word = ?", [text])
        if key == nil {
            try db.run("INSERT INTO words (word) VALUES (?)", [text])
            key = db.lastInsertedRowID
        }
        words[text] = key
        return key ?? 0
    }

    func host(_ name: HostName) throws -> Int64 {
        if let known = try knownHost(name) { return known }
        try db.run("INSERT INTO hosts (name, updated_at) VALUES (?, ?)", [name.rawValue, now.column])
        return db.lastInsertedRowID
    }

    func knownHost(_ name: HostName) throws -> Int64? {
        try db.integer("SELECT id FROM hosts WHERE name = ?", [name.rawValue])
    }

    func knownImage(_ id: ImageID) throws -> Int64? {
        try db.integer("SELECT id FROM images WHERE uuid = ?", [id.blob])
    }

    /// The image's key, with its facts as they are now.
    func image(_ facts: ImageFacts) throws -> Int64 {
        let (name, digest) = (facts.name.bounded(), facts.digest?.description)
        if let known = try knownImage(facts.id) {
            try db.run(
                """
                UPDATE images SET name = ?2, digest = ?3, size = ?4, status = ?5, updated_at = ?6
                WHERE id = ?1 AND (name <> ?2 OR digest IS NOT ?3 OR size IS NOT ?4 OR status <> ?5)
                """, [known, name, digest, facts.sizeBytes, facts.status.rawValue, now.column])
            return known
        }
        try db.run(
            "INSERT INTO images (uuid, base_file, name, digest, size, status, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                facts.id.blob, BaseFileName(of: facts.id).text, name, digest, facts.sizeBytes,
                facts.status.rawValue, now.column,
            ])
        return db.lastInsertedRowID
    }
}
