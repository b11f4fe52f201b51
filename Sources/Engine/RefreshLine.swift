import ForecacheModel
import FoundationEssentials

/// Which host is refreshed next. Soonest expiry first, with two bounds so that nobody who is ill takes the place of those who are well: a site gets so many places,
/// and hosts whose last try failed get a share of all places, in the order in which they came due. Those would otherwise always be first: what cannot be touched
/// expires soonest.
///
/// A host is waiting or in flight or neither; `looked` replaces all that wait, `next` takes one into flight, `ended` takes it out.
struct RefreshLine {
    /// Share of the places for hosts whose last try failed.
    private static let shareOfFailing = 0.25

    private let places: Int
    private var placesPerSite = 1
    private let placesOfFailing: Int
    /// Per site, soonest expiry last: taken from the end.
    private var waiting: [SiteName: [DueHost]] = [:]
    /// The longest due last.
    private var waitingFailing: [(due: DueHost, site: SiteName)] = []
    private var inFlight: [HostName: (site: SiteName, isFailing: Bool)] = [:]
    private var busy: [SiteName: Int] = [:]
    private var busyFailing = 0
    /// Hosts whose last try failed.
    private var failing: Set<HostName> = []

    init(places: Int) {
        self.places = max(1, places)
        placesOfFailing = max(1, Int(Double(places) * Self.shareOfFailing))
    }

    var isEmpty: Bool { waiting.isEmpty && waitingFailing.isEmpty }
    var hasFreePlaces: Bool { inFlight.count < places }

    /// What is due now, soonest expiry first. What is in flight stays so where a site has fewer places than before.
    mutating func looked(_ due: [DueHost], placesPerSite: Int, site: (HostName) -> SiteName) {
        self.placesPerSite = max(1, placesPerSite)
        (waiting, waitingFailing) = ([:], [])
        for host in due.reversed() where inFlight[host.host] == nil {
            let site = site(host.host)
            if failing.contains(host.host) {
                waitingFailing.append((host, site))
            } else {
                waiting[site, default: []].append(host)
            }
        }
        waitingFailing.sort { $0.due.dueAt > $1.due.dueAt }
    }

    /// The host to be refreshed now; nil where all places are taken or nobody who may have one waits.
    mutating func next() -> HostName? {
        guard hasFreePlaces else { return nil }
        return nextWell() ?? nextFailing()
    }

    mutating func ended(_ host: HostName, hasFailed: Bool) {
        guard let (site, isFailing) = inFlight.removeValue(forKey: host) else { return }
        busy[site] = busy[site].flatMap { $0 > 1 ? $0 - 1 : nil }
        if isFailing { busyFailing -= 1 }
        if hasFailed { failing.insert(host) } else { failing.remove(host) }
    }

    private mutating func nextWell() -> HostName? {
        var soonest: (site: SiteName, expiresAt: Date)?
        for (site, hosts) in waiting where busy[site, default: 0] < placesPerSite {
            guard let last = hosts.last else { continue }
            if soonest.map({ (last.expiresAt, site) < ($0.expiresAt, $0.site) }) ?? true { soonest = (site, last.expiresAt) }
        }
        guard let site = soonest?.site, let host = waiting[site]?.popLast()?.host else { return nil }
        if waiting[site]?.isEmpty ?? true { waiting[site] = nil }
        take(host, site, isFailing: false)
        return host
    }

    private mutating func nextFailing() -> HostName? {
        guard busyFailing < placesOfFailing,
            let index = waitingFailing.lastIndex(where: { busy[$0.site, default: 0] < placesPerSite })
        else { return nil }
        let (due, site) = waitingFailing.remove(at: index)
        take(due.host, site, isFailing: true)
        return due.host
    }

    private mutating func take(_ host: HostName, _ site: SiteName, isFailing: Bool) {
        inFlight[host] = (site, isFailing)
        busy[site, default: 0] += 1
        if isFailing { busyFailing += 1 }
    }
}
