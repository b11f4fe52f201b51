public import FoundationEssentials
// FoundationEssentials alone knows no zone but GMT; the time zone database comes with this one, which Foundation links anyway.
import FoundationInternationalization

/// What a window means on a calendar: it is open while the clock on the wall of its place shows a time from `opensAt` to before `closesAt`, whatever the day.
/// So in the night that skips an hour a window inside that hour does not open, and in the night that has an hour twice it opens in both.
extension Window {
    /// Whether the time zone database has the zone; whoever reads a window from an operator's file refuses it else. The library knows more names of three letters than
    /// the database has, and means other places than most: `BST` would be Dhaka's time.
    public var isKnown: Bool {
        Self.shortZones.contains(timeZone)
            || (timeZone.utf8.count > 3 && !timeZone.hasPrefix("GMT") && TimeZone(identifier: timeZone) != nil)
    }

    private static let shortZones: Set = [
        "UTC", "GMT", "GMT0", "GMT+0", "GMT-0", "UCT", "CET", "EET", "MET", "WET", "EST", "HST", "MST", "PRC", "ROC", "ROK", "GB", "NZ",
    ]

    public func isOpen(at moment: Date) -> Bool { isOpen(at: moment, zone) }

    /// The first moment from `moment` on when it is open: `moment` itself where it is.
    public func opening(after moment: Date) -> Date { next(from: moment, open: true) }

    /// The first moment from `moment` on when it is closed: `moment` itself where it is. Never, for one that covers the whole day.
    public func closing(after moment: Date) -> Date { next(from: moment, open: false) }

    // A window is checked with `isKnown` where it is read, so UTC is only ever taken by name.
    private var zone: TimeZone { TimeZone(identifier: timeZone) ?? .gmt }

    private func isOpen(at moment: Date, _ zone: TimeZone) -> Bool {
        let minute = Int(Self.secondOfDay(moment, zone) / 60)
        return opensAt < closesAt ? (opensAt..<closesAt).contains(minute) : minute >= opensAt || minute < closesAt
    }

    /// From one edge to the next: the window's own, or a change of the zone's offset, which may open or close it just as well.
    private func next(from start: Date, open wanted: Bool) -> Date {
        let zone = zone
        var moment = start
        // Two offset changes lie weeks apart, and a day has both edges: this ends after a few rounds unless the window never closes.
        for _ in 0..<8 {
            if isOpen(at: moment, zone) == wanted { return moment }
            let ahead = Self.seconds(until: wanted ? opensAt : closesAt, from: Self.secondOfDay(moment, zone))
            // Edges are whole seconds. The sum is now and then a little less, which texts would show as the second before.
            let edge = Date(timeIntervalSince1970: (moment.timeIntervalSince1970 + ahead).rounded())
            let change = zone.nextDaylightSavingTimeTransition(after: moment)
            moment = change.map { min($0, edge) } ?? edge
        }
        return .distantFuture
    }

    /// More than 0 and at most a day: an edge that was just reached and did not do is the next day's.
    private static func seconds(until minute: Int, from second: Double) -> Double {
        let ahead = Double(minute * 60) - second
        return ahead > 0 ? ahead : ahead + 86400
    }

    private static func secondOfDay(_ moment: Date, _ zone: TimeZone) -> Double {
        let local = moment.timeIntervalSince1970 + Double(zone.secondsFromGMT(for: moment))
        let second = local.truncatingRemainder(dividingBy: 86400)
        return second < 0 ? second + 86400 : second
    }
}
