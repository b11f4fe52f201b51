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

    /// Warnings: rules that any project's image can fall under by a tag, rules that say the same as a better one, and rules that can do nothing.
    public static func warnings(in rules: RuleSet, fleet: Fleet?) -> Problems {
        var warnings = Problems()
        var seen: [String: Rule] = [:]
        for rule in rules.rules {
            if rule.match.contains(where: \.isTag), !rule.match.isGuarded {
                warnings.add(
                    rule.place,
                    "rule '\(rule.name)' goes by a tag alone, and every project can tag its own images; add 'visibility: public' or 'owner' to it"
                )
            }
            if rule.match.excludesActive {
                warnings.add(rule.place, "rule '\(rule.name)' asks for a status other than active, but only active images are ever cached")
            }
            if let better = seen[rule.fingerprint], better.mode == rule.mode || better.mode == .enforce {
                warnings.add(
                    rule.place,
                    "rule '\(rule.name)' has the match and targets of '\(better.name)' (\(better.place)), which always comes first")
            }
            // An enforcing rule comes before a dry-run one, whatever their priorities.
            let before = seen[rule.fingerprint]
            if before == nil || (before?.mode == .dryRun && rule.mode == .enforce) { seen[rule.fingerprint] = rule }
            if let fleet, rule.targets.captures.isEmpty, targetsNothing(rule, in: fleet) {
                warnings.add(rule.place, "rule '\(rule.name)' \(rule.targets.said([])), where the fleet has no host")
            }
        }
        return warnings
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
    fileprivate var isTag: Bool {
        switch self {
        case .tag: true
        case .text, .property, .minSize, .maxSize, .createdWithin, .hidden: false
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
