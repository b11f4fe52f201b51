public import FoundationEssentials

/// Why an image is to be looked at again.
public enum WorkCause: String, Hashable, Sendable {
    case event, resync, retry, refresh, reload
}

/// A committed intent: "look at this image again". At most one row an image; asking again while it is being worked on raises `generation`.
public struct WorkRow: Hashable, Sendable {
    public var image: ImageID
    public var cause: WorkCause
    /// Raised by every request: finishing an older generation leaves the row for another round.
    public var generation: Int64
    /// When the oldest request of this row came in.
    public var queuedAt: Date
    /// Not before this time (back-off).
    public var dueAt: Date
    /// Rounds that failed since the last one that did not.
    public var attempts: Int

    public init(image: ImageID, cause: WorkCause, generation: Int64 = 1, queuedAt: Date, dueAt: Date, attempts: Int = 0) {
        self.image = image
        self.cause = cause
        self.generation = generation
        self.queuedAt = queuedAt
        self.dueAt = dueAt
        self.attempts = attempts
    }
}

/// A message that could not be understood, kept for a look.
public struct OddMessage: Hashable, Sendable {
    public var receivedAt: Date
    public var exchange: String
    public var routingKey: String
    public var reason: String
    /// The first bytes of the body, as text with invalid parts replaced.
    public var excerpt: String

    public init(receivedAt: Date, exchange: String, routingKey: String, reason: String, excerpt: String) {
        self.receivedAt = receivedAt
        self.exchange = exchange
        self.routingKey = routingKey
        self.reason = reason
        self.excerpt = excerpt
    }
}
