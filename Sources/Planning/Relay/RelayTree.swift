public import ForecacheModel
import FoundationEssentials

/// The tree of `via: relay` in one site: one host fetches, or those serve that have the bytes already; each of the others copies from its parent. The same inputs
/// give the same tree.
struct RelayTree {
    /// Two followers a host: with a LAN of five times the WAN's rate the links of the upper hosts are not full, and sixteen hosts are four deep.
    static let defaultFanOut = 2
    /// Holders that a host may choose from besides its own ancestors.
    private static let mostHolders = 4

    let site: Site
    let fanOut: Int
    let image: ImageFacts
    let observed: [HostName: HostObservation]
    let defaults: PlanningDefaults
    /// Set where the image comes to the site already: whoever could only be its seed is looked at again then.
    var arrival: Date?

    /// The steps in execution order: what is at rest, fetches, then copies with parents before children.
    func planned(_ steps: [Step]) -> [Step] {
        let peers = Set(site.hosts.filter { $0.peerAddress != nil }.map(\.name))
        let missing = steps.filter { $0.action == .fetch }
        guard !missing.isEmpty else { return steps }
        let holders = steps.map(\.host).filter { peers.contains($0) && (observed[$0]?.canServe(image) ?? false) }
        let copying = missing.filter { canCopy($0.host) }
        if let arrival, holders.isEmpty, !peers.isEmpty { return steps.map { waiting($0, until: arrival, peers: peers) } }
        let seed = holders.isEmpty ? seed(of: missing, copying: copying, peers: peers) : nil
        let roots = holders.isEmpty ? [seed].compactMap { $0 } : holders
        let receivers = copying.filter { $0.host != seed }
        // Those that nobody can copy from are the leaves.
        let children = receivers.filter { peers.contains($0.host) } + receivers.filter { !peers.contains($0.host) }
        var parents: [HostName: HostName] = [:]
        for (index, child) in children.enumerated() {
            parents[child.host] = parent(ofChild: index, roots: roots, servers: children.map(\.host).filter(peers.contains))
        }
        let copies = children.compactMap { step in parents[step.host].map { copy(step, from: $0, parents, roots) } }
        let copied = Set(copies.map(\.host))
        let fetches = missing.filter { !copied.contains($0.host) }.map { fetch($0, seed: seed, peers: roots.isEmpty ? [] : peers) }
        guard !copies.isEmpty else { return steps.map { step in fetches.first { $0.host == step.host } ?? step } }
        return steps.filter { $0.action != .fetch } + fetches.sorted { ($0.host == seed ? 0 : 1) < ($1.host == seed ? 0 : 1) } + copies
    }

    /// The operator's own choice, then the first host of the site that can come back as a follower should it fail as seed.
    private func seed(of missing: [Step], copying: [Step], peers: Set<HostName>) -> HostName? {
        let order = site.hosts.map(\.name).filter(peers.contains)
        let (missing, copying) = (Set(missing.map(\.host)), Set(copying.map(\.host)))
        if let chosen = site.settings.seed, missing.contains(chosen), peers.contains(chosen) { return chosen }
        return order.first(where: copying.contains) ?? order.first(where: missing.contains)
    }

    /// The roots have their followers one by one, so that several holders share the load; from there on the tree is filled from the top.
    private func parent(ofChild index: Int, roots: [HostName], servers: [HostName]) -> HostName? {
        guard !roots.isEmpty else { return nil }
        if index < roots.count * fanOut { return roots[index % roots.count] }
        let above = (index - roots.count * fanOut) / fanOut
        return above < servers.count ? servers[above] : (roots + servers)[index % (roots.count + servers.count)]
    }

    private func copy(_ step: Step, from parent: HostName, _ parents: [HostName: HostName], _ roots: [HostName]) -> Step {
        var choices = [parent]
        while let next = parents[choices[choices.count - 1]] { choices.append(next) }
        choices += roots.filter { !choices.contains($0) }.prefix(Self.mostHolders)
        var copy = step
        copy.action = .relay(from: choices, fallsBackToGlance: defaults.copyFallsBackToGlance)
        copy.reasons.append("copies from \(parent), as soon as that one receives")
        return copy
    }

    private func waiting(_ step: Step, until arrival: Date, peers: Set<HostName>) -> Step {
        guard step.action == .fetch else { return step }
        return canCopy(step.host) ? step.arriving(at: site.name, lookAgain: arrival) : fetch(step, seed: nil, peers: peers)
    }

    private func fetch(_ step: Step, seed: HostName?, peers: Set<HostName>) -> Step {
        var fetch = step
        if step.host == seed {
            fetch.reasons.append("fetches for its site")
        } else if case .surveyed(let survey) = observed[step.host], survey.isContainerSilent, !peers.isEmpty {
            // Another copy over the WAN, because a container restarts at this moment?
            fetch.postpone("host \(step.host) cannot copy from others: \(Step.silentContainer)")
        } else if !canCopy(step.host) {
            fetch.reasons.append("fetches by itself: it has no sftp to copy with")
        } else {
            fetch.reasons.append("fetches by itself: no host of site \(site.name) has an address that others can copy from")
        }
        return fetch
    }

    private func canCopy(_ host: HostName) -> Bool {
        if case .surveyed(let survey) = observed[host] { survey.tools.contains("sftp") } else { false }
    }
}

extension SitePlan {
    /// Whether hosts of this plan copy from each other while they receive.
    public var isRelayed: Bool {
        steps.contains { if case .relay = $0.action { true } else { false } }
    }

    /// Everybody whose bytes the relay is about, in the plan's order. Hosts that are named as sources and receive nothing have the bytes already.
    public func relayMembers(_ fleet: Fleet) -> [Relay.Member] {
        var named: [HostName] = []
        for case .relay(let choices, _) in steps.map(\.action) { named += choices }
        let (sources, moving) = (Set(named), Set(steps.filter(\.movesBytes).map(\.host)))
        let holders = sources.subtracting(moving).sorted().map { Relay.Member($0, choices: [], isHolder: true) }
        return holders
            + steps.compactMap { step in
                switch step.action {
                // A fetch that nobody waits for is one of a host that cannot take part.
                case .fetch:
                    Relay.Member(
                        step.host, choices: [], canCopy: sources.contains(step.host), canServe: sources.contains(step.host))
                case .relay(let choices, let fallsBack):
                    Relay.Member(
                        step.host, choices: choices, fallsBackToGlance: fallsBack, canServe: fleet.host(step.host)?.peerAddress != nil)
                case .copy, .touch, .none: nil
                }
            }
    }
}
