public import ForecacheModel
public import FoundationEssentials

/// When a base file is touched again: ahead of its TTL, each placement at a moment of its own, so that what became fresh together does not come due together.
///
/// Most of the jitter is the host's: a fleet spreads over the whole of it, while the files of one host come close enough together for one log-in. With what
/// comes due within the jitter taken along, a host is logged in to at most five times a TTL (1 / (0.6 × 0.2), less the time between), whatever the number of its images.
public struct RefreshSchedule: Hashable, Sendable {
    /// Share of the TTL after which a placement is due at the latest; the rest is the margin for trying again.
    public let fraction: Double
    /// Share of that time by which a placement may come due earlier.
    public static let jitter = 0.2
    /// The host's part of the jitter.
    private static let ofHost = 0.9

    /// `fraction` is held between 5 % and 95 %: outside there is either no rest between touches or no margin to repair anything.
    public init(atFraction fraction: Double = 0.6) { self.fraction = min(0.95, max(0.05, fraction)) }

    /// The same placement always gets the same jitter, so that a restart moves nothing.
    public func refreshAt(touchedAt: Date, ttlSeconds: Int, image: ImageID, host: HostName) -> Date {
        refreshAt(touchedAt: touchedAt, ttlSeconds: ttlSeconds, share: Self.share(image, host))
    }

    /// `share` as `share(_:_:)` gives it, for those who keep it.
    public func refreshAt(touchedAt: Date, ttlSeconds: Int, share: Double) -> Date {
        touchedAt.addingTimeInterval(Double(ttlSeconds) * fraction * (1 - Self.jitter * share))
    }

    /// A touch of one placement takes along those of the same host that come due in so many seconds.
    public func takenAlongSeconds(ttlSeconds: Int) -> Double { Double(ttlSeconds) * takenAlongShare }
    /// The same as a share of the TTL.
    public var takenAlongShare: Double { fraction * Self.jitter }

    /// The part of the jitter that a placement has, 0…1.
    public static func share(_ image: ImageID, _ host: HostName) -> Double {
        let ofHost = hash(0xcbf2_9ce4_8422_2325, host.rawValue)
        return Self.ofHost * unit(ofHost) + (1 - Self.ofHost) * unit(hash(ofHost, image.text))
    }

    /// How long to wait after a touch that failed, where the soonest of the files expires in `margin` seconds: an eighth of what is left, so that many tries fit in,
    /// never more than half of it, and never so long that a host that is back is not noticed. Where nothing is left to save (`margin` ≤ 0): the longest wait.
    public static func pauseSeconds(margin: Double, shortest: Double) -> Double {
        guard margin > 0 else { return Limits.longestRetrySeconds }
        // The last second is not worth a busy loop.
        return max(1, min(Limits.longestRetrySeconds, min(max(shortest, margin / 8), margin / 2)))
    }

    /// FNV-1a: stable between runs, unlike `Hasher`.
    private static func hash(_ start: UInt64, _ text: String) -> UInt64 {
        var hash = start
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash
    }

    /// The upper bits of FNV change little for texts that differ at their end only; folding mixes them.
    private static func unit(_ hash: UInt64) -> Double {
        var mixed = hash ^ (hash >> 33)
        mixed = mixed &* 0xff51_afd7_ed55_8ccd
        mixed ^= mixed >> 33
        return Double(mixed >> 11) / 0x1p53
    }
}
