import ForecacheModel
import StrictYAML

/// Where a rule wants its images: hosts for which all given lists hold. None given means every host.
struct Targets: Sendable {
    var sites: [TargetPattern]?
    var roles: [TargetPattern]?
    var hosts: [TargetPattern]?

    var isEverywhere: Bool { sites == nil && roles == nil && hosts == nil }

    var captures: Set<Capture> { Set([sites, roles, hosts].compactMap { $0 }.joined().flatMap(\.captures)) }

    /// What the rule targets for one binding, as reasons say it: `targets sites "dcn*", roles "Compute"`.
    func said(_ bindings: [Binding]) -> String {
        let parts = [("sites", sites), ("roles", roles), ("hosts", hosts)].compactMap { word, patterns in
            patterns.map { "\(word) \(TargetPattern.said($0, bindings))" }
        }
        return parts.isEmpty ? "targets every site" : "targets \(parts.joined(separator: ", "))"
    }

    /// Calls `body` with the places of all hosts that are wanted under one binding; a host may come twice under several.
    func forEachHost(in fleet: Fleet, _ binding: Binding, _ body: (_ site: Int, _ host: Int) -> Void) {
        let sitePatterns = sites.map { TargetPattern.resolved($0, binding) }
        let rolePatterns = roles.map { TargetPattern.resolved($0, binding) }
        let hostPatterns = hosts.map { TargetPattern.resolved($0, binding) }
        forEachSite(in: fleet, sitePatterns) { site in
            let all = fleet.sites[site].hosts
            guard rolePatterns != nil || hostPatterns != nil else {
                for host in all.indices { body(site, host) }
                return
            }
            // A site has few roles and its hosts come role by role, so the last answer mostly holds.
            var last: (role: RoleName, isWanted: Bool)?
            for host in all.indices {
                if let rolePatterns {
                    if last?.role != all[host].role { last = (all[host].role, rolePatterns.hold(all[host].role.rawValue)) }
                    guard last?.isWanted == true else { continue }
                }
                if let hostPatterns, !hostPatterns.hold(all[host].name.rawValue) { continue }
                body(site, host)
            }
        }
    }

    private func forEachSite(in fleet: Fleet, _ patterns: ResolvedTargets?, _ body: (Int) -> Void) {
        guard let patterns else { return fleet.sites.indices.forEach(body) }
        guard patterns.globs.isEmpty else {
            for site in fleet.sites.indices where patterns.hold(fleet.sites[site].name.rawValue) { body(site) }
            return
        }
        for literal in patterns.literals {
            if let site = fleet.place(ofSite: literal) { body(site) }
        }
    }
}

/// One glob of a `targets` list, possibly with captures in it.
struct TargetPattern: Sendable {
    let source: String
    let place: Place
    let captures: [Capture]
    /// Nil where captures have to be filled in first.
    private let pattern: Pattern?

    init(_ source: String, at place: Place) throws(PatternError) {
        let glob = try Glob(source, isFilledIn: true)
        self.source = source
        self.place = place
        self.captures = glob.captures
        self.pattern = glob.captures.isEmpty ? try Pattern.glob(reading: source) : nil
    }

    /// The name that it stands for where it has neither wildcard nor capture.
    var literal: String? {
        if case .literal(let text, _) = pattern { text } else { nil }
    }

    /// With the captured names in place; nil where one of them was not captured.
    private func filled(_ binding: Binding) -> String? {
        var text = source
        for capture in captures {
            guard let name = binding[capture] else { return nil }
            // A captured name holds letters, digits, '.', '_' and '-' only, so it cannot become a wildcard.
            text = text.split(separator: capture.token, omittingEmptySubsequences: false).joined(separator: name)
        }
        return text
    }

    static func resolved(_ patterns: [TargetPattern], _ binding: Binding) -> ResolvedTargets {
        var resolved = ResolvedTargets()
        for target in patterns {
            // A filled pattern reads like the unfilled one, which was read; if it should not, it targets nothing.
            let pattern = target.pattern ?? target.filled(binding).flatMap { try? Pattern.glob(reading: $0) }
            switch pattern {
            case .literal(let text, _): resolved.literals.append(text)
            case .glob(let glob): resolved.globs.append(glob)
            case .regex, nil: break
            }
        }
        return resolved
    }

    static func said(_ patterns: [TargetPattern], _ bindings: [Binding]) -> String {
        var seen: Set<String> = []
        let texts = patterns.flatMap { target in
            target.captures.isEmpty ? [target.source] : bindings.compactMap { target.filled($0) }
        }
        let unique = texts.filter { seen.insert($0).inserted }
        let shown = unique.prefix(5).map { Quoted.text($0) }.joined(separator: ", ")
        return unique.isEmpty ? "that were not captured" : "\(shown)\(unique.count > 5 ? " and \(unique.count - 5) more" : "")"
    }
}

/// A `targets` list with captured names filled in.
struct ResolvedTargets {
    var literals: [String] = []
    var globs: [Glob] = []

    func hold(_ name: String) -> Bool {
        if literals.contains(name) { return true }
        guard !globs.isEmpty else { return false }
        let subject = Subject(name)
        var steps = 0
        return globs.contains { $0.matches(subject, steps: &steps) }
    }
}

extension Fleet {
    /// Index of a site by name; sites are in name order.
    func place(ofSite name: String) -> Int? {
        let wanted = SiteName(name)
        var low = 0
        var high = sites.count
        while low < high {
            let middle = (low + high) / 2
            if sites[middle].name < wanted { low = middle + 1 } else { high = middle }
        }
        return low < sites.count && sites[low].name == wanted ? low : nil
    }
}
