/// A time of day, every day, in a place's own time: `01:00-05:00 Europe/Berlin`. One that ends before it begins goes over midnight.
public struct Window: Hashable, Sendable, CustomStringConvertible {
    /// Minutes after midnight, 0…1439.
    public let opensAt: Int
    /// Minutes after midnight, 0…1440, and never `opensAt`.
    public let closesAt: Int
    /// A name of the time zone database; UTC where the operator named none.
    public let timeZone: String

    /// Nil where the text is not of the form `HH:MM-HH:MM[ ZONE]`. Whether the zone exists is for `isKnown`.
    public init?(_ text: String) {
        let parts = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        let times = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard times.count == 2, let opens = Self.minutes(times[0]), let closes = Self.minutes(times[1]), opens != closes, opens < 1440
        else {
            return nil
        }
        opensAt = opens
        closesAt = closes
        timeZone = parts.count == 2 ? String(parts[1]) : "UTC"
        guard !timeZone.isEmpty, timeZone.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else { return nil }
    }

    /// `HH:MM`, up to `24:00`.
    private static func minutes(_ text: Substring) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 2 && $0.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } }),
            let hours = Int(parts[0]), let minutes = Int(parts[1]), minutes < 60, hours * 60 + minutes <= 1440
        else { return nil }
        return hours * 60 + minutes
    }

    public var description: String { "\(Self.clock(opensAt))-\(Self.clock(closesAt)) \(timeZone)" }

    private static func clock(_ minutes: Int) -> String {
        let (hours, rest) = (minutes / 60, minutes % 60)
        return "\(hours < 10 ? "0" : "")\(hours):\(rest < 10 ? "0" : "")\(rest)"
    }
}
