/// A transfer that reports a length every second, but always the same, moves nothing. Time is an argument.
struct StallWatch {
    /// The node program gives up a stalled transfer by itself and can say more about it, so it has some time before us.
    private static let grace = 30

    /// Bytes of the image.
    let total: Int64
    /// How long the length may stand still, and how long once all of it is there: the node then waits for its digest.
    let stallSeconds: Int
    let digestSeconds: Int
    private var bytes: Int64 = -1
    private var since: ContinuousClock.Instant

    init(total: Int64, stallSeconds: Int, digestSeconds: Int, now: ContinuousClock.Instant = .now) {
        self.total = total
        self.stallSeconds = stallSeconds + Self.grace
        self.digestSeconds = digestSeconds
        since = now
    }

    mutating func moved(to bytes: Int64, now: ContinuousClock.Instant = .now) {
        self.bytes = bytes
        since = now
    }

    /// What is wrong, or nil.
    mutating func complaint(at bytes: Int64, now: ContinuousClock.Instant = .now) -> String? {
        if bytes != self.bytes { moved(to: bytes, now: now) }
        let isWhole = bytes >= total
        guard now - since > .seconds(isWhole ? digestSeconds : stallSeconds) else { return nil }
        return isWhole
            ? "all bytes came, but their digest did not within \(digestSeconds) s; is the host's disk slow? Raise limits.publish_seconds"
            : "no byte came for \(stallSeconds) s"
    }
}
