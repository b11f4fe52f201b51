public import FoundationEssentials

/// How the operator's files (configuration, rules, inventories) stand: which set of them is in force, and what became of the last change.
public struct ReloadReport: Hashable, Sendable, Codable {
    public enum State: String, Hashable, Sendable, Codable {
        /// The files as they are now are in force.
        case applied
        /// They are invalid; the set before them stays in force.
        case refused
        /// They want more new placements than `reload.max_new_placements`; the set before them stays in force until somebody approves.
        case held
        /// They could not be compared with the set before them yet, which stays in force.
        case waiting
    }

    public var state: State
    /// Since when it is so.
    public var since: Date
    /// Short digest of the set in force.
    public var set: String
    /// Short digest of the set that is not; nil under `applied`, and where it could not be read.
    public var changed: String?
    /// Why it is not in force, each problem for itself.
    public var problems: [String]
    /// What the last change brings, or brought; nil where nobody could tell.
    public var difference: PlacementDifference?
    /// The bound that held it.
    public var maxNewPlacements: Int?
    /// Keys of the configuration whose change takes effect at a restart.
    public var atRestart: [String]

    public init(
        state: State, since: Date, set: String, changed: String? = nil, problems: [String] = [], difference: PlacementDifference? = nil,
        maxNewPlacements: Int? = nil, atRestart: [String] = []
    ) {
        self.state = state
        self.since = since
        self.set = set
        self.changed = changed
        // A directory of binary files has a problem a file: what is kept and shown is bounded.
        self.problems = Array(problems.prefix(Self.mostProblems))
        self.difference = difference
        self.maxNewPlacements = maxNewPlacements
        self.atRestart = atRestart
    }

    public static let mostProblems = 100
}

/// What one policy wants placed otherwise than another, over the same images. Rules in dry-run mode want nothing.
public struct PlacementDifference: Hashable, Sendable, Codable {
    /// One image at one site.
    public struct Row: Hashable, Sendable, Codable {
        public var image: ImageID
        public var name: String
        public var site: SiteName
        /// Hosts that are to have it and were not before.
        public var added: Int
        /// Hosts that are not to have it any longer.
        public var removed: Int
        /// The rules that want it there now.
        public var rules: [String]

        public init(image: ImageID, name: String, site: SiteName, added: Int, removed: Int, rules: [String]) {
            self.image = image
            self.name = name
            self.site = site
            self.added = added
            self.removed = removed
            self.rules = rules
        }
    }

    public var added = 0
    public var removed = 0
    /// Images concerned.
    public var images = 0
    /// Disk that the added ones take as stored in Glance, over all hosts.
    public var addedBytes: Int64 = 0
    /// The largest first, at most `mostRows`.
    public var rows: [Row] = []
    /// Rows left out.
    public var moreRows = 0

    public static let mostRows = 200

    public init() {}
}
