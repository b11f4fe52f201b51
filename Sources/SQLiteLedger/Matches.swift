public import ForecacheModel
public import Foundation
import GRDB

extension SQLiteLedger {
    public func matchesBegan(_ image: ImageID) async throws(Failure) -> [String: Date] {
        try await read("read since when rules match image \(image)") { db in
            let rows = try db.rows(
                """
                SELECT w.word, m.began_at FROM images i JOIN matches m ON m.image = i.id JOIN words w ON w.id = m.rule WHERE i.uuid = ?
                """, [image.blob])
            var began: [String: Date] = [:]
            while let row = try rows.next() { began[try row.at(0)] = Date(column: try row.at(1)) }
            return began
        }
    }
}

/// Exactly these: a rule that matches no longer begins anew when it matches again.
func remember(_ matches: [(rule: String, began: Date)], of image: Int64, _ keys: inout Keys) throws {
    var stored: [Int64: Double] = [:]
    let rows = try keys.db.rows("SELECT rule, began_at FROM matches WHERE image = ?", [image])
    while let row = try rows.next() { stored[try row.at(0)] = try row.at(1) }
    for match in matches {
        let rule = try keys.word(match.rule)
        if let old = stored.removeValue(forKey: rule), old == match.began.column { continue }
        try keys.db.run("INSERT OR REPLACE INTO matches (image, rule, began_at) VALUES (?, ?, ?)", [image, rule, match.began.column])
    }
    for rule in stored.keys { try keys.db.run("DELETE FROM matches WHERE image = ? AND rule = ?", [image, rule]) }
}
