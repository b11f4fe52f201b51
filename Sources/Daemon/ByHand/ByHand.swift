public import Engine
public import ForecacheModel
import FoundationEssentials
public import Logging
public import Planning
import Rules

/// The engine by hand: the same decision, plan and executor as the service, for images that an operator names or that the rules want.
public struct ByHand: Sendable {
    private let choice: ImageChoice
    private var policy: Policy { choice.policy }
    private let limits: Limits
    private let peerNetwork: String
    private let via: [SiteName: Via]
    private let hosts: any HostOperations
    private let nova: NovaCaching<WallClock>?
    /// Nil: bytes are not looked at, because nothing will be moved.
    private let inspection: ImageInspection?
    /// How long a look takes that only a store that hangs explains.
    private let hanging: Duration
    private let logger: Logger

    /// `peerNetwork` is what the policy's fleet was read with, for messages. `via` is what the call says of sites, and wins over rules and settings; a site
    /// without an entry is left to them.
    public init(
        _ choice: ImageChoice, limits: Limits, peerNetwork: String, via: [SiteName: Via] = [:], hosts: any HostOperations,
        nova: NovaCaching<WallClock>? = nil, signatures: SignatureCheck? = nil, inspects: Bool = true, hanging: Duration = .seconds(20),
        logger: Logger
    ) {
        self.choice = choice
        self.limits = limits
        self.peerNetwork = peerNetwork
        self.via = via
        self.hosts = hosts
        self.nova = nova
        self.inspection =
            inspects ? ImageInspection(catalog: choice.catalog, signatures: signatures, looks: Forks(limits.imagesAtOnce)) : nil
        self.hanging = hanging
        self.logger = logger
    }

    /// Which hosts get an image.
    public enum Targets: Hashable, Sendable {
        /// Those that the rules name.
        case rules
        /// Every host of the selection, as the playbook has it.
        case everyHost
    }

    // MARK: - Plan and execute

    /// One plan an image, made after a survey of the hosts concerned. Throws where an image may not be cached at all, and where no image that has bytes to move
    /// could be looked into; one of several only gets no bytes, nor does any after three that each took long.
    public func plans(for images: [ImageFacts], targets: Targets) async throws(Refusal) -> [Plan] {
        try await planned(for: images, targets: targets).plans
    }

    /// As above, on every host, for the images of these ids or unique names. The hosts are asked while Keystone and Glance are.
    public func plans(named selectors: [String]) async throws(Refusal) -> [Plan] {
        guard !selectors.isEmpty else { return [] }
        let asked = policy.fleet.sites.filter { (via[$0.name] ?? policy.defaults.via(of: $0)) != .novaAPI }.flatMap(\.hosts)
        async let observed = HostObserver(hosts: hosts, forks: limits.forks).observe(asked)
        let images = try await choice.images(selectors)
        return try await planned(for: images, targets: .everyHost, observed: await observed).plans
    }

    /// Plans, and what they were made from.
    public struct Planned: Sendable {
        public var plans: [Plan]
        public var observed: [HostName: HostObservation]
        /// The same plans as they would be if no window were closed.
        public var withoutWindows: [Plan]
    }

    /// As above. `isOffline`: no host is asked; each counts as if no base file lay there.
    public func planned(for images: [ImageFacts], targets: Targets, isOffline: Bool = false) async throws(Refusal) -> Planned {
        try await planned(for: images, targets: targets, observed: isOffline ? Self.asIfEmpty(policy.fleet.hosts) : nil)
    }

    /// `observed`: all that may be concerned; nil asks those that are.
    private func planned(
        for images: [ImageFacts], targets: Targets, observed: [HostName: HostObservation]?
    ) async throws(Refusal) -> Planned {
        let decisions = try await decisions(on: images, targets)
        let refusals = decisions.compactMap { decision in
            decision.refusal.map { "image \(decision.image.id) (\(decision.image.name.printable)): \($0)" }
        }
        if targets != .rules, !refusals.isEmpty { throw .failed(Failure(.permanent, refusals.joined(separator: "\n"))) }
        let observed = if let observed { observed } else { await observations(for: decisions) }
        let now = Date()
        var (plans, withoutWindows): ([Plan], [Plan]) = ([], [])
        var (unread, hangsInARow, hasWork): (Failure?, Int, Bool) = (nil, 0, false)
        for decision in decisions {
            // Nothing is asked of these hosts themselves: Nova touches what is there and fetches what is not.
            let throughNova = decision.hostsThroughNova(policy.fleet, policy.defaults).map {
                ($0, HostObservation.told(since: nil, isDue: false))
            }
            let observed = observed.merging(throughNova) { $1 }
            let draft = Planner.plan(
                decision, fleet: policy.fleet, observed: observed, defaults: policy.defaults, touchesFreshFiles: true, now: now)
            let plan: Plan
            let began = ContinuousClock.now
            do throws(Failure) {
                // Hundreds of images would each wait for all their tries.
                if let unread, hangsInARow >= 3, draft.movesBytes {
                    throw Failure(.retriable, "not looked into: three before it took too long", cause: unread.description)
                }
                plan = try await inspection?.inspected(draft) ?? draft
                if draft.movesBytes { hangsInARow = 0 }
                hasWork = hasWork || !draft.isEmpty
            } catch {
                guard error.kind == .retriable else { throw Refusal(error) }
                plan = draft.postponing(error.description)
                hasWork = hasWork || !plan.isEmpty
                unread = unread ?? error
                if .now - began >= hanging { hangsInARow += 1 }
            }
            plans.append(plan)
            withoutWindows.append(
                plan.waitsForWindow
                    ? Planner.plan(decision, fleet: policy.fleet, observed: observed, defaults: policy.defaults, touchesFreshFiles: true)
                    : plan)
            // A plan whose image nobody looked into is only shown.
            let violations = inspection == nil ? [] : PlanCheck.violations(plan, fleet: policy.fleet, observed: observed)
            guard violations.isEmpty else {
                throw .failed(Failure(.permanent, "plan of image \(plan.image.id) is not sound: \(violations.joined(separator: "; "))"))
            }
        }
        if let unread, !hasWork { throw Refusal(unread) }
        if Task.isCancelled { throw .failed(Failure(.cancelled, "told to stop before anything was moved")) }
        return Planned(plans: plans, observed: observed, withoutWindows: withoutWindows)
    }

    private func observations(for decisions: [Decision]) async -> [HostName: HostObservation] {
        let wanted = Set(
            decisions.flatMap { decision in
                let throughNova = decision.hostsThroughNova(policy.fleet, policy.defaults)
                return decision.placements.filter { $0.mode == .enforce && !throughNova.contains($0.host) }.map(\.host)
            })
        return await HostObserver(hosts: hosts, forks: limits.forks).observe(policy.fleet.hosts.filter { wanted.contains($0.name) })
    }

    private func decisions(on images: [ImageFacts], _ targets: Targets) async throws(Refusal) -> [Decision] {
        let decisions =
            switch targets {
            case .everyHost: images.map { RuleSet.byHand($0, fleet: policy.fleet) }
            case .rules: try await choice.decisions(on: images)
            }
        return decisions.map { $0.delivered(via) }
    }

    private static func asIfEmpty(_ hosts: [ForecacheModel.Host]) -> [HostName: HostObservation] {
        let now = Date()
        // Nobody asked which tools are there: what is missing, `doctor` and a plan that asks say.
        let empty = hosts.map { HostSurvey(host: $0.name, surveyedAt: now, tools: ["curl", "qemu-img", "sftp", "sha256sum", "sha512sum"]) }
        return Dictionary(empty.map { ($0.host, .surveyed($0)) }) { first, _ in first }
    }

    /// The proxies of these plans that have no address of the peers' network, each with the remedy.
    public func withoutPeerAddress(_ plans: [Plan]) -> [String] {
        let proxies = Set(plans.flatMap(\.copySources)).compactMap { policy.fleet.host($0) }.filter { $0.peerAddress == nil }
        return proxies.sorted { $0.name < $1.name }.map { host in
            """
            proxy host \(host.name) has no variable '\(peerNetwork)_ip' in \(host.file), so the others of site \(host.site) cannot copy from it; add it, name \
            the network with `peer: { network: … }` or tripleo_nova_image_cache_proxy_network, or use --via direct
            """
        }
    }

    /// Executes plans, `imagesAtOnce` side by side; hosts at once are bounded by the plans' and the program's forks. When the task is cancelled, transfers end
    /// with nothing but a temporary left behind, and what was not done is `skipped`.
    public func execute(_ plans: [Plan], report: @escaping @Sendable (ExecutionReport) -> Void) async -> [Outcome] {
        let executor = PlanExecutor(
            hosts: hosts, catalog: choice.catalog, nova: nova, forks: Forks(limits.forks), imagesPerSite: limits.imagesPerSite,
            clock: WallClock(), logger: logger)
        let atOnce = Forks(limits.imagesAtOnce)
        let outcomes = await withTaskGroup(of: [Outcome].self) { group in
            for plan in plans {
                group.addTask {
                    // Cancelled while waiting: every step of the plan was skipped.
                    let outcomes = try? await atOnce.run(priority: plan.sites.map(\.priority).max() ?? 0) { () async throws(Failure) in
                        await executor.execute(plan, fleet: policy.fleet, report: { report($0.withStops) })
                    }
                    return outcomes ?? plan.steps(where: { _ in true }, skippedFor: Outcome.stopReason)
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        return outcomes.map(\.withStops)
    }
}

extension Plan {
    /// Only the touches: what `refresh` does. Hosts without the base file are left alone; `leftAlone` says so.
    public var touchesOnly: Plan {
        var plan = self
        for site in plan.sites.indices { plan.sites[site].steps.removeAll(where: \.needsBytes) }
        return plan
    }

    /// An outcome for every host that `touchesOnly` passes over.
    public var leftAlone: [Outcome] {
        steps(
            where: \.needsBytes, skippedFor: "no base file there; 'forecache cache' brings it",
            throughNova: "only Nova knows what lies there; 'forecache cache' has it touch that, or fetch it")
    }

    fileprivate func steps(where isConcerned: (Step) -> Bool, skippedFor reason: String, throughNova: String? = nil) -> [Outcome] {
        sites.flatMap { site in
            let reason = site.via == .novaAPI ? throughNova ?? reason : reason
            return site.steps.filter(isConcerned).map {
                Outcome(image: image.id, site: site.site, host: $0.host, kind: .skipped, reason: reason)
            }
        }
    }

    fileprivate var waitsForWindow: Bool { steps.contains(where: \.waitsForWindow) }

    /// Whether something is left to Nova.
    public var asksNova: Bool { sites.contains { $0.via == .novaAPI && !$0.steps.allSatisfy(\.isAtRest) } }

    fileprivate var copySources: [HostName] {
        steps.compactMap {
            switch $0.action {
            case .copy(let source, _): source
            // The planner gives nobody's place to a host without such an address.
            case .fetch, .relay, .touch, .none: nil
            }
        }
    }
}

extension Step {
    fileprivate var waitsForWindow: Bool { if case .none(.waiting) = action { true } else { false } }
    /// Now, or when the window opens.
    fileprivate var needsBytes: Bool { movesBytes || waitsForWindow }
}

extension Decision {
    fileprivate func delivered(_ via: [SiteName: Via]) -> Decision {
        var decision = self
        for (index, placement) in placements.enumerated() {
            if let via = via[placement.site] { decision.placements[index].deliver.via = via }
        }
        return decision
    }
}

extension Outcome {
    fileprivate static let stopReason = "told to stop; run it again, it goes on where it stopped"

    /// Stopping is no failure of the host.
    fileprivate var withStops: Outcome {
        guard failure == .cancelled else { return self }
        var outcome = self
        (outcome.kind, outcome.failure, outcome.reason) = (.skipped, nil, Self.stopReason)
        return outcome
    }
}

extension ExecutionReport {
    fileprivate var withStops: ExecutionReport {
        if case .ended(let outcome) = self { .ended(outcome.withStops) } else { self }
    }
}
