public import ForecacheModel
public import FoundationEssentials

extension SitePlan {
    /// The same plan while the site's window is closed: no byte crosses the WAN before `opening`. Copies from hosts that have the bytes stay inside the site and go
    /// on, though without Glance to fall back to; whoever has nowhere else to get them from waits. Touches move nothing.
    func waiting(until opening: Date, holders: Set<HostName>, touchesWait: Bool = false) -> SitePlan {
        var (plan, sources) = (self, holders)
        for index in plan.steps.indices {
            let step = plan.steps[index]
            switch step.action {
            case .copy(let source, _) where sources.contains(source):
                plan.steps[index].action = .copy(from: source, fallsBackToGlance: false)
                sources.insert(step.host)
            case .relay(let choices, _) where choices.contains(where: sources.contains):
                plan.steps[index].action = .relay(from: choices.filter(sources.contains), fallsBackToGlance: false)
                sources.insert(step.host)
            case .fetch, .copy, .relay:
                plan.steps[index].action = .none(.waiting(until: opening))
                plan.steps[index].reasons.append(waitReason(opening))
            case .touch where touchesWait:
                plan.steps[index].action = .none(.waiting(until: opening))
                plan.steps[index].reasons.append(waitReason(opening))
            case .touch, .none: break
            }
        }
        return plan
    }

    /// What an operator reads where bytes wait for the window.
    public func waitReason(_ opening: Date) -> String {
        "outside the window \(deliver.window?.description ?? "") of site \(site); it opens at \(opening.ISO8601Format())"
    }

    /// What an operator reads where a host waits for bytes that come to its site already.
    public static func arrivalReason(_ site: SiteName) -> String {
        "the image is on its way to site \(site) already; copied from a host there once one has it"
    }
}

extension Step {
    func arriving(at site: SiteName, lookAgain: Date) -> Step {
        var step = self
        step.action = .none(.arriving(lookAgain: lookAgain))
        step.reasons.append(SitePlan.arrivalReason(site))
        return step
    }
}
