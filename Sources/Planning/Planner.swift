public import ForecacheModel
public import FoundationEssentials

/// Makes a plan from a decision and what lies on the hosts. Pure: the same inputs give the same plan, and planning again once it is done gives only touches or nothing.
public enum Planner {
    /// `touchesFreshFiles`: set the age of files that have not expired to 0 as well, as the playbook does. The service leaves that to its refresher, which
    /// knows each file's own moment. `underWay`: hosts that are left to an earlier plan. `now`: what a site's window is held against; nil leaves windows out.
    public static func plan(
        _ decision: Decision, fleet: Fleet, observed: [HostName: HostObservation], defaults: PlanningDefaults,
        touchesFreshFiles: Bool = false, underWay: Set<HostName> = [], now: Date? = nil
    ) -> Plan {
        let bySite = Dictionary(grouping: decision.placements, by: \.site)
        let sites = fleet.sites.flatMap { site in
            let byDelivery = Dictionary(grouping: bySite[site.name] ?? []) { $0.deliver.over(site.settings.deliver) }
            return byDelivery.sorted { "\($0.key)" < "\($1.key)" }.map { deliver, placements in
                let open = placements.filter { !underWay.contains($0.host) }
                return SitePlanner(
                    site: site, deliver: deliver, placements: open, image: decision.image, observed: observed, defaults: defaults,
                    touchesFreshFiles: touchesFreshFiles, isUnderWay: open.count < placements.count, now: now
                ).plan()
            }
        }
        return Plan(image: decision.image, sites: sites.filter { !$0.steps.isEmpty }, underWay: underWay)
    }
}

private struct SitePlanner {
    let site: Site
    let deliver: DeliverySettings
    let placements: [Placement]
    let image: ImageFacts
    let observed: [HostName: HostObservation]
    let defaults: PlanningDefaults
    let touchesFreshFiles: Bool
    /// An earlier plan is at work on others of these placements.
    let isUnderWay: Bool
    let now: Date?

    /// How soon whoever waits for an earlier plan's bytes is looked at again.
    private static let arrivalSeconds = 60.0

    func plan() -> SitePlan {
        let plan = openPlan()
        guard let now, let window = deliver.window, !window.isOpen(at: now) else { return plan }
        let holders = plan.steps.map(\.host).filter { observed[$0]?.canServe(image) ?? false }
        let opening = window.opening(after: now)
        // Nova cannot be told to touch only: it would fetch for the others of the site.
        let waitsWhole = plan.via == .novaAPI && plan.steps.contains { $0.action == .fetch }
        return plan.waiting(until: opening, holders: Set(holders), touchesWait: waitsWhole)
    }

    /// What is done while bytes may cross the site's WAN link.
    private func openPlan() -> SitePlan {
        let via = deliver.via ?? defaults.via(of: site)
        let forks = max(1, site.settings.forks ?? (via == .relay ? max(defaults.relayForks, defaults.forks) : defaults.forks))
        var steps = placements.sorted { ($1.priority, $0.host) < ($0.priority, $1.host) }.map(localStep)
        // The earlier plan brings the one copy that is to cross the WAN: whoever has nobody to copy from yet waits. Nobody copies from raw base files.
        let arrives = isUnderWay && !steps.contains { $0.format == .raw }
        let arrival = arrives ? now?.addingTimeInterval(Self.arrivalSeconds) : nil
        if via == .proxy { steps = throughProxy(steps, arrival) }
        if via == .relay {
            let fanOut = deliver.fanOut ?? RelayTree.defaultFanOut
            let tree = RelayTree(site: site, fanOut: fanOut, image: image, observed: observed, defaults: defaults, arrival: arrival)
            steps = tree.planned(steps)
        }
        if via == .novaAPI { steps = throughNova(steps) }
        return SitePlan(
            site: site.name, via: via, deliver: deliver, forks: forks, copiesAtOnce: max(1, defaults.copiesAtOnce ?? forks),
            glance: site.settings.glance,
            keepFreeBytes: site.settings.keepFreeBytes ?? defaults.keepFreeBytes, steps: steps)
    }

    /// What the host needs when only itself and Glance are looked at.
    private func localStep(_ placement: Placement) -> Step {
        var surveyedTTL: Int?
        let (action, why): (Step.Action, String)
        switch observed[placement.host] {
        // Nothing is done for it, so its host need not be surveyed or reachable.
        case _ where placement.mode == .dryRun: (action, why) = (.none(.dryRun), "rule \(placement.rule) is in dry-run mode")
        case .surveyed(let survey):
            surveyedTTL = survey.ttlSeconds
            (action, why) = self.action(on: survey, placement)
        case .unreachable(let reason): (action, why) = (.none(.unreachable(reason)), "not reachable: \(reason)")
        case .told(let since, let isDue): (action, why) = self.action(since: since, isDue: isDue)
        case nil: (action, why) = (.none(.unreachable("not surveyed")), "not surveyed")
        }
        var step = Step(
            host: placement.host, role: placement.role, action: action, rule: placement.rule, priority: placement.priority,
            ttlSeconds: defaults.ttl.seconds(for: placement, surveyed: surveyedTTL), reasons: placement.reasons + [why])
        if case .surveyed(let survey) = observed[placement.host], step.movesBytes { decideFormat(of: &step, on: survey) }
        return step
    }

    /// What Nova on that host would make of the image, or the operator's own choice; refused where it cannot be made there.
    private func decideFormat(of step: inout Step, on survey: HostSurvey) {
        guard defaults.format.isRaw(forcesRawImages: survey.forcesRawImages), !image.isRaw,
            (deliver.via ?? defaults.via(of: site)) != .novaAPI
        else { return }
        step.format = .raw
        if image.diskFormat == "luks" {
            step.refuse("host \(step.host) wants raw base files, which Nova could not make of a LUKS image either: its key is not there")
        } else if survey.isContainerSilent {
            step.postpone("host \(step.host) wants raw base files, for which qemu-img is needed: \(Step.silentContainer)")
        } else if !survey.tools.contains("qemu-img") {
            step.refuse("host \(step.host) wants raw base files and has no qemu-img; install it there, or correct node.container")
        }
    }

    private func action(since: Date?, isDue: Bool) -> (Step.Action, String) {
        guard let since else { return (.fetch, "Nova has not told of a base file") }
        if isDue || touchesFreshFiles { return (.touch, "Nova told of a base file, which is due to be touched") }
        return (.none(.fresh(since: since)), "Nova told of a base file, which is fresh")
    }

    /// A request to Nova touches the base files of all hosts of the site, so all of them are as good as asked for.
    private func throughNova(_ steps: [Step]) -> [Step] {
        guard steps.contains(where: { !$0.isAtRest }) else { return steps }
        return steps.map { step in
            guard case .none(.fresh) = step.action else { return step }
            var touched = step
            touched.action = .touch
            touched.reasons.append("touched along: Nova is asked for the whole site")
            return touched
        }
    }

    private func action(on survey: HostSurvey, _ placement: Placement) -> (Step.Action, String) {
        if survey.imagesType == "rbd" {
            let why = "images_type is rbd, which does not use the image cache"
            return (.none(.unsupported(why)), why)
        }
        let name = BaseFileName(of: image.id)
        guard let file = survey.baseFiles.first(where: { $0.name == name }) else { return (.fetch, "no base file \(name)") }
        let why = "base file \(name) is there, \(Int(max(0, file.ageSeconds))) s old"
        let ttl = defaults.ttl.seconds(for: placement, surveyed: survey.ttlSeconds)
        if file.ageSeconds < Double(ttl), !touchesFreshFiles {
            return (.none(.fresh(since: survey.surveyedAt.addingTimeInterval(-max(0, file.ageSeconds)))), why)
        }
        return (.touch, why)
    }

    /// One host fetches, the others copy from it. The operator's own choice comes first, then a host that has the base file already.
    private func throughProxy(_ steps: [Step], _ arrival: Date?) -> [Step] {
        let missing = Set(steps.filter { $0.action == .fetch }.map(\.host))
        let holders = Set(steps.map(\.host).filter { observed[$0]?.canServe(image) ?? false })
        if let arrival, holders.isEmpty { return steps.map { $0.action == .fetch ? $0.arriving(at: site.name, lookAgain: arrival) : $0 } }
        let order = site.hosts.map(\.name)
        let seed =
            [site.settings.seed ?? order.first].compactMap { $0 }.first { holders.contains($0) || missing.contains($0) }
            ?? order.first(where: holders.contains) ?? order.first(where: missing.contains)
        guard let seed, !missing.isEmpty else { return steps }
        let copies = steps.filter { $0.action == .fetch && $0.host != seed }.map { step in
            var copy = step
            copy.action = .copy(from: seed, fallsBackToGlance: defaults.copyFallsBackToGlance)
            copy.reasons.append("copies from proxy \(seed)")
            return copy
        }
        return steps.filter { $0.action != .fetch || $0.host == seed } + copies
    }
}
