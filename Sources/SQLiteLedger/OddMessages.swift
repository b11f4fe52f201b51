public import ForecacheModel
import Foundation
import GRDB

extension SQLiteLedger {
    /// The newest `limits.oddMessages` are kept, each cut to a few KiB.
    public func keep(_ message: OddMessage) async throws(Failure) {
        let kept = limits.oddMessages
        try await write("keep an odd message") { db in
            try db.run(
                "INSERT INTO odd_messages (received_at, exchange, routing_key, reason, excerpt) VALUES (?, ?, ?, ?, ?)",
                [
                    message.receivedAt.column, message.exchange.bounded(255), message.routingKey.bounded(255),
                    message.reason.bounded(),
                    message.excerpt.bounded(4096),
                ])
            try db.run("DELETE FROM odd_messages WHERE id <= ?", [db.lastInsertedRowID - Int64(kept)])
        }
    }

    /// Newest first.
    public func oddMessages(limit: Int) async throws(Failure) -> [OddMessage] {
        try await read("read the odd messages") { db in
            let rows = try db.rows(
                "SELECT received_at, exchange, routing_key, reason, excerpt FROM odd_messages ORDER BY id DESC LIMIT ?",
                [max(0, limit)])
            var messages: [OddMessage] = []
            while let row = try rows.next() {
                messages.append(
                    OddMessage(
                        receivedAt: Date(column: try row.at(0)), exchange: try row.at(1),
                        routingKey: try row.at(2), reason: try row.at(3),
                        excerpt: try row.at(4)))
            }
            return messages
        }
    }
}
