public import ForecacheModel
import Planning

/// What plans come to: bytes over each site's WAN link, and room on each host.
public struct PlanTotals: Encodable, Sendable {
    public struct SiteRow: Encodable, Sendable {
        public var site: SiteName
        /// Bytes that come over the site's WAN link: one copy under proxy and relay, one a host under direct.
        public var wanBytes: Int64
        /// Bytes that hosts of the site copy from each other.
        public var lanBytes: Int64
        /// Bytes a second; nil where the plans have none, or different ones.
        @OrNull public var rateLimit: Int64?
        /// What the WAN bytes take at their rate limits; nil where some of them have none.
        @OrNull public var seconds: Int64?
    }

    public struct HostRow: Encodable, Sendable {
        public var site: SiteName
        public var host: HostName
        public var images: Int
        /// What the new base files take on disk at most: as a raw file where the host makes one, as far as the image's virtual size is known, were nothing of it
        /// sparse.
        public var neededBytes: Int64
        /// What they take at least, by what is known before the hosts have the images: a disk seldom holds less than its image takes.
        public var leastBytes: Int64
        /// The largest download that lies there besides, until it is converted.
        public var temporaryBytes: Int64
        /// Nil where the host was not looked at, as are the next two.
        @OrNull public var freeBytes: Int64?
        /// Free bytes less needed ones; negative where they do not fit.
        @OrNull public var leftBytes: Int64?
        /// Whether `keep_free` stays free, also while there are temporary bytes; nil too where only each host can tell, by what the disks hold.
        @OrNull public var fits: Bool?
        public var keepFreeBytes: Int64
    }

    public var fetch = 0
    public var copy = 0
    public var touch = 0
    public var none = 0
    /// Placements that the ledger knows as wanted and that nothing wants any longer.
    public var noLongerWanted = 0
    /// Hosts that could not be looked at.
    public var unreachable = 0
    public var wanBytes: Int64 = 0
    public var lanBytes: Int64 = 0
    /// False where no host was asked what lies there, and every one counts as empty.
    public var surveyed: Bool
    public var sites: [SiteRow] = []
    /// Hosts that get bytes.
    public var hosts: [HostRow] = []

    init(_ plans: [Plan], observed: [HostName: HostObservation], isSurveyed: Bool = true, noLongerWanted: Int = 0) {
        surveyed = isSurveyed
        self.noLongerWanted = noLongerWanted
        unreachable = observed.values.count { if case .unreachable = $0 { true } else { false } }
        var sites: [SiteName: Link] = [:]
        var hosts: [HostName: HostRow] = [:]
        for plan in plans {
            for site in plan.sites { add(site, of: plan.image, to: &sites[site.site, default: Link()], &hosts) }
        }
        self.sites = sites.sorted { $0.key < $1.key }.map { $1.row(of: $0) }
        self.hosts = hosts.values.sorted { ($0.site, $0.host) < ($1.site, $1.host) }.map { settled($0, observed) }
        wanBytes = self.sites.reduce(0) { $0.saturating(plus: $1.wanBytes) }
        lanBytes = self.sites.reduce(0) { $0.saturating(plus: $1.lanBytes) }
    }

    private mutating func add(_ site: SitePlan, of image: ImageFacts, to link: inout Link, _ hosts: inout [HostName: HostRow]) {
        let bytes = image.sizeBytes ?? 0
        for step in site.steps {
            switch step.action {
            case .none:
                none += 1
                continue
            case .touch:
                touch += 1
                continue
            case .fetch:
                fetch += 1
                link.add(wan: bytes, at: site.deliver.rateLimit)
            case .copy, .relay:
                copy += 1
                link.lanBytes = link.lanBytes.saturating(plus: bytes)
            }
            var row =
                hosts[step.host]
                ?? HostRow(
                    site: site.site, host: step.host, images: 0, neededBytes: 0, leastBytes: 0, temporaryBytes: 0, freeBytes: nil,
                    leftBytes: nil, fits: nil, keepFreeBytes: 0)
            row.images += 1
            let isRaw = step.format == .raw
            let rawBytes = image.virtualSizeBytes ?? bytes
            row.neededBytes = row.neededBytes.saturating(plus: isRaw ? max(bytes, rawBytes) : bytes)
            row.leastBytes = row.leastBytes.saturating(plus: isRaw ? min(bytes, rawBytes) : bytes)
            if isRaw { row.temporaryBytes = max(row.temporaryBytes, bytes) }
            row.keepFreeBytes = max(row.keepFreeBytes, site.keepFreeBytes)
            hosts[step.host] = row
        }
    }

    private func settled(_ row: HostRow, _ observed: [HostName: HostObservation]) -> HostRow {
        guard surveyed, case .surveyed(let survey)? = observed[row.host] else { return row }
        var row = row
        let room = survey.freeBytes.saturating(minus: row.temporaryBytes).saturating(minus: row.keepFreeBytes)
        (row.freeBytes, row.leftBytes) = (survey.freeBytes, survey.freeBytes.saturating(minus: row.neededBytes))
        row.fits = row.neededBytes <= room ? true : row.leastBytes <= room ? nil : false
        return row
    }

    /// One site's WAN link.
    private struct Link {
        var wanBytes: Int64 = 0
        var lanBytes: Int64 = 0
        private var seconds: Double? = 0
        private var rates: Set<Int64?> = []

        mutating func add(wan bytes: Int64, at rate: Int64?) {
            wanBytes = wanBytes.saturating(plus: bytes)
            rates.insert(rate)
            if let rate, rate > 0 { seconds? += Double(bytes) / Double(rate) } else { seconds = nil }
        }

        func row(of site: SiteName) -> SiteRow {
            SiteRow(
                site: site, wanBytes: wanBytes, lanBytes: lanBytes, rateLimit: rates.count == 1 ? rates.first ?? nil : nil,
                seconds: rates.isEmpty ? nil : seconds.map { Int64(min(1e15, $0.rounded(.up))) })
        }
    }
}
