public import ForecacheModel
public import FoundationEssentials
public import Rules

/// `explain`.
public struct ExplainReport: Encodable, Sendable {
    /// The image's record.
    public struct Image: Encodable, Sendable {
        public var id: ImageID
        public var name: String
        public var status: ImageStatus
        public var visibility: String
        @OrNull public var owner: String?
        @OrNull public var diskFormat: String?
        @OrNull public var containerFormat: String?
        @OrNull public var sizeBytes: Int64?
        @OrNull public var virtualSizeBytes: Int64?
        public var minDiskGib: Int64
        public var minRamMib: Int64
        @OrNull public var digest: String?
        public var isHidden: Bool
        public var isProtected: Bool
        public var tags: [String]
        public var properties: [String: String]
        public var createdAt: Date
        public var updatedAt: Date
    }

    public struct Rule: Encodable, Sendable {
        public var rule: String
        public var file: String
        public var line: Int
        public var matched: Bool
        /// The conditions that decided; for a rule that did not match, what single change of the image would make it match.
        public var reasons: [String]
        public var placements: Int
        /// Every condition with the value that was compared, whether it decided or not.
        public var conditions: Finding
        /// What follows from the match; part of `reasons`, and not in the JSON by itself.
        public var consequences: [String]
        public var changes: [String]

        private enum CodingKeys: CodingKey { case rule, file, line, matched, reasons, placements, conditions, changes }
    }

    public struct Row: Encodable, Sendable {
        public var site: SiteName
        public var role: RoleName
        public var host: HostName
        public var rule: String
        public var reasons: [String]
    }

    /// How many hosts of one role at one site want the image.
    public struct Reach: Sendable {
        public var site: SiteName
        public var role: RoleName
        public var wanted: Int
        public var hosts: Int
        /// The rules that win there, and those that want it there, too.
        public var rules: [String]
        public var losers: [String]
    }

    public var image: Image
    public var rules: [Rule]
    public var placements: [Row]
    /// Per site and role, those without the image included. Not part of the JSON, which has every host.
    public var reach: [Reach]
    /// Why the image is nowhere; nil where some host wants it.
    public var whyNowhere: String?

    private enum CodingKeys: CodingKey { case image, rules, placements }

    init(_ explanation: Explanation, fleet: Fleet) {
        let decision = explanation.decision
        image = Image(decision.image)
        rules = decision.rules.indices.map { index in
            let (verdict, changes) = (decision.rules[index], explanation.changes[index])
            let advice = changes.isEmpty ? [] : ["one change would make it match: \(changes.joined(separator: ", or "))"]
            return Rule(
                rule: verdict.rule, file: verdict.file, line: verdict.line, matched: verdict.matched, reasons: verdict.reasons + advice,
                placements: verdict.placements, conditions: explanation.findings[index], consequences: explanation.consequences[index],
                changes: changes)
        }
        placements = decision.placements.map { placement in
            var reasons = placement.reasons
            if placement.mode == .dryRun { reasons.append("dry-run: reported, never done") }
            if !placement.alsoWantedBy.isEmpty { reasons.append("also wanted by \(placement.alsoWantedBy.joined(separator: ", "))") }
            return Row(site: placement.site, role: placement.role, host: placement.host, rule: placement.rule, reasons: reasons)
        }
        reach = Self.reach(decision.placements, fleet)
        guard decision.placements.isEmpty else { return }
        if let refusal = decision.refusal {
            whyNowhere = refusal
        } else if decision.rules.isEmpty {
            whyNowhere = "there are no rules"
        } else {
            let matching = rules.filter(\.matched)
            let said = matching.prefix(3).map { "rule \($0.rule) matches, but \($0.consequences.joined(separator: "; "))" }
            whyNowhere = matching.isEmpty ? "no rule matches" : said.joined(separator: "; ")
        }
    }

    private static func reach(_ placements: [Placement], _ fleet: Fleet) -> [Reach] {
        let wanted = Dictionary(placements.map { ($0.host, $0) }) { first, _ in first }
        return fleet.sites.flatMap { site in
            Dictionary(grouping: site.hosts, by: \.role).sorted { $0.key < $1.key }.map { role, hosts in
                let here = hosts.compactMap { wanted[$0.name] }
                let rules = Set(here.map { $0.mode == .dryRun ? "\($0.rule) (dry-run)" : $0.rule }).sorted()
                let losers = Set(here.flatMap(\.alsoWantedBy)).sorted()
                return Reach(site: site.name, role: role, wanted: here.count, hosts: hosts.count, rules: rules, losers: losers)
            }
        }
    }
}

extension ExplainReport.Image {
    init(_ facts: ImageFacts) {
        self.init(
            id: facts.id, name: facts.name, status: facts.status, visibility: facts.visibility, owner: facts.owner,
            diskFormat: facts.diskFormat, containerFormat: facts.containerFormat, sizeBytes: facts.sizeBytes,
            virtualSizeBytes: facts.virtualSizeBytes, minDiskGib: facts.minDiskGiB, minRamMib: facts.minRAMMiB,
            digest: facts.digest?.description, isHidden: facts.isHidden, isProtected: facts.isProtected, tags: facts.tags,
            properties: facts.properties, createdAt: facts.createdAt, updatedAt: facts.updatedAt)
    }
}
