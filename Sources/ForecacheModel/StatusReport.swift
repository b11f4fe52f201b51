public import Foundation

/// What `forecache status --output json` and `/api/v1/status` print. Keys are snake case, times RFC 3339 UTC, and every key of a placement is always there.
public struct StatusReport: Hashable, Sendable, Codable {
    public var images: [StatusImage]
    public var queue: StatusQueue
    public var notifications: StatusNotifications
    public var policy: StatusPolicy

    public init(
        images: [StatusImage], queue: StatusQueue, notifications: StatusNotifications, policy: StatusPolicy = StatusPolicy(nil)
    ) {
        self.images = images
        self.queue = queue
        self.notifications = notifications
        self.policy = policy
    }

    /// One line of JSON, keys in order.
    public static func json(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(value))
    }
}

/// One image of the report.
public struct StatusImage: Hashable, Sendable, Codable {
    public var id: ImageID
    public var name: String
    public var placements: [StatusPlacement]

    public init(id: ImageID, name: String, placements: [StatusPlacement]) {
        self.id = id
        self.name = name
        self.placements = placements
    }
}

/// One row of the report: an image on a host, as it stands at one moment.
public struct StatusPlacement: Hashable, Sendable {
    public var site: SiteName
    public var role: RoleName
    public var host: HostName
    public var state: PlacementState
    /// How far it is; nil unless it is `caching` and bytes are on their way.
    public var transfer: TransferProgress?
    /// It expires before it could be fetched anew, and its touch is overdue or failed.
    public var isAtRisk: Bool
    /// Nil where no base file is known.
    public var ageSeconds: Int?
    public var ttlSeconds: Int
    public var expiresAt: Date?
    public var refreshAt: Date?
    public var bytes: Int64
    public var rule: String
    public var error: String?

    public init(_ record: PlacementRecord, at now: Date) {
        site = record.site
        role = record.role
        host = record.host
        state = record.state(at: now)
        transfer = state == .caching ? record.transfer : nil
        isAtRisk = record.isAtRisk(at: now)
        // A clock that was set back makes no negative ages.
        ageSeconds = record.touchedAt.map { max(0, Int(now.timeIntervalSince($0).rounded(.down))) }
        ttlSeconds = record.ttlSeconds
        expiresAt = record.expiresAt
        refreshAt = record.refreshAt
        bytes = record.bytes
        rule = record.rule
        error = record.lastError
    }

    /// The state as people read it: `caching 43 % from dcn1-compute-0`, `fresh, at risk`.
    public var stateText: String {
        if let transfer { return "\(state.rawValue) \(transfer.percent) % from \(transfer.source)" }
        return isAtRisk ? "\(state.rawValue), at risk" : state.rawValue
    }
}

/// Images that wait to be looked at.
public struct StatusQueue: Hashable, Sendable {
    public var length: Int
    /// Nil where nothing waits.
    public var nextDueAt: Date?

    public init(length: Int, nextDueAt: Date?) {
        self.length = length
        self.nextDueAt = nextDueAt
    }
}

/// What came over the bus since the service started; only the running service knows, so a report made from the ledger alone has nulls.
public struct StatusNotifications: Hashable, Sendable {
    public var isSubscribed: Bool?
    public var lastEventAt: Date?
    public var received: [StatusCounters.Received: Int]?

    public init(_ counters: StatusCounters? = nil) {
        isSubscribed = counters?.isSubscribed
        lastEventAt = counters?.lastEventAt
        received = counters?.received
    }
}

/// `2026-11-22T17:00:00Z`, the contract's form of a time.
public enum RFC3339 {
    public static func text(_ date: Date) -> String { date.formatted(.iso8601) }

    public static func date(_ text: String) -> Date? {
        // Not a time is the answer here; who needs to say why has the text.
        try? Date(text, strategy: .iso8601)
    }
}

extension StatusPlacement: Codable {
    enum CodingKeys: String, CodingKey {
        case site, role, host, state, transfer, bytes, rule, error
        case isAtRisk = "at_risk"
        case ageSeconds = "age_seconds"
        case ttlSeconds = "ttl_seconds"
        case expiresAt = "expires_at"
        case refreshAt = "refresh_at"
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        site = try container.decode(SiteName.self, forKey: .site)
        role = try container.decode(RoleName.self, forKey: .role)
        host = try container.decode(HostName.self, forKey: .host)
        state = try container.decode(PlacementState.self, forKey: .state)
        transfer = try container.decode(TransferProgress?.self, forKey: .transfer)
        isAtRisk = try container.decode(Bool.self, forKey: .isAtRisk)
        ageSeconds = try container.decode(Int?.self, forKey: .ageSeconds)
        ttlSeconds = try container.decode(Int.self, forKey: .ttlSeconds)
        expiresAt = try container.time(.expiresAt)
        refreshAt = try container.time(.refreshAt)
        bytes = try container.decode(Int64.self, forKey: .bytes)
        rule = try container.decode(String.self, forKey: .rule)
        error = try container.decode(String?.self, forKey: .error)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(site, forKey: .site)
        try container.encode(role, forKey: .role)
        try container.encode(host, forKey: .host)
        try container.encode(state, forKey: .state)
        try container.encode(transfer, forKey: .transfer)
        try container.encode(isAtRisk, forKey: .isAtRisk)
        try container.encode(ageSeconds, forKey: .ageSeconds)
        try container.encode(ttlSeconds, forKey: .ttlSeconds)
        try container.encode(expiresAt.map(RFC3339.text), forKey: .expiresAt)
        try container.encode(refreshAt.map(RFC3339.text), forKey: .refreshAt)
        try container.encode(bytes, forKey: .bytes)
        try container.encode(rule, forKey: .rule)
        try container.encode(error, forKey: .error)
    }
}

extension StatusQueue: Codable {
    enum CodingKeys: String, CodingKey {
        case length
        case nextDueAt = "next_due_at"
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        length = try container.decode(Int.self, forKey: .length)
        nextDueAt = try container.time(.nextDueAt)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(length, forKey: .length)
        try container.encode(nextDueAt.map(RFC3339.text), forKey: .nextDueAt)
    }
}

extension StatusNotifications: Codable {
    enum CodingKeys: String, CodingKey {
        case subscribed
        case lastEventAt = "last_event_at"
        case received
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        isSubscribed = try container.decode(Bool?.self, forKey: .subscribed)
        lastEventAt = try container.time(.lastEventAt)
        let counts = try container.decode([String: Int]?.self, forKey: .received)
        received = counts.map { counts in
            Dictionary(
                counts.compactMap { key, count in StatusCounters.Received(rawValue: key).map { ($0, count) }
                }
            ) { first, _ in first }
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(isSubscribed, forKey: .subscribed)
        try container.encode(lastEventAt.map(RFC3339.text), forKey: .lastEventAt)
        let counts = received.map { counts in
            Dictionary(
                uniqueKeysWithValues: StatusCounters.Received.allCases.map {
                    ($0.rawValue, counts[$0] ?? 0)
                })
        }
        try container.encode(counts, forKey: .received)
    }
}

extension KeyedDecodingContainer {
    fileprivate func time(_ key: Key) throws -> Date? {
        guard let text = try decode(String?.self, forKey: key) else { return nil }
        guard let date = RFC3339.date(text) else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: "not an RFC 3339 time")
        }
        return date
    }
}
