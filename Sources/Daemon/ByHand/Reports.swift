import Engine
public import ForecacheModel
public import FoundationEssentials
public import Planning

// The contract's JSON shapes. Property names become snake_case keys.

/// `cache` and `refresh`.
public struct OutcomeReport: Encodable, Sendable {
    public struct Row: Encodable, Sendable {
        public var image: ImageID
        public var site: SiteName
        public var host: HostName
        public var outcome: OutcomeKind
        @OrNull public var via: Via?
        @OrNull public var source: String?
        public var bytes: Int64
        public var seconds: Double
        @OrNull public var digest: String?
        @OrNull public var reason: String?

        init(_ outcome: Outcome) {
            (image, site, host, self.outcome, via) = (outcome.image, outcome.site, outcome.host, outcome.kind, outcome.via)
            (source, bytes, seconds) = (outcome.source, outcome.bytes, (outcome.seconds * 1000).rounded() / 1000)
            (digest, reason) = (outcome.digest?.description, outcome.reason)
        }
    }

    public var outcomes: [Row]
    public var summary: [String: Int]

    public init(_ outcomes: [Outcome]) {
        self.outcomes = outcomes.sorted { ($0.site, $0.host, $0.image) < ($1.site, $1.host, $1.image) }.map(Row.init)
        summary = Dictionary(uniqueKeysWithValues: OutcomeKind.allCases.map { kind in (kind.rawValue, outcomes.count { $0.kind == kind }) })
    }
}

/// `status --history`: what was done last, newest first.
public struct HistoryReport: Encodable, Sendable {
    public struct Entry: Encodable, Sendable {
        public var at: Date
        /// Of an image that the ledger still knows.
        @OrNull public var name: String?
        public var row: OutcomeReport.Row

        private enum Key: CodingKey { case at, name }

        /// One object, as of `cache`, with two keys more.
        public func encode(to encoder: any Encoder) throws {
            try row.encode(to: encoder)
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(at, forKey: .at)
            try container.encode(_name, forKey: .name)
        }
    }

    public var history: [Entry]
}

/// `plan` and `--check`.
public struct PlanReport: Encodable, Sendable {
    public struct Image: Encodable, Sendable {
        public var id: ImageID
        public var name: String
        public var placements: [Row]
    }

    public struct Row: Encodable, Sendable {
        public var site: SiteName
        public var role: RoleName
        public var host: HostName
        public var action: String
        public var via: Via
        @OrNull public var source: String?
        public var rule: String
        public var reasons: [String]
    }

    public var images: [Image]
    /// Left out where nobody summed up.
    public var totals: PlanTotals?
    public var noLongerWanted: [NoLongerWanted]?

    public init(_ review: PlanReview) {
        self.init(review.plans)
        totals = review.totals
        noLongerWanted = review.noLongerWanted
    }

    public init(_ plans: [Plan]) {
        images = plans.map { plan in
            let rows = plan.sites.flatMap { site in
                site.steps.map { step in
                    Row(
                        site: site.site, role: step.role, host: step.host, action: step.verb, via: site.via,
                        source: Self.source(step.action),
                        rule: step.rule, reasons: step.reasons)
                }
            }
            return Image(id: plan.image.id, name: plan.image.name, placements: rows)
        }
    }

    private static func source(_ action: Step.Action) -> String? {
        switch action {
        case .fetch: "glance"
        case .copy(let source, _): source.rawValue
        case .relay(let choices, _): choices.first?.rawValue
        case .touch, .none: nil
        }
    }
}

/// `survey`.
public struct SurveyReport: Encodable, Sendable {
    public struct Row: Encodable, Sendable {
        public var site: SiteName
        public var host: HostName
        public var reachable: Bool
        @OrNull public var ttlSeconds: Int?
        @OrNull public var format: String?
        @OrNull public var imagesType: String?
        @OrNull public var freeBytes: Int64?
        @OrNull public var clockSkewSeconds: Double?
        /// The programs of `toolNames` that are there, where Nova's own run.
        public var tools: [String]
        public var baseFiles: [File]
        @OrNull public var error: String?

        /// Nil where nobody could look.
        public var missingTools: [String]? { reachable ? SurveyReport.toolNames.filter { !tools.contains($0) } : nil }
    }

    /// What a host needs for every way of getting an image and making a base file of it.
    static let toolNames = ["curl", "qemu-img", "sftp", "sha256sum", "sha512sum"]

    public struct File: Encodable, Sendable {
        public var name: BaseFileName
        /// The Glance image that Nova would look for under this name; nil where Glance has none.
        @OrNull public var image: ImageID?
        public var bytes: Int64
        public var allocatedBytes: Int64
        public var ageSeconds: Int
    }

    public var hosts: [Row]

    public init(_ observations: [(Host, HostObservation)], images: [BaseFileName: ImageID]) {
        hosts = observations.map { host, observation in
            switch observation {
            case .surveyed(let survey):
                Row(
                    site: host.site, host: host.name, reachable: true, ttlSeconds: survey.ttlSeconds,
                    format: survey.forcesRawImages ?? true ? "raw" : "original", imagesType: survey.imagesType, freeBytes: survey.freeBytes,
                    clockSkewSeconds: (survey.clockSkewSeconds * 10).rounded() / 10,
                    tools: Self.toolNames.filter(survey.tools.contains),
                    baseFiles: survey.baseFiles.sorted { $0.name < $1.name }.map {
                        File(
                            name: $0.name, image: images[$0.name], bytes: $0.bytes, allocatedBytes: $0.allocatedBytes,
                            ageSeconds: Int($0.ageSeconds))
                    }, error: nil)
            case .told: Self.unreachable(host, "left to Nova")
            case .unreachable(let reason): Self.unreachable(host, reason)
            }
        }
    }

    private static func unreachable(_ host: Host, _ reason: String) -> Row {
        Row(
            site: host.site, host: host.name, reachable: false, ttlSeconds: nil, format: nil, imagesType: nil, freeBytes: nil,
            clockSkewSeconds: nil, tools: [], baseFiles: [], error: reason)
    }
}

/// `inventory`.
public struct InventoryReport: Encodable, Sendable {
    public struct SiteRow: Encodable, Sendable {
        public var name: SiteName
        public var hosts: [HostRow]
    }

    public struct HostRow: Encodable, Sendable {
        public var name: HostName
        public var role: RoleName
        public var address: String
        @OrNull public var peerAddress: String?
        public var user: String
        public var port: Int
        public var file: String
    }

    public var sites: [SiteRow]

    public init(_ fleet: Fleet) {
        sites = fleet.sites.map { site in
            SiteRow(
                name: site.name,
                hosts: site.hosts.map {
                    HostRow(
                        name: $0.name, role: $0.role, address: $0.address, peerAddress: $0.peerAddress, user: $0.ssh.user,
                        port: $0.ssh.port,
                        file: $0.file)
                })
        }
    }
}
