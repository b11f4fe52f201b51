import ForecacheModel
import FoundationEssentials
import Testing

@Suite struct WindowTests {
    private func moment(_ text: String) throws -> Date { try Date.ISO8601FormatStyle().parse(text) }

    private func window(_ text: String) throws -> Window { try #require(Window(text)) }

    @Test(arguments: [
        ("01:00-05:00 Europe/Berlin", "2026-07-01T12:00:00Z", "2026-07-01T23:00:00Z", "2026-07-02T03:00:00Z"),
        ("01:00-05:00 Europe/Berlin", "2026-01-01T12:00:00Z", "2026-01-02T00:00:00Z", "2026-01-02T04:00:00Z"),
        // Over midnight.
        ("22:30-06:00 America/New_York", "2026-07-01T20:00:00Z", "2026-07-02T02:30:00Z", "2026-07-02T10:00:00Z"),
        ("01:00-05:00", "2026-07-01T05:00:00Z", "2026-07-02T01:00:00Z", "2026-07-02T05:00:00Z"),
        ("18:00-24:00 UTC", "2026-07-01T05:00:00Z", "2026-07-01T18:00:00Z", "2026-07-02T00:00:00Z"),
        // Half an hour of daylight saving, and ten and a half hours ahead.
        ("01:00-05:00 Australia/Lord_Howe", "2026-07-01T00:00:00Z", "2026-07-01T14:30:00Z", "2026-07-01T18:30:00Z"),
        // Spring, 29 March 2026: the hour from 02:00 is not there. 01:00 is still CET, 05:00 is CEST.
        ("01:00-05:00 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"),
        // Half of it is not there: open for 30 minutes, then the clock jumps over its end.
        ("01:30-02:30 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
        // Its beginning is not there: open from the jump on.
        ("02:30-03:30 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"),
        // All of it is not there: the next night.
        ("02:10-02:50 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:10:00Z", "2026-03-30T00:50:00Z"),
        // Autumn, 25 October 2026: the hour from 02:00 comes twice.
        ("01:00-05:00 Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z"),
        ("02:10-02:50 Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:10:00Z", "2026-10-25T00:50:00Z"),
        ("02:10-02:50 Europe/Berlin", "2026-10-25T00:55:00Z", "2026-10-25T01:10:00Z", "2026-10-25T01:50:00Z"),
        // 1 November 2026 in New York: over midnight and over the repeated hour.
        ("23:00-01:30 America/New_York", "2026-10-31T12:00:00Z", "2026-11-01T03:00:00Z", "2026-11-01T05:30:00Z"),
        ("23:00-01:30 America/New_York", "2026-11-01T05:40:00Z", "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z"),
        // 4 October 2026 on Lord Howe: 02:00 becomes 02:30.
        ("01:45-02:15 Australia/Lord_Howe", "2026-10-03T10:00:00Z", "2026-10-03T15:15:00Z", "2026-10-03T15:30:00Z"),
    ])
    func opensAndClosesByTheClockOnTheWall(_ text: String, from: String, opens: String, closes: String) throws {
        let (window, from) = (try window(text), try moment(from))
        #expect(!window.isOpen(at: from))
        #expect(window.closing(after: from) == from)
        let opening = window.opening(after: from)
        #expect(try opening == moment(opens))
        #expect(window.isOpen(at: opening) && !window.isOpen(at: opening.addingTimeInterval(-1)))
        #expect(window.opening(after: opening) == opening)
        let closing = window.closing(after: opening)
        #expect(try closing == moment(closes))
        #expect(!window.isOpen(at: closing) && window.isOpen(at: closing.addingTimeInterval(-1)))
    }

    /// Looked at every quarter of an hour through a year, with all its changes: every edge is where the clock on the wall says, and nowhere else.
    @Test(arguments: ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Africa/Casablanca", "Asia/Kathmandu"])
    func edgesAreWhereAWalkThroughTheYearFindsThem(_ zone: String) throws {
        for hours in ["01:00-05:00", "02:30-03:30", "23:30-02:15", "00:00-01:00", "12:00-24:00"] {
            let window = try window("\(hours) \(zone)")
            var (walk, end) = (try moment("2026-01-01T00:00:00Z"), try moment("2027-01-01T00:00:00Z"))
            var (isOpen, edge) = (window.isOpen(at: walk), walk)
            while walk < end {
                let next = isOpen ? window.closing(after: edge) : window.opening(after: edge)
                repeat { walk += 900 } while window.isOpen(at: walk) == isOpen && walk < end
                guard walk < end else { break }
                try #require(next == walk, "\(window) from \(edge)")
                (isOpen, edge) = (!isOpen, walk)
            }
            end = edge
            #expect(end > (try moment("2026-12-30T00:00:00Z")))
        }
    }

    @Test func aWindowOfTheWholeDayNeverCloses() throws {
        let always = try window("00:00-24:00 Europe/Berlin")
        let now = try moment("2026-03-28T12:00:00Z")
        #expect(always.isOpen(at: now))
        #expect(always.closing(after: now) == .distantFuture)
    }

    /// Such a sum is often a little less than the whole second: reasons would say that it opens a second early.
    @Test func edgesAreWholeSecondsWhateverTheClockSays() throws {
        let (window, noon) = (try window("01:00-05:00 Europe/Berlin"), try moment("2026-07-01T12:00:00Z"))
        let (opens, closes) = (try moment("2026-07-01T23:00:00Z"), try moment("2026-07-02T03:00:00Z"))
        for step in 1...2000 {
            let now = noon.addingTimeInterval(Double(step) * 1.234567)
            try #require(window.opening(after: now) == opens)
            try #require(window.closing(after: now.addingTimeInterval(12 * 3600)) == closes)
        }
    }

    /// Three letters mean different places to different people: `BST` is Dhaka's time to the time zone library.
    @Test(arguments: [
        ("01:00-05:00 Europe/Berlin", true), ("01:00-05:00", true), ("01:00-05:00 UTC", true), ("01:00-05:00 GMT", true),
        ("01:00-05:00 Etc/GMT+2", true), ("01:00-05:00 America/Argentina/Salta", true), ("01:00-05:00 Europe/Berlim", false),
        ("01:00-05:00 ../../etc/passwd", false), ("01:00-05:00 BST", false), ("01:00-05:00 IST", false), ("01:00-05:00 GMT+2", false),
        ("01:00-05:00 Singapore", true), ("01:00-05:00 CET", true), ("01:00-05:00 EST5EDT", true), ("01:00-05:00 AST", false),
    ])
    func zonesAreThoseOfTheDatabase(_ text: String, isKnown: Bool) throws { #expect(try window(text).isKnown == isKnown) }
}
