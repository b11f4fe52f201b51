public import FoundationEssentials

/// The state of a placement as `status` prints it.
public enum PlacementState: String, Hashable, Sendable, Encodable, CaseIterable {
    /// Wanted, not there yet.
    case pending
    /// Being transferred now.
    case caching
    /// There, and not due for a refresh.
    case fresh
    /// There, and to be touched now.
    case due
    case failed
    /// Older than its TTL: Nova may have removed it.
    case expired
    case unsupported
    /// No rule wants it any longer; deleting stays Nova's job.
    case unwanted
}

/// What the ledger knows of one image on one host.
public struct PlacementRecord: Hashable, Sendable {
    public var image: ImageID
    public var site: SiteName
    public var role: RoleName
    public var host: HostName
    public var isWanted: Bool
    /// The rule that wants it, or that wanted it last.
    public var rule: String
    public var priority: Int
    /// True while an executor works on it.
    public var isInFlight: Bool
    /// How far that is, where bytes are on their way.
    public var transfer: TransferProgress?
    /// The TTL that counts for this host and rule, in seconds.
    public var ttlSeconds: Int
    /// The controller's clock when the base file's age was 0; nil where no base file is known.
    public var touchedAt: Date?
    /// When it is to be touched again; nil where there is nothing to touch.
    public var refreshAt: Date?
    public var bytes: Int64
    public var lastOutcome: OutcomeKind?
    public var lastError: String?
    /// Failures since the last success.
    public var failures: Int
    public var updatedAt: Date

    public init(
        image: ImageID, site: SiteName, role: RoleName, host: HostName, isWanted: Bool = true, rule: String = "", priority: Int = 50,
        isInFlight: Bool = false, transfer: TransferProgress? = nil, ttlSeconds: Int = 86400, touchedAt: Date? = nil,
        refreshAt: Date? = nil, bytes: Int64 = 0,
        lastOutcome: OutcomeKind? = nil, lastError: String? = nil, failures: Int = 0, updatedAt: Date
    ) {
        self.image = image
        self.site = site
        self.role = role
        self.host = host
        self.isWanted = isWanted
        self.rule = rule
        self.priority = priority
        self.isInFlight = isInFlight
        self.transfer = transfer
        self.ttlSeconds = ttlSeconds
        self.touchedAt = touchedAt
        self.refreshAt = refreshAt
        self.bytes = bytes
        self.lastOutcome = lastOutcome
        self.lastError = lastError
        self.failures = failures
        self.updatedAt = updatedAt
    }

    /// When Nova's janitor may remove it; nil where no base file is known.
    public var expiresAt: Date? { touchedAt?.addingTimeInterval(Double(ttlSeconds)) }

    /// What a WAN link is taken to carry, in bytes a second, when the time to fetch a file anew is estimated: a slow one, so that the warning comes early.
    public static let repairBytesPerSecond: Double = 10 * 1024 * 1024

    /// Until it is known that the host is back, and until the bytes were fetched once more.
    public var repairSeconds: Double { Limits.longestRetrySeconds + Double(bytes) / Self.repairBytesPerSecond }

    /// It is there and wanted, its touch is overdue or failed, and it expires before it could be fetched anew.
    public func isAtRisk(at now: Date) -> Bool {
        guard isWanted, lastOutcome != .unsupported, let expiresAt, let refreshAt, expiresAt > now else { return false }
        return (failures > 0 || refreshAt <= now) && expiresAt.timeIntervalSince(now) < repairSeconds
    }

    public func state(at now: Date) -> PlacementState {
        guard isWanted else { return .unwanted }
        if isInFlight { return .caching }
        if lastOutcome == .unsupported { return .unsupported }
        if let expiresAt, expiresAt <= now { return .expired }
        if lastOutcome == .failed { return .failed }
        guard touchedAt != nil else { return .pending }
        if let refreshAt, refreshAt <= now { return .due }
        return .fresh
    }
}
