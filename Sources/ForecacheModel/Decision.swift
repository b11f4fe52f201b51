public import FoundationEssentials

/// Whether a rule acts or only reports.
public enum RuleMode: String, Hashable, Sendable {
    case enforce
    /// Decided and reported, never done.
    case dryRun = "dry-run"
}

/// What the rules say about one image, with the reasons, also for "leave alone". `explain`, `plan` and the log print this same value.
public struct Decision: Hashable, Sendable {
    public var image: ImageFacts
    /// What the rules that match say, in evaluation order (priority, then file order). In an explanation: one verdict for every rule.
    public var rules: [RuleVerdict]
    /// At most one a host, ordered by site and host. Hosts that no rule wants are not listed.
    public var placements: [Placement]
    /// Set where the image itself must not be cached (it is not active), whatever rules say; `placements` is empty then.
    public var refusal: String?

    public init(image: ImageFacts, rules: [RuleVerdict] = [], placements: [Placement] = [], refusal: String? = nil) {
        self.image = image
        self.rules = rules
        self.placements = placements
        self.refusal = refusal
    }
}

/// One rule's word on one image.
public struct RuleVerdict: Hashable, Sendable {
    public var rule: String
    public var file: String
    /// 1-based.
    public var line: Int
    public var matched: Bool
    /// The conditions that decided, with the values that were compared.
    public var reasons: [String]
    /// Number of hosts that the rule wants the image on; 0 for an image that must not be cached.
    public var placements: Int
    /// Since when it matches and until when it wants the image; set for matching rules with `for:` only.
    public var began: Date?
    public var ends: Date?

    public init(
        rule: String, file: String, line: Int, matched: Bool, reasons: [String], placements: Int, began: Date? = nil, ends: Date? = nil
    ) {
        self.rule = rule
        self.file = file
        self.line = line
        self.matched = matched
        self.reasons = reasons
        self.placements = placements
        self.began = began
        self.ends = ends
    }
}

/// An image wanted on a host, with the rule that won and why.
public struct Placement: Hashable, Sendable {
    public var image: ImageID
    public var site: SiteName
    public var role: RoleName
    public var host: HostName
    /// The rule whose `deliver` and `ttl` count: highest priority, then file order. `by hand` where an operator named the image.
    public var rule: String
    /// Other rules that want it too.
    public var alsoWantedBy: [String]
    public var mode: RuleMode
    /// 0…100, higher first.
    public var priority: Int
    /// The rule's own `deliver:`; what it leaves out is the site's.
    public var deliver: DeliverySettings
    /// The rule's own `ttl:`; nil leaves it to the host's.
    public var ttlSeconds: Int?
    public var reasons: [String]

    public init(
        image: ImageID, site: SiteName, role: RoleName, host: HostName, rule: String, alsoWantedBy: [String] = [],
        mode: RuleMode = .enforce, priority: Int = 50, deliver: DeliverySettings = DeliverySettings(), ttlSeconds: Int? = nil,
        reasons: [String] = []
    ) {
        self.image = image
        self.site = site
        self.role = role
        self.host = host
        self.rule = rule
        self.alsoWantedBy = alsoWantedBy
        self.mode = mode
        self.priority = priority
        self.deliver = deliver
        self.ttlSeconds = ttlSeconds
        self.reasons = reasons
    }
}
