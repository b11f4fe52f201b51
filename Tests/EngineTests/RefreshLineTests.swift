import ForecacheModel
import FoundationEssentials
import Testing

@testable import Engine

/// Who is refreshed next, and that nobody who is ill takes the place of those who are well.
@Suite struct RefreshLineTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)

    private func due(_ host: HostName, expiresIn seconds: Double, since: Double = 0) -> DueHost {
        DueHost(host: host, expiresAt: now.addingTimeInterval(seconds), dueAt: now.addingTimeInterval(-since))
    }

    private func site(_ host: HostName) -> SiteName { SiteName(String(host.rawValue.prefix { $0 != "-" })) }

    private func all(_ line: inout RefreshLine) -> [HostName] {
        var taken: [HostName] = []
        while let host = line.next() { taken.append(host) }
        return taken
    }

    @Test func soonestExpiryGoesFirstAndASiteHasItsPlacesOnly() {
        var line = RefreshLine(places: 4)
        let hosts = [due("a-1", expiresIn: 1), due("a-2", expiresIn: 2), due("a-3", expiresIn: 3), due("b-1", expiresIn: 9)]
        line.looked(hosts, placesPerSite: 2, site: site)
        #expect(all(&line) == ["a-1", "a-2", "b-1"])
        line.ended("a-2", hasFailed: false)
        #expect(all(&line) == ["a-3"])
        #expect(line.isEmpty)
    }

    @Test func aSitesPlacesAreWhatTheLastLookSaid() {
        var line = RefreshLine(places: 4)
        let hosts = (1...4).map { due(HostName("a-\($0)"), expiresIn: Double($0)) }
        line.looked(hosts, placesPerSite: 1, site: site)
        #expect(all(&line) == ["a-1"])
        line.looked(hosts, placesPerSite: 3, site: site)
        #expect(all(&line) == ["a-2", "a-3"])
        line.looked(hosts, placesPerSite: 1, site: site)
        line.ended("a-1", hasFailed: false)
        line.ended("a-2", hasFailed: false)
        #expect(all(&line) == [])
        line.ended("a-3", hasFailed: false)
        #expect(all(&line) == ["a-4"])
    }

    @Test func whatIsInFlightIsNotTakenAgain() {
        var line = RefreshLine(places: 4)
        for _ in 0..<2 { line.looked([due("a-1", expiresIn: 1)], placesPerSite: 4, site: site) }
        #expect(all(&line) == ["a-1"])
        line.looked([due("a-1", expiresIn: 1)], placesPerSite: 4, site: site)
        #expect(all(&line) == [])
    }

    @Test func hostsThatFailHaveAShareAndNoMore() {
        var line = RefreshLine(places: 8)
        let dead = (0..<20).map { due(HostName("d\($0)-x"), expiresIn: 1, since: Double($0)) }
        line.looked(dead, placesPerSite: 8, site: site)
        for host in all(&line) { line.ended(host, hasFailed: true) }
        for host in all(&line) { line.ended(host, hasFailed: true) }
        for host in all(&line) { line.ended(host, hasFailed: true) }
        // All twenty have failed now. They expire soonest, but those who are well go first, and two of eight places are theirs.
        let well = (0..<20).map { due(HostName("w\($0)-x"), expiresIn: 1000 + Double($0)) }
        line.looked(dead + well, placesPerSite: 8, site: site)
        #expect(all(&line) == well.prefix(8).map(\.host))
        line.ended("w0-x", hasFailed: false)
        line.looked(dead, placesPerSite: 8, site: site)
        for host in well.prefix(8).dropFirst() { line.ended(host.host, hasFailed: false) }
        // The longest due first.
        #expect(all(&line) == ["d19-x", "d18-x"])
        line.ended("d19-x", hasFailed: false)
        #expect(all(&line) == ["d17-x"])
    }
}
