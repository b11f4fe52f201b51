public import ForecacheModel
public import Foundation
import GRDB
import Planning

extension SQLiteLedger {
    /// `skipped` was not tried: it ends the mark and is history, but leaves what the last try said, unless it waits and says for what. `failures` counts those since the last success.
    public func record(_ outcomes: [Outcome], at now: Date) async throws(Failure) {
        guard !outcomes.isEmpty else { return }
        let (refresh, kept) = (refresh, limits.history)
        try await write("record \(outcomes.count) outcomes") { db in
            let keys = Keys(db, at: now)
            for outcome in outcomes {
                let image = try keys.knownImage(outcome.image)
                let host = try keys.knownHost(outcome.host)
                let stored: StoredPlacement? =
                    if let image, let host { try StoredPlacement.one(db, image: image, host: host) } else { nil }
                if let stored, stored.knows(outcome) { continue }
                try db.run(insertOutcome, outcome.columns(at: now))
                guard let image, let host, var placement = stored else { continue }
                let size = try db.integer("SELECT size FROM images WHERE id = ?", [image])
                placement.ended(outcome, imageBytes: size, at: now)
                placement.refreshAt = placement.refreshAfter(outcome, refresh)
                try placement.update(db, image: image, host: host, at: now)
            }
            try trim(db, to: kept)
        }
    }

    /// The history, newest first, with the names of images that are still known; of all sites where none is named.
    public func outcomes(
        of sites: Set<SiteName> = [], limit: Int
    ) async throws(Failure) -> [(at: Date, name: String?, outcome: Outcome)] {
        try await read("read the history") { db in
            let names = sites.map(\.rawValue)
            let isOfThem = names.isEmpty ? "true" : "site IN (\(names.map { _ in "?" }.joined(separator: ", ")))"
            let rows = try db.rows(
                """
                SELECT \(outcomeColumns), (SELECT name FROM images WHERE uuid = image) FROM outcomes
                WHERE \(isOfThem) ORDER BY id DESC LIMIT ?
                """, StatementArguments(names) + [max(0, limit)])
            var history: [(at: Date, name: String?, outcome: Outcome)] = []
            while let row = try rows.next() {
                history.append(try (Date(column: row.at(0)), row.at(13), Outcome(row)))
            }
            return history
        }
    }
}

extension StoredPlacement {
    /// A file that was found as it was left is no news: every look at an image would fill the history with it.
    fileprivate func knows(_ outcome: Outcome) -> Bool {
        if outcome.againAt != nil { return !isInFlight && lastOutcome == outcome.kind.rawValue && lastError == outcome.reason?.bounded() }
        guard outcome.kind == .existing, !isInFlight, failures == 0, let touchedAt, let seen = outcome.touchedAt,
            lastOutcome == OutcomeKind.existing.rawValue || lastOutcome == OutcomeKind.cached.rawValue
        else { return false }
        return abs(seen.column - touchedAt) < 2
    }

    fileprivate mutating func ended(_ outcome: Outcome, imageBytes: Int64?, at now: Date) {
        isInFlight = false
        switch outcome.kind {
        case .cached, .existing:
            touchedAt = max(min(touchedAt ?? 0, now.column), (outcome.touchedAt ?? now).column)
            // The next survey says what it takes as it lies there (a raw file is larger than the image it was made from).
            if bytes == 0 { bytes = imageBytes ?? outcome.bytes }
            failures = 0
            (lastOutcome, lastError) = (outcome.kind.rawValue, nil)
        case .unsupported:
            failures = 0
            (lastOutcome, lastError) = (outcome.kind.rawValue, outcome.reason?.bounded())
        case .failed:
            failures += 1
            (lastOutcome, lastError) = (
                outcome.kind.rawValue, (outcome.reason ?? "no reason given").bounded()
            )
        case .skipped:
            guard outcome.againAt != nil else { break }
            (lastOutcome, lastError) = (outcome.kind.rawValue, outcome.reason?.bounded())
        }
    }

    fileprivate func refreshAfter(_ outcome: Outcome, _ schedule: RefreshSchedule) -> Double? {
        switch outcome.kind {
        case .cached, .existing, .unsupported: nextRefresh(schedule, outcome.image, outcome.host)
        // Neither moved the file's age: a refresh that was put off stays put off.
        case .failed, .skipped: refreshAt
        }
    }
}

/// The oldest go. Row ids only grow, so this is one short range and no count.
private func trim(_ db: Database, to kept: Int) throws {
    guard let newest = try db.integer("SELECT max(id) FROM outcomes") else { return }
    try db.run("DELETE FROM outcomes WHERE id <= ?", [newest - Int64(kept)])
}

private let outcomeColumns =
    "at, image, site, host, outcome, via, source, bytes, seconds, digest, reason, failure, touched_at"

private let insertOutcome =
    "INSERT INTO outcomes (\(outcomeColumns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

extension Outcome {
    fileprivate func columns(at now: Date) -> StatementArguments {
        [
            now.column, image.blob, site.rawValue, host.rawValue, kind.rawValue, via?.rawValue,
            source?.bounded(255), bytes, seconds,
            digest?.description, reason?.bounded(), failure?.rawValue, touchedAt?.column,
        ]
    }

    fileprivate init(_ row: Row) throws {
        guard let kind = OutcomeKind(rawValue: try row.at(4)) else {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "outcome")
        }
        let parts = (try row.at(9) as String?)?.split(separator: ":").map(String.init) ?? []
        try self.init(
            image: ImageID(blob: row.at(1)), site: SiteName(row.at(2)), host: HostName(row.at(3)),
            kind: kind,
            via: (row.at(5) as String?).flatMap(Via.init(rawValue:)), source: row.at(6), bytes: row.at(7),
            seconds: row.at(8),
            digest: parts.count == 2
                ? DigestAlgorithm(rawValue: parts[0]).flatMap { Digest($0, hex: parts[1]) } : nil,
            reason: row.at(10),
            failure: (row.at(11) as String?).flatMap(Failure.Kind.init(rawValue:)),
            touchedAt: (row.at(12) as Double?).map { Date(column: $0) })
    }
}
