public import ForecacheModel
public import Foundation
public import StrictYAML

/// All rules of an operator. Pure: the same image, rules, fleet and moment always give the same decision.
public struct RuleSet: Sendable {
    /// In evaluation order: priority, then the order of files and lines.
    public let rules: [Rule]
    /// What each rule says where its leading tag condition fails: what most rules say about most images, made beforehand.
    private let refusals: [RuleVerdict]
    private let leads: [Lead]
    /// Rules by the literal tags that they begin with.
    private let rulesByTag: [String: [Int]]

    /// How a rule's match begins, for a quick no.
    private enum Lead: Sendable {
        /// Every text is in `rulesByTag`.
        case literalTags
        case tags(Patterns)
        case text(TextField, Patterns)
        case property(PropertyTest)
        case other
    }

    public init(rules: [Rule]) {
        let ordered = rules.enumerated().sorted { ($1.element.priority, $0.offset) < ($0.element.priority, $1.offset) }.map(\.element)
        var rulesByTag: [String: [Int]] = [:]
        self.rules = ordered
        self.leads = ordered.enumerated().map { index, rule in
            switch rule.match.leadingCondition {
            case .tag(let patterns):
                guard let literals = patterns.literals else { return .tags(patterns) }
                for literal in literals { rulesByTag[literal, default: []].append(index) }
                return .literalTags
            case .text(let field, let patterns): return .text(field, patterns)
            case .property(let test): return .property(test)
            case .minSize, .maxSize, .createdWithin, .hidden, nil: return .other
            }
        }
        self.rulesByTag = rulesByTag
        self.refusals = ordered.map { rule in
            var reasons: [String] = []
            if case .tag(let patterns) = rule.match.leadingCondition { reasons = patterns.noTag }
            return RuleVerdict(rule: rule.name, file: rule.file, line: rule.line, matched: false, reasons: reasons, placements: 0)
        }
    }

    /// Reads rule files in the order given. All problems of all files come at once; a set is to be used only where there are none.
    public static func parse(_ files: [(path: String, text: String)]) -> (RuleSet, Problems) {
        var reader = RuleReader()
        for file in files { reader.read(file.text, path: file.path) }
        return (RuleSet(rules: reader.rules), reader.problems)
    }

    /// Where the image is wanted and why, with a verdict of every rule. An image that must not be cached at all has its verdicts, too, so that an operator
    /// sees what will become of it, but no placement.
    public func decide(_ image: ImageFacts, fleet: Fleet, now: Date) -> Decision {
        var evaluation = Evaluation(image, now: now)
        var wants = Wants(fleet: fleet)
        var verdicts = refusals
        let isTagged = evaluation.hasComparableTags ? Set(image.tags.flatMap { rulesByTag[$0] ?? [] }) : Set(rules.indices)
        for index in rules.indices {
            switch leads[index] {
            case .literalTags: if !isTagged.contains(index) { continue }
            case .tags(let patterns): if evaluation.hasComparableTags, !evaluation.hasTag(matching: patterns) { continue }
            case .text(let field, let patterns):
                if let reason = evaluation.reasonAgainst(field, patterns) {
                    verdicts[index].reasons = [reason]
                    continue
                }
            case .property(let test):
                if let reason = evaluation.reasonAgainst(test) {
                    verdicts[index].reasons = [reason]
                    continue
                }
            case .other: break
            }
            let rule = rules[index]
            let finding = evaluation.finding(for: rule)
            verdicts[index].reasons = finding.reasons
            guard finding.holds else { continue }
            let placements = wants.add(rule, at: index, finding.bindings)
            verdicts[index].matched = true
            verdicts[index].placements = placements
            verdicts[index].reasons.append(
                rule.targets.said(finding.bindings) + (placements == 0 ? ", where the fleet has no host" : ""))
        }
        guard let refusal = Self.refusal(of: image) else {
            return Decision(image: image, rules: verdicts, placements: wants.placements(of: image.id, by: rules, verdicts))
        }
        for index in verdicts.indices where verdicts[index].matched {
            verdicts[index].placements = 0
            verdicts[index].reasons.append(refusal)
        }
        return Decision(image: image, rules: verdicts, refusal: refusal)
    }

    /// The decision of an operator who names the image: every host of the fleet, without rules. A hidden image is as good as any other here.
    public static func byHand(_ image: ImageFacts, fleet: Fleet, via: Via?) -> Decision {
        if let refusal = refusal(of: image) { return Decision(image: image, refusal: refusal) }
        let placements = fleet.hosts.map { host in
            Placement(
                image: image.id, site: host.site, role: host.role, host: host.name, rule: byHandName, deliver: DeliverySettings(via: via),
                reasons: ["named by hand"])
        }
        return Decision(image: image, placements: placements.sorted { ($0.site, $0.host) < ($1.site, $1.host) })
    }

    /// The rule name of placements that an operator asked for; no rule may take it.
    static let byHandName = "by hand"

    private static func refusal(of image: ImageFacts) -> String? {
        image.status == .active ? nil : "image is \(image.status.rawValue); only active images are cached"
    }
}

/// Which rules want the image on which hosts, gathered in evaluation order.
private struct Wants {
    private let fleet: Fleet
    /// Index of a site's first host in `first`.
    private var offsets: [Int] = []
    /// The first rule that wants each host, or -1. Nothing is allocated until some rule matches.
    private var first: [Int] = []
    /// The rules after the first, where there are any.
    private var more: [Int: [Int]] = [:]

    init(fleet: Fleet) { self.fleet = fleet }

    /// Number of hosts that the rule wants.
    mutating func add(_ rule: Rule, at index: Int, _ bindings: [Binding]) -> Int {
        if offsets.isEmpty { prepare() }
        var count = 0
        for binding in bindings.isEmpty ? [Binding()] : bindings {
            rule.targets.forEachHost(in: fleet, binding) { site, host in
                let slot = offsets[site] + host
                if first[slot] < 0 {
                    first[slot] = index
                    count += 1
                } else if first[slot] != index, more[slot]?.last != index {
                    more[slot, default: []].append(index)
                    count += 1
                }
            }
        }
        return count
    }

    func placements(of image: ImageID, by rules: [Rule], _ verdicts: [RuleVerdict]) -> [Placement] {
        guard !offsets.isEmpty else { return [] }
        var placements: [Placement] = []
        placements.reserveCapacity(first.reduce(0) { $0 + ($1 < 0 ? 0 : 1) })
        for (siteIndex, site) in fleet.sites.enumerated() {
            let start = placements.count
            for (hostIndex, host) in site.hosts.enumerated() {
                let slot = offsets[siteIndex] + hostIndex
                guard first[slot] >= 0 else { continue }
                let all = [first[slot]] + (more[slot] ?? [])
                let winner = all.first { rules[$0].mode == .enforce } ?? first[slot]
                placements.append(
                    Placement(
                        image: image, site: site.name, role: host.role, host: host.name, rule: rules[winner].name,
                        alsoWantedBy: all.count == 1 ? [] : all.filter { $0 != winner }.map { rules[$0].name }, mode: rules[winner].mode,
                        priority: rules[winner].priority, deliver: DeliverySettings(via: rules[winner].via),
                        ttlSeconds: rules[winner].ttlSeconds,
                        reasons: verdicts[winner].reasons))
            }
            placements[start...].sort { $0.host < $1.host }
        }
        return placements
    }

    private mutating func prepare() {
        var count = 0
        for site in fleet.sites {
            offsets.append(count)
            count += site.hosts.count
        }
        first = Array(repeating: -1, count: count)
    }
}
