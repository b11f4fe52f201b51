/// How the bytes of an image get to the hosts of a site: a rule's `deliver:`, a site's own settings, or the two put together. Nil means "as the next one says".
public struct DeliverySettings: Hashable, Sendable {
    public var via: Via?
    /// Hosts that copy from one and the same host under `relay`, 1…16; 1 makes a chain.
    public var fanOut: Int?
    /// Bytes a second over the site's WAN link, for all downloads of the site together.
    public var rateLimit: Int64?
    /// When bytes may cross the site's WAN link.
    public var window: Window?
    /// Images whose bytes, or whose virtual size, are larger are refused before anything is moved.
    public var maxSizeBytes: Int64?
    /// Ranged downloads side by side for one image, 1…16.
    public var streams: Int?
    public var source: DeliverySource?

    public init(
        via: Via? = nil, fanOut: Int? = nil, rateLimit: Int64? = nil, window: Window? = nil, maxSizeBytes: Int64? = nil,
        streams: Int? = nil, source: DeliverySource? = nil
    ) {
        self.via = via
        self.fanOut = fanOut
        self.rateLimit = rateLimit
        self.window = window
        self.maxSizeBytes = maxSizeBytes
        self.streams = streams
        self.source = source
    }

    /// Each setting of this one wins over the other's.
    public func over(_ other: DeliverySettings) -> DeliverySettings {
        DeliverySettings(
            via: via ?? other.via, fanOut: fanOut ?? other.fanOut, rateLimit: rateLimit ?? other.rateLimit, window: window ?? other.window,
            maxSizeBytes: maxSizeBytes ?? other.maxSizeBytes, streams: streams ?? other.streams, source: source ?? other.source)
    }
}

/// Where a site's first copy comes from.
public enum DeliverySource: String, Hashable, Sendable, CaseIterable {
    /// The host downloads from Glance itself.
    case glance
    /// The controller downloads and sends through SSH, for hosts without a way to Glance: no token leaves the controller.
    case controller
}
