public import ForecacheModel
public import FoundationEssentials

/// When a base file is touched again: ahead of its TTL, each placement at a moment of its own so that a site's files do not all come due at once.
public struct RefreshSchedule: Hashable, Sendable {
    /// Share of the TTL after which a placement is due at the latest; the rest is the margin for trying again.
    public let fraction: Double
    /// Share of that time by which a placement may come due earlier.
    public static let jitter = 0.1

    /// `fraction` is held between 5 % and 95 %: outside there is either no rest between touches or no margin to repair anything.
    public init(atFraction fraction: Double = 0.6) { self.fraction = min(0.95, max(0.05, fraction)) }

    /// The same placement always gets the same jitter, so that a restart moves nothing.
    public func refreshAt(touchedAt: Date, ttlSeconds: Int, image: ImageID, host: HostName) -> Date {
        let latest = Double(ttlSeconds) * fraction
        return touchedAt.addingTimeInterval(latest * (1 - Self.jitter * Self.share(image, host)))
    }

    /// FNV-1a of the placement's names as a number from 0 to 1: stable between runs, unlike `Hasher`.
    private static func share(_ image: ImageID, _ host: HostName) -> Double {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for bytes in [image.text.utf8, host.rawValue.utf8] {
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        }
        // The upper bits of FNV change little for texts that differ at their end only; folding mixes them.
        hash ^= hash >> 33
        hash = hash &* 0xff51_afd7_ed55_8ccd
        hash ^= hash >> 33
        return Double(hash >> 11) / 0x1p53
    }
}
