public import ForecacheModel
import FoundationEssentials
public import StrictYAML

/// One test of a `*.test.yaml` file: an image, a moment, and where the rules must want it.
public struct RuleTest: Sendable {
    public let name: String
    public let place: Place
    let image: ImageFacts
    let now: Date
    /// Exactly these hosts, by rules that act.
    let expected: Expectation
    /// Exactly these hosts, by rules that only report.
    let expectedDryRun: Expectation
    /// The rule that must win on each of those hosts; nil leaves it open.
    let rule: (name: String, place: Place)?
    /// The other images that Glance has, for rules with `select:`.
    let others: [ImageFacts]
    /// Since when rules with `for:` match the image, by rule name; the others begin at `now`.
    let began: [(rule: String, place: Place, at: Date)]
    /// What the winning rule must say of delivery on each of those hosts; what is not given is left open.
    let deliver: (settings: DeliverySettings, place: Place)?
    /// Whether the winning rule's window must be open at `now`.
    let windowIsOpen: Bool?

    /// Where an image is expected; sites, roles and hosts that are not named are expected to stay without it.
    enum Expectation: Sendable {
        case none
        case all
        case sites([(site: SiteName, place: Place, hosts: HostExpectation)])
    }

    /// Where within a site.
    enum HostExpectation: Sendable {
        case none
        case all
        case hosts([(name: HostName, place: Place)])
        case roles([(role: RoleName, place: Place, hosts: HostExpectation)])
    }
}

/// How one test went.
public struct RuleTestResult: Sendable {
    public let test: RuleTest
    /// Nothing: the test passed. Else one line each: `missing dcn1 Compute dcn1-compute-1`, `unexpected …`, with the rules' own reasons.
    public let differences: [String]
    /// Names of the rules that matched the test's image.
    public let matched: [String]

    public var passed: Bool { differences.isEmpty }
}

extension RuleTest {
    /// Decides as the service does and compares host by host.
    public func run(_ rules: RuleSet, fleet: Fleet) -> RuleTestResult {
        let rivals = Rivals(rules, among: others.filter { $0.id != image.id } + [image], now: now)
        let since = Dictionary(began.map { ($0.rule, $0.at) }) { first, _ in first }
        let decision = rules.decide(image, fleet: fleet, now: now, among: rivals, since: since)
        var differences = Self.differences(
            decision.placements.filter { $0.mode == .enforce }, from: expected.hosts(of: fleet), fleet, "")
        differences += Self.differences(
            decision.placements.filter { $0.mode == .dryRun }, from: expectedDryRun.hosts(of: fleet), fleet, " (dry-run)")
        for placement in decision.placements { differences += self.differences(in: placement) }
        if !differences.isEmpty {
            if let refusal = decision.refusal { differences.append("because \(refusal)") }
            let verdicts = rules.explain(image, fleet: fleet, now: now, among: rivals, since: since).decision.rules
            differences += verdicts.map { "because rule '\($0.rule)' \($0.matched ? "matched" : "did not match"): \($0.why)" }
        }
        return RuleTestResult(test: self, differences: differences, matched: decision.rules.filter(\.matched).map(\.rule))
    }

    /// What the rule that won there should have said.
    private func differences(in placement: Placement) -> [String] {
        var found: [String] = []
        if let rule, placement.rule != rule.name {
            found.append("wrong rule \(placement.said): won by '\(placement.rule)', expected '\(rule.name)'")
        }
        if let deliver {
            let (wanted, got) = (deliver.settings.words, placement.deliver.words)
            for (key, value) in wanted.sorted(by: { $0.key < $1.key }) where got[key] != value {
                found.append("deliver    \(placement.said): \(key) is \(got[key] ?? "left to the site"), expected \(value)")
            }
        }
        if let windowIsOpen {
            switch placement.deliver.window.map({ $0.isOpen(at: now) }) {
            case windowIsOpen?: break
            case nil: found.append("window     \(placement.said): rule '\(placement.rule)' has none")
            case _?: found.append("window     \(placement.said): \(windowIsOpen ? "closed, expected open" : "open, expected closed")")
            }
        }
        return found
    }

    private static func differences(_ placements: [Placement], from expected: Set<HostName>, _ fleet: Fleet, _ mode: String) -> [String] {
        let missing = expected.subtracting(placements.map(\.host)).compactMap { fleet.host($0) }.sorted {
            ($0.site, $0.name) < ($1.site, $1.name)
        }
        return missing.map { "missing    \($0.site) \($0.role) \($0.name)\(mode)" }
            + placements.filter { !expected.contains($0.host) }.map { "unexpected \($0.said)\(mode), by rule '\($0.rule)'" }
    }

    /// What the test names and the fleet or the rules do not have: it could never fail, or never pass.
    public func problems(_ rules: RuleSet, fleet: Fleet) -> Problems {
        var problems = Problems()
        let names = rules.rules.map(\.name)
        for (name, place) in (rule.map { [($0.name, $0.place)] } ?? []) + began.map({ ($0.rule, $0.place) }) where !names.contains(name) {
            problems.add(place, "the rule files have no rule '\(name.prefix(100))'\(Self.hint(name, names))")
        }
        for (name, place, _) in began where rules.rules.contains(where: { $0.name == name && $0.forSeconds == nil }) {
            problems.add(place, "rule '\(name.prefix(100))' has no 'for', so it does not matter since when it matches")
        }
        for expectation in [expected, expectedDryRun] {
            if case .all = expectation, fleet.hosts.isEmpty {
                problems.add(place, "the fleet has no host, so 'all' expects nothing; give the fleet hosts or write 'none'")
            }
            guard case .sites(let sites) = expectation else { continue }
            for (name, place, hosts) in sites {
                guard let site = fleet.site(name) else {
                    problems.add(place, "the fleet has no site '\(name)'\(Self.hint(name.rawValue, fleet.sites.map(\.name.rawValue)))")
                    continue
                }
                hosts.check(against: site.hosts, "site '\(name)'", at: place, &problems)
            }
        }
        return problems
    }

    fileprivate static func hint(_ wrong: String, _ known: [String]) -> String {
        Nearest.word(to: wrong, among: known).map { "; did you mean '\($0)'?" } ?? ""
    }
}

extension RuleTest.Expectation {
    func hosts(of fleet: Fleet) -> Set<HostName> {
        switch self {
        case .none: []
        case .all: Set(fleet.hosts.map(\.name))
        case .sites(let sites): sites.reduce(into: []) { $0.formUnion($1.hosts.names(of: fleet.site($1.site)?.hosts ?? [])) }
        }
    }
}

extension RuleTest.HostExpectation {
    func names(of hosts: [Host]) -> Set<HostName> {
        switch self {
        case .none: []
        case .all: Set(hosts.map(\.name))
        case .hosts(let names): Set(names.map(\.name)).intersection(hosts.map(\.name))
        case .roles(let roles):
            roles.reduce(into: []) { all, role in all.formUnion(role.hosts.names(of: hosts.filter { $0.role == role.role })) }
        }
    }

    fileprivate func check(against hosts: [Host], _ what: String, at place: Place, _ problems: inout Problems) {
        switch self {
        case .none: break
        case .all:
            guard hosts.isEmpty else { break }
            problems.add(place, "\(what) of the fleet has no host, so 'all' expects nothing; give it hosts or write 'none'")
        case .hosts(let names):
            for (name, place) in names where !hosts.contains(where: { $0.name == name }) {
                problems.add(place, "\(what) of the fleet has no host '\(name)'\(RuleTest.hint(name.rawValue, hosts.map(\.name.rawValue)))")
            }
        case .roles(let roles):
            for (role, place, inner) in roles {
                let ofRole = hosts.filter { $0.role == role }
                guard ofRole.isEmpty else {
                    inner.check(against: ofRole, "\(what), role '\(role)'", at: place, &problems)
                    continue
                }
                let known = Set(hosts.map(\.role.rawValue)).sorted()
                problems.add(place, "\(what) of the fleet has no role '\(role)'\(RuleTest.hint(role.rawValue, known))")
            }
        }
    }
}

extension Placement {
    fileprivate var said: String { "\(site) \(role) \(host)" }
}

extension RuleVerdict {
    fileprivate var why: String { reasons.joined(separator: "; ") }
}

/// Which tests run: those in whose name a regular expression is found.
public struct RuleTestFilter: Sendable {
    private let regex: LinearRegex

    /// Throws a problem without place where the text is no regular expression (of the rule language's own kind).
    public init(_ regex: String) throws(Problem) {
        do {
            self.regex = try LinearRegex(regex)
        } catch {
            throw Problem(Place(file: "--run"), "regex '\(regex.prefix(60))' \(error.message)")
        }
    }

    public func admits(_ test: RuleTest) -> Bool {
        var steps = 0
        return regex.isFound(in: test.name, steps: &steps)
    }
}

extension DeliverySettings {
    /// By the words of rule files; what is not set is missing.
    fileprivate var words: [String: String] {
        [
            "via": via?.rawValue, "fan_out": fanOut.map { "\($0)" }, "rate_limit": rateLimit.map { "\($0) B/s" },
            "window": window?.description,
            "max_size": maxSizeBytes.map { "\($0) B" }, "streams": streams.map { "\($0)" }, "source": source?.rawValue,
        ].compactMapValues { $0 }
    }
}
