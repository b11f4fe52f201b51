public import ForecacheModel

/// What must hold of every plan, whoever made it. The reconciler refuses a plan with violations.
public enum PlanCheck {
    /// A sentence for each violation; empty for a sound plan.
    public static func violations(_ plan: Plan, fleet: Fleet, observed: [HostName: HostObservation]) -> [String] {
        var violations: [String] = []
        if plan.image.status != .active, !plan.isEmpty { violations.append("image \(plan.image.id) is not active") }
        var seen: Set<HostName> = []
        for site in plan.sites {
            if site.forks < 1 || site.copiesAtOnce < 1 { violations.append("site \(site.site): forks must be at least 1") }
            var sources = Set(site.steps.map(\.host).filter { observed[$0]?.canServe(plan.image) ?? false })
            for step in site.steps {
                if step.movesBytes, step.format == .raw, site.inspected == nil {
                    violations.append("host \(step.host) is to convert an image that nobody has looked at")
                }
                if !seen.insert(step.host).inserted { violations.append("host \(step.host) stands in the plan twice") }
                if fleet.host(step.host)?.site != site.site { violations.append("host \(step.host) is not of site \(site.site)") }
                if step.ttlSeconds <= 0 { violations.append("host \(step.host): TTL must be positive") }
                switch step.action {
                case .fetch: sources.insert(step.host)
                case .copy(let source, _):
                    if !sources.contains(source) {
                        violations.append("host \(step.host) copies from \(source), which has no bytes by then")
                    }
                    sources.insert(step.host)
                case .relay(let choices, _):
                    let unknown = choices.filter { !sources.contains($0) }
                    if choices.isEmpty { violations.append("host \(step.host) relays from nobody") }
                    for source in unknown { violations.append("host \(step.host) relays from \(source), which does not receive before it") }
                    sources.insert(step.host)
                case .touch:
                    if observed[step.host]?.hasBaseFile(of: plan.image.id) != true {
                        violations.append("host \(step.host) is to touch a base file that is not there")
                    }
                case .none: break
                }
            }
        }
        return violations
    }
}
