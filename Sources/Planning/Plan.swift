public import ForecacheModel
public import FoundationEssentials

/// Everything that will be done for one image: immutable, every choice and every fallback is in it, and the executor only obeys.
public struct Plan: Hashable, Sendable {
    public var image: ImageFacts
    /// In name order; sites without a placement are left out.
    public var sites: [SitePlan]
    /// Hosts that an earlier plan for the image is still at work on: they are to have it, and this plan leaves them to that one.
    public var underWay: Set<HostName> = []

    public init(image: ImageFacts, sites: [SitePlan], underWay: Set<HostName> = []) {
        self.image = image
        self.sites = sites
        self.underWay = underWay
    }

    public var steps: [Step] { sites.flatMap(\.steps) }
    /// Hosts that are to have the image; those that only rules in dry-run mode want are not, nor those that must not have it.
    public var wanted: Set<HostName> { underWay.union(steps.lazy.filter(\.isWanted).map(\.host)) }
    /// True where bytes would be moved: then they are looked at first. Nova fetches what it is to touch and does not find.
    public var movesBytes: Bool { sites.contains { $0.movesBytes || ($0.via == .novaAPI && !$0.steps.allSatisfy(\.isAtRest)) } }

    /// The same plan without any transfer: every host that would have received the bytes, or may by Nova's hand, says why it does not.
    public func refusing(_ reason: String) -> Plan { withoutTransfers { $0.refuse(reason) } }

    /// As above, but they are to be tried again.
    public func postponing(_ reason: String) -> Plan { withoutTransfers { $0.postpone(reason) } }

    private func withoutTransfers(_ change: (inout Step) -> Void) -> Plan {
        var plan = self
        for site in plan.sites.indices {
            for step in plan.sites[site].steps.indices {
                switch plan.sites[site].steps[step].action {
                case .fetch, .copy, .relay: change(&plan.sites[site].steps[step])
                case .touch where plan.sites[site].via == .novaAPI: change(&plan.sites[site].steps[step])
                case .touch, .none: continue
                }
            }
        }
        return plan
    }

    /// True where no step would change anything on any host.
    public var isEmpty: Bool { steps.allSatisfy(\.isAtRest) }
}

/// What happens on one site.
public struct SitePlan: Hashable, Sendable {
    public var site: SiteName
    public var via: Via
    /// Rule and site put together.
    public var deliver: DeliverySettings
    /// Hosts that work at once.
    public var forks: Int
    /// Copies at once from one host.
    public var copiesAtOnce: Int
    /// Glance endpoint of this site; nil means the catalog's.
    public var glance: String?
    /// Bytes to leave free on every host.
    public var keepFreeBytes: Int64
    /// In execution order: fetches before the copies that need them.
    public var steps: [Step]
    /// What the look at the image's bytes found; nil where none are moved, and before the look.
    public var inspected: InspectedImage?

    public init(
        site: SiteName, via: Via, deliver: DeliverySettings = DeliverySettings(), forks: Int, copiesAtOnce: Int, glance: String? = nil,
        keepFreeBytes: Int64 = 0, steps: [Step]
    ) {
        self.site = site
        self.via = via
        self.deliver = deliver
        self.forks = forks
        self.copiesAtOnce = copiesAtOnce
        self.glance = glance
        self.keepFreeBytes = keepFreeBytes
        self.steps = steps
    }

    public var movesBytes: Bool { steps.contains(where: \.movesBytes) }
    /// That of the step that matters most.
    public var priority: Int { steps.filter(\.movesBytes).map(\.priority).max() ?? 0 }
}

/// What happens on one host.
public struct Step: Hashable, Sendable {
    public enum Action: Hashable, Sendable {
        /// Bytes from Glance.
        case fetch
        /// Bytes from another host of the site, once that one has them. Where the copy fails: fetched from Glance if `fallsBackToGlance`.
        case copy(from: HostName, fallsBackToGlance: Bool)
        /// Bytes from another host of the site, while that one is still receiving them: the parent first, then its own parent and so on, in order of choice; after
        /// them whoever else of the site has the bytes. Where nobody has: fetched from Glance if `fallsBackToGlance`.
        case relay(from: [HostName], fallsBackToGlance: Bool)
        /// The base file is there: its mtime is set to now.
        case touch
        /// Nothing is done, and why.
        case none(Rest)
    }

    /// Why a host is left alone.
    public enum Rest: Hashable, Sendable {
        /// The base file is there and young enough; its age was 0 at this time of the controller's clock.
        case fresh(since: Date)
        /// Only rules in dry-run mode want it.
        case dryRun
        /// The host cannot use base files (rbd).
        case unsupported(String)
        /// The image's own bytes must not be handed to Nova: a permanent failure.
        case refused(String)
        /// The survey failed: a failure to be tried again.
        case unreachable(String)
        /// The site's window is closed: the bytes come once it opens.
        case waiting(until: Date)
        /// An earlier plan is at work on the site, and brings the one copy that crosses the WAN: looked at again then, to copy from whoever has it.
        case arriving(lookAgain: Date)
    }

    public var host: HostName
    public var role: RoleName
    public var action: Action
    /// What the base file is to be made of.
    public var format = BaseFileFormat.original
    public var rule: String
    public var priority: Int
    /// The TTL that counts on this host, in seconds.
    public var ttlSeconds: Int
    public var reasons: [String]

    public init(host: HostName, role: RoleName, action: Action, rule: String, priority: Int, ttlSeconds: Int, reasons: [String]) {
        self.host = host
        self.role = role
        self.action = action
        self.rule = rule
        self.priority = priority
        self.ttlSeconds = ttlSeconds
        self.reasons = reasons
    }

    public var movesBytes: Bool {
        switch action {
        case .fetch, .copy, .relay: true
        case .touch, .none: false
        }
    }

    fileprivate var isWanted: Bool {
        switch action {
        case .none(.dryRun), .none(.refused): false
        case .fetch, .copy, .relay, .touch, .none: true
        }
    }

    public var isAtRest: Bool {
        if case .none = action { true } else { false }
    }
}
