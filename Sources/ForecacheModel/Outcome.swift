public import FoundationEssentials

/// How a placement ended, in Nova's own words (nova/compute/manager.py, `cache_images`), and `skipped`.
public enum OutcomeKind: String, Hashable, Sendable, Encodable, CaseIterable {
    /// The base file was not there and is now.
    case cached
    /// The base file was there; its mtime is now.
    case existing
    /// This host cannot use a base file (rbd).
    case unsupported
    case failed
    /// Not tried, or stopped: no longer wanted, dry run, outside the site's window, or shutting down.
    case skipped
}

/// What happened to one image on one host.
public struct Outcome: Hashable, Sendable {
    public var image: ImageID
    public var site: SiteName
    public var host: HostName
    public var kind: OutcomeKind
    public var via: Via?
    /// `glance`, or the host that it was copied from.
    public var source: String?
    /// Bytes moved for this outcome (resumed bytes are not counted again).
    public var bytes: Int64
    public var seconds: Double
    /// What the bytes were verified against; nil where nothing was moved.
    public var digest: Digest?
    /// Always set for `failed`, `unsupported` and `skipped`.
    public var reason: String?
    /// Whether and how a failure may be tried again; nil unless `failed`.
    public var failure: Failure.Kind?
    /// The controller's clock when the base file's age was 0; nil unless `cached` or `existing`.
    public var touchedAt: Date?
    /// When it is tried again: set where bytes wait for the site's window, or are on their way to the site.
    public var againAt: Date?

    public init(
        image: ImageID, site: SiteName, host: HostName, kind: OutcomeKind, via: Via? = nil, source: String? = nil, bytes: Int64 = 0,
        seconds: Double = 0, digest: Digest? = nil, reason: String? = nil, failure: Failure.Kind? = nil, touchedAt: Date? = nil,
        againAt: Date? = nil
    ) {
        self.image = image
        self.site = site
        self.host = host
        self.kind = kind
        self.via = via
        self.source = source
        self.bytes = bytes
        self.seconds = seconds
        self.digest = digest
        self.reason = reason
        self.failure = failure
        self.touchedAt = touchedAt
        self.againAt = againAt
    }
}
