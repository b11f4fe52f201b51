public import ForecacheModel
public import FoundationEssentials

/// What is known of a host when a plan is made.
public enum HostObservation: Hashable, Sendable {
    case surveyed(HostSurvey)
    /// The survey failed: nothing is planned there but a retry.
    case unreachable(reason: String)
    /// The host is not asked itself (`via: nova-api`): when its base file had age 0, by what Nova told last; nil where Nova told of none.
    /// `isDue`: it is to be touched again.
    case told(since: Date?, isDue: Bool)

    /// Whether other hosts can copy the image's own bytes from here. A base file that Nova itself made is raw and has another size: no source.
    func canServe(_ image: ImageFacts) -> Bool {
        guard case .surveyed(let survey) = self else { return false }
        return survey.baseFiles.contains { $0.name == BaseFileName(of: image.id) && $0.bytes == image.sizeBytes }
    }

    func hasBaseFile(of image: ImageID) -> Bool {
        switch self {
        case .surveyed(let survey): survey.baseFiles.contains { $0.name == BaseFileName(of: image) }
        case .told(let since, _): since != nil
        case .unreachable: false
        }
    }
}

/// The operator's defaults that a plan needs.
public struct PlanningDefaults: Hashable, Sendable {
    /// Nil: relay for sites of three hosts and more, else direct.
    public var via: Via?
    public var forks: Int
    /// Hosts of a site that work at once under relay, where the site does not say: only the site's own network is loaded by more.
    public var relayForks: Int
    /// Copies at once from a proxy; nil: as many as forks.
    public var copiesAtOnce: Int?
    public var ttl: TTLDefaults
    /// `ignore_proxy_error`: a copy that fails falls back to Glance.
    public var copyFallsBackToGlance: Bool
    public var keepFreeBytes: Int64
    /// What base files are to be made of.
    public var format: WantedFormat

    public init(
        via: Via? = nil, forks: Int = Limits().forksPerSite, relayForks: Int = Limits().relayForksPerSite, copiesAtOnce: Int? = nil,
        ttl: TTLDefaults = TTLDefaults(),
        copyFallsBackToGlance: Bool = true, keepFreeBytes: Int64 = 0, format: WantedFormat = .auto
    ) {
        self.format = format
        self.via = via
        self.forks = forks
        self.relayForks = relayForks
        self.copiesAtOnce = copiesAtOnce
        self.ttl = ttl
        self.copyFallsBackToGlance = copyFallsBackToGlance
        self.keepFreeBytes = keepFreeBytes
    }
}

extension PlanningDefaults {
    /// What counts where the rule says nothing else.
    public func via(of site: Site) -> Via { site.settings.deliver.via ?? via ?? (site.hosts.count >= 3 ? .relay : .direct) }
}

/// Where the TTL of a host comes from when its own nova.conf does not say: the role's (TripleO's `<Role>Parameters`), then the default.
public struct TTLDefaults: Hashable, Sendable {
    public var seconds: Int
    public var roles: [RoleName: Int]

    /// Nova's own default is 86400 s.
    public init(seconds: Int = 86400, roles: [RoleName: Int] = [:]) {
        self.seconds = seconds
        self.roles = roles
    }

    /// A shorter TTL would mean touching without rest, a longer one overflows dates: both are somebody's slip and not worth losing an image over.
    private static let sane = 10...(10 * 365 * 86400)

    /// The node's nova.conf wins: it is what the janitor obeys. A rule's own `ttl` may only shorten it, since a longer one would let the file expire.
    public func seconds(for placement: Placement, surveyed: Int?) -> Int {
        let ofHost = surveyed ?? roles[placement.role] ?? seconds
        return min(max(Self.sane.lowerBound, min(ofHost, placement.ttlSeconds ?? ofHost)), Self.sane.upperBound)
    }
}

extension Decision {
    /// Hosts that Nova is to bring the image to: nothing is asked of them themselves. Dry-run placements are left out, as nothing is done for them.
    public func hostsThroughNova(_ fleet: Fleet, _ defaults: PlanningDefaults) -> Set<HostName> {
        let ofSite = Dictionary(fleet.sites.map { ($0.name, defaults.via(of: $0)) }) { first, _ in first }
        return Set(placements.filter { $0.mode == .enforce && ($0.deliver.via ?? ofSite[$0.site]) == .novaAPI }.map(\.host))
    }
}
