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
            var arrived = holders(of: plan.image.id, among: site.steps, observed)
            for step in site.steps {
                if !seen.insert(step.host).inserted { violations.append("host \(step.host) stands in the plan twice") }
                if fleet.host(step.host)?.site != site.site { violations.append("host \(step.host) is not of site \(site.site)") }
                if step.ttlSeconds <= 0 { violations.append("host \(step.host): TTL must be positive") }
                switch step.action {
                case .fetch: arrived.insert(step.host)
                case .copy(let source, _):
                    if !arrived.contains(source) {
                        violations.append("host \(step.host) copies from \(source), which has no bytes by then")
                    }
                    arrived.insert(step.host)
                case .touch:
                    if !arrived.contains(step.host) { violations.append("host \(step.host) is to touch a base file that is not there") }
                case .none: break
                }
            }
        }
        return violations
    }

    private static func holders(of image: ImageID, among steps: [Step], _ observed: [HostName: HostObservation]) -> Set<HostName> {
        let name = BaseFileName(of: image)
        return Set(
            steps.map(\.host).filter { host in
                guard case .surveyed(let survey) = observed[host] else { return false }
                return survey.baseFiles.contains { $0.name == name }
            })
    }
}
