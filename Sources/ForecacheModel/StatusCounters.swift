public import FoundationEssentials

/// What the running service has counted since its start; `/metrics` and `status` print it.
public struct StatusCounters: Hashable, Sendable {
    public enum Received: String, Hashable, Sendable, CaseIterable {
        /// Named an image and became work.
        case image
        /// The same message again.
        case duplicate
        /// Another service's event, or one that changes nothing here (`image.send`).
        case irrelevant
        /// Not understood; kept for a look.
        case odd
    }

    /// True while the broker delivers to our queue.
    public var isSubscribed = false
    public var lastEventAt: Date?
    /// The end of the last resync that succeeded; the service's start until there is one.
    public var resyncedAt: Date?
    /// From the end of one resync to the next.
    public var resyncSeconds: Int?
    public var received: [Received: Int] = [:]
    public var outcomes: [OutcomeKind: Int] = [:]
    /// Bytes that fetches and copies moved.
    public var bytesMoved: Int64 = 0
    public var refreshed = 0
    public var refreshFailures = 0
    /// Rule or inventory reloads that were refused.
    public var reloadFailures = 0
    /// Reloads that were put into force.
    public var reloads = 0
    /// Reloads that were held for approval.
    public var reloadsHeld = 0
    /// How the operator's files stand; nil before the first look at them.
    public var reload: ReloadReport?

    public init() {}
}

/// One line of the live feed (`/api/v1/events`).
public struct StatusEvent: Hashable, Sendable, Encodable {
    public enum Kind: String, Hashable, Sendable, Encodable {
        case started, progress, ended, refreshed
    }

    public var at: Date
    public var kind: Kind
    public var image: ImageID
    public var host: HostName
    /// Set with `ended` and `refreshed`.
    public var outcome: OutcomeKind?
    /// `glance` or a host; set with `progress`.
    public var source: String?
    /// Bytes on the host so far, of `totalBytes`; set with `progress`.
    public var bytes: Int64?
    public var totalBytes: Int64?
    public var reason: String?

    public init(
        at: Date, kind: Kind, image: ImageID, host: HostName, outcome: OutcomeKind? = nil, source: String? = nil, bytes: Int64? = nil,
        totalBytes: Int64? = nil, reason: String? = nil
    ) {
        self.at = at
        self.kind = kind
        self.image = image
        self.host = host
        self.outcome = outcome
        self.source = source
        self.bytes = bytes
        self.totalBytes = totalBytes
        self.reason = reason
    }
}
