public import ForecacheModel
public import StrictYAML

/// What is wrong or odd about rules that read well.
public enum RuleLint {
    /// Errors: targets that name, without wildcard or capture, a site, role or host that the fleet does not have. None without a fleet.
    public static func problems(in rules: RuleSet, fleet: Fleet?) -> Problems {
        guard let fleet else { return Problems() }
        var problems = Problems()
        let sites = Known("site", fleet.sites.map(\.name.rawValue))
        let roles = Known("role", Set(fleet.hosts.map(\.role.rawValue)).sorted())
        let hosts = Known("host", fleet.hosts.map(\.name.rawValue))
        for rule in rules.rules {
            check(rule.targets.sites, sites, &problems)
            check(rule.targets.roles, roles, &problems)
            check(rule.targets.hosts, hosts, &problems)
        }
        return problems
    }

    /// Warnings: rules that any project's image can fall under by what the project set, that capture names without a clear end, that can never match, that never
    /// decide anything, that can do nothing, and times that do not fit together. The more is known (`fleet`, `context`), the more is seen.
    public static func warnings(in rules: RuleSet, fleet: Fleet?, context: LintContext? = nil) -> Problems {
        var warnings = Problems()
        var earlier = EarlierRules()
        for rule in rules.rules {
            checkTrust(rule, &warnings)
            checkCaptures(rule, &warnings)
            if rule.match.excludesActive {
                warnings.add(rule.place, "rule '\(rule.name)' asks for a status other than active, but only active images are ever cached")
            }
            if let reason = LintMatch.contradiction(in: rule.match) {
                warnings.add(rule.place, "rule '\(rule.name)' can never match: \(reason)")
            } else {
                if let shadow = earlier.shadow(on: rule) { warnings.add(rule.place, "rule '\(rule.name)' \(shadow)") }
                earlier.add(rule)
            }
            if let fleet { checkReach(rule, fleet, &warnings) }
            LintTiming.warnings(on: rule, fleet: fleet, context: context, &warnings)
        }
        if let fleet, let context { LintTiming.warnings(on: fleet, context: context, &warnings) }
        return warnings
    }

    private static func checkTrust(_ rule: Rule, _ warnings: inout Problems) {
        guard rule.match.conditions.contains(where: \.isSetByTenants), !rule.match.isGuarded else { return }
        warnings.add(
            rule.place,
            "rule '\(rule.name)' goes by what every project can set on its own images; add 'visibility: public' or 'owner' to it")
    }

    private static func checkCaptures(_ rule: Rule, _ warnings: inout Problems) {
        for pattern in rule.match.conditions.flatMap({ $0.patterns?.list ?? [] }) {
            guard case .glob(let glob) = pattern, let capture = glob.unclearCapture else { continue }
            warnings.add(
                rule.place,
                "rule '\(rule.name)' captures the shortest \(capture.token) that fits \(pattern.said), and names may hold what stands beside it; write a separator such as ':' that no name holds"
            )
        }
    }

    private static func checkReach(_ rule: Rule, _ fleet: Fleet, _ warnings: inout Problems) {
        if rule.targets.captures.isEmpty, targetsNothing(rule, in: fleet) {
            return warnings.add(rule.place, "rule '\(rule.name)' \(rule.targets.said([])), where the fleet has no host")
        }
        let kinds = [
            ("site", rule.targets.sites, fleet.sites.map(\.name.rawValue)),
            ("role", rule.targets.roles, Array(Set(fleet.hosts.map(\.role.rawValue)))),
            ("host", rule.targets.hosts, fleet.hosts.map(\.name.rawValue)),
        ]
        for (kind, patterns, names) in kinds {
            for pattern in patterns ?? [] where pattern.captures.isEmpty && pattern.literal == nil {
                let resolved = TargetPattern.resolved([pattern], Binding())
                guard !names.contains(where: { resolved.hold($0) }) else { continue }
                warnings.add(pattern.place, "no \(kind) of the inventory matches '\(pattern.source)'")
            }
        }
    }

    private static func check(_ patterns: [TargetPattern]?, _ known: Known, _ problems: inout Problems) {
        for pattern in patterns ?? [] {
            guard let literal = pattern.literal, !known.set.contains(literal) else { continue }
            problems.add(pattern.place, "the inventory has no \(known.kind) '\(literal)'\(known.hint(for: literal))")
        }
    }

    private static func targetsNothing(_ rule: Rule, in fleet: Fleet) -> Bool {
        var isNothing = true
        rule.targets.forEachHost(in: fleet, Binding()) { _, _ in isNothing = false }
        return isNothing
    }
}

/// Rules that come before another one, to be found by what they demand.
private struct EarlierRules {
    private struct Known {
        var rule: Rule
        var order: Int
        var demands: Set<String>
    }

    /// By one of the demands; "" for those that demand nothing.
    private var byDemand: [String: [Known]] = [:]
    private var count = 0

    mutating func add(_ rule: Rule) {
        // What takes some images only, or for a time, leaves the others to those after it.
        guard rule.select == nil, rule.forSeconds == nil else { return }
        let demands = LintMatch.demands(of: rule.match)
        byDemand[demands.min() ?? "", default: []].append(Known(rule: rule, order: count, demands: demands))
        count += 1
    }

    /// How the first of them takes everything from `rule`; nil where none does.
    func shadow(on rule: Rule) -> String? {
        let demands = LintMatch.demands(of: rule.match)
        let asksForHidden = LintMatch.asksForHidden(rule.match)
        let covering = (demands.union([""])).flatMap { byDemand[$0] ?? [] }.filter { known in
            // An enforcing rule comes before a dry-run one, whatever their priorities.
            guard known.rule.mode == .enforce || known.rule.mode == rule.mode, known.demands.isSubset(of: demands) else { return false }
            if known.rule.fingerprint == rule.fingerprint { return true }
            guard known.rule.match.captures.isEmpty, !asksForHidden || LintMatch.asksForHidden(known.rule.match) else { return false }
            return known.rule.targets.isEverywhere || known.rule.targetsText == rule.targetsText
        }
        guard let better = covering.min(by: { $0.order < $1.order })?.rule else { return nil }
        guard better.fingerprint != rule.fingerprint else {
            return "has the match and targets of '\(better.name)' (\(better.place)), which always comes first"
        }
        return
            "never decides how an image is delivered: '\(better.name)' (\(better.place)) matches all of its images, wants them on all of its hosts and comes first"
    }
}

/// The fleet's names of one kind.
private struct Known {
    let kind: String
    let names: [String]
    let set: Set<String>

    init(_ kind: String, _ names: [String]) {
        self.kind = kind
        self.names = names
        self.set = Set(names)
    }

    func hint(for wrong: String) -> String {
        if let near = Nearest.word(to: wrong, among: names) { return "; did you mean '\(near)'?" }
        guard !names.isEmpty else { return "" }
        return "; it has \(names.prefix(8).joined(separator: ", "))\(names.count > 8 ? " and \(names.count - 8) more" : "")"
    }
}

extension Match {
    /// Whether something that tenants cannot choose freely must hold: the owner, the id, or a visibility that takes an administrator.
    fileprivate var isGuarded: Bool {
        switch self {
        case .all(let branches): branches.contains(where: \.isGuarded)
        case .any(let branches, _): branches.allSatisfy(\.isGuarded)
        case .not, .always: false
        case .condition(let condition): condition.isGuard
        }
    }

    fileprivate var excludesActive: Bool {
        switch self {
        case .all(let branches): branches.contains(where: \.excludesActive)
        case .any(let branches, _): branches.allSatisfy(\.excludesActive)
        case .not, .always: false
        case .condition(.text(.status, let patterns)): patterns.firstMatch(Subject("active")) == nil
        case .condition: false
        }
    }
}

extension Condition {
    fileprivate var isSetByTenants: Bool {
        switch self {
        case .tag, .property, .text(.name, _), .text(.role, _): true
        case .text, .minSize, .maxSize, .createdWithin, .hidden: false
        }
    }

    fileprivate var isGuard: Bool {
        switch self {
        case .text(.owner, _), .text(.id, _): true
        case .text(.visibility, let patterns): ["private", "shared", "community"].allSatisfy { patterns.firstMatch(Subject($0)) == nil }
        case .text, .tag, .property, .minSize, .maxSize, .createdWithin, .hidden: false
        }
    }
}
