public import FoundationEssentials

/// What `forecache status --output json` and `/api/v1/status` print. Keys are snake case, times RFC 3339 UTC, and every key of a placement is always there.
public struct StatusReport: Hashable, Sendable, Encodable {
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
}

/// One image of the report.
public struct StatusImage: Hashable, Sendable, Encodable {
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
public struct StatusPlacement: Hashable, Sendable, Encodable {
    public var site: SiteName
    public var role: RoleName
    public var host: HostName
    public var state: PlacementState
    /// How far it is; nil unless it is `caching` and bytes are on their way.
    @OrNull public var transfer: TransferProgress?
    /// It expires before it could be fetched anew, and its touch is overdue or failed.
    public var isAtRisk: Bool
    /// Nil where no base file is known.
    @OrNull public var ageSeconds: Int?
    public var ttlSeconds: Int
    @OrNull public var expiresAt: Date?
    @OrNull public var refreshAt: Date?
    public var bytes: Int64
    public var rule: String
    @OrNull public var error: String?

    /// Spelled out because reports have millions of them (`ContractJSON.text`, `keys`).
    private enum CodingKeys: String, CodingKey {
        case site, role, host, state, transfer, bytes, rule, error
        case isAtRisk = "at_risk"
        case ageSeconds = "age_seconds"
        case ttlSeconds = "ttl_seconds"
        case expiresAt = "expires_at"
        case refreshAt = "refresh_at"
    }

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
public struct StatusQueue: Hashable, Sendable, Encodable {
    public var length: Int
    /// Nil where nothing waits.
    @OrNull public var nextDueAt: Date?

    public init(length: Int, nextDueAt: Date?) {
        self.length = length
        self.nextDueAt = nextDueAt
    }
}

/// What came over the bus since the service started; only the running service knows, so a report made from the ledger alone has nulls.
public struct StatusNotifications: Hashable, Sendable, Encodable {
    @OrNull public var subscribed: Bool?
    @OrNull public var lastEventAt: Date?
    /// How many of each `StatusCounters.Received`, none of them left out.
    @OrNull public var received: [String: Int]?

    public init(_ counters: StatusCounters? = nil) {
        subscribed = counters?.isSubscribed
        lastEventAt = counters?.lastEventAt
        received = counters.map { counters in
            Dictionary(uniqueKeysWithValues: StatusCounters.Received.allCases.map { ($0.rawValue, counters.received[$0] ?? 0) })
        }
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
