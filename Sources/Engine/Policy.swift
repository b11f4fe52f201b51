public import ForecacheModel
public import Planning
public import Rules
import Synchronization

/// What the operator wants, as one value: a decision and its plan are always made from the same one.
public struct Policy: Sendable {
    public var rules: RuleSet
    public var fleet: Fleet
    public var defaults: PlanningDefaults

    public init(rules: RuleSet, fleet: Fleet, defaults: PlanningDefaults) {
        self.rules = rules
        self.fleet = fleet
        self.defaults = defaults
    }

    /// Without those of sites that are left to Nova: there SSH may not be allowed, and nothing of ours lies there.
    public var hostsWithSSH: [Host] {
        fleet.sites.filter { defaults.via(of: $0) != .novaAPI }.flatMap(\.hosts)
    }

    /// Whether Nova keeps this placement alive: by the rule that wants it, then by its site.
    func isThroughNova(_ placement: DueRefresh) -> Bool {
        let ofRule = rules.rules.first { $0.name == placement.rule }?.deliver.via
        return (ofRule ?? fleet.site(placement.site).map(defaults.via(of:)) ?? defaults.via) == .novaAPI
    }
}

/// The policy in force; replaced as a whole.
public final class CurrentPolicy: Sendable {
    private let policy: Mutex<Policy>

    public init(_ policy: Policy) { self.policy = Mutex(policy) }

    public var value: Policy { policy.withLock { $0 } }
    public func replace(with new: Policy) { policy.withLock { $0 = new } }
}
