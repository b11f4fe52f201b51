public import ForecacheModel
public import FoundationEssentials
public import Logging
public import Planning
import Rules

/// The one flow: look at the image, decide, look at the hosts, plan, do it, write it down.
public struct Reconciler<C: Clock>: Sendable where C.Instant == WallInstant {
    let catalog: any ImageCatalog
    let ledger: any Ledger
    let policy: CurrentPolicy
    let surveyor: Surveyor<C>
    let inspection: ImageInspection
    let rivals: RivalBook
    let executor: PlanExecutor<C>
    let counters: EngineCounters
    /// Images that are looked at and planned at once; those that are planned and on their way have lines of their own.
    let looks: Forks
    private let underWay = HostsUnderWay()
    let clock: C
    let logger: Logger

    public init(
        catalog: any ImageCatalog, ledger: any Ledger, policy: CurrentPolicy, surveyor: Surveyor<C>, executor: PlanExecutor<C>,
        counters: EngineCounters, looks: Forks, rivals: RivalBook,
        signatures: SignatureCheck? = nil, clock: C, logger: Logger
    ) {
        self.catalog = catalog
        self.ledger = ledger
        self.policy = policy
        self.surveyor = surveyor
        self.inspection = ImageInspection(catalog: catalog, signatures: signatures, looks: looks)
        self.rivals = rivals
        self.executor = executor
        self.counters = counters
        self.looks = looks
        self.clock = clock
        self.logger = logger
    }

    /// How a round ended.
    public enum End: Hashable, Sendable {
        /// Nothing is left to do until something changes.
        case settled
        /// Something failed that another round may mend; soon, or, where every failure is permanent, once somebody had time to act. `latest`: nil, or when it is tried
        /// again at the latest, since others wait for that.
        case again(reason: String, isPermanent: Bool, latest: Date? = nil)
        /// Nothing failed, but bytes wait: for a site's window, which opens then, or for those that are on their way to the site.
        case waiting(until: Date, reason: String)
        /// We were told to stop in the middle.
        case stopped
    }

    /// What whoever counts the rounds hears of one that goes on.
    public enum Stage: Sendable {
        /// The image may be looked at again: what this round is at work on is left to it.
        case planned
        /// All that is left of it stands in lines that other images stand in, and then does not.
        case waits(Bool)
    }

    public func reconcile(_ id: ImageID, cause: WorkCause, reached: @escaping @Sendable (Stage) async -> Void = { _ in }) async -> End {
        do throws(Failure) {
            while true {
                let policy = policy.value
                guard let draft = try await looks.run({ () async throws(Failure) in try await look(at: id, policy, cause) }) else {
                    return .settled
                }
                let looked = clock.now
                let plan = try await inspection.inspected(draft.plan) { await reached(.waits($0)) }
                // An image that was read as a whole for its signature has taken its time, and is known now.
                if plan.movesBytes, looked.duration(to: clock.now) > Self.lookLasts {
                    logger.info("looked at again, after a long look at its bytes", metadata: ["image": "\(id)"])
                    continue
                }
                try check(plan, policy.fleet, draft.observed)
                log(draft.decision, plan, cause)
                return end(after: try await execute(plan, policy.fleet, reached))
            }
        } catch {
            if error.kind == .cancelled { return .stopped }
            logger.warning("reconcile failed", metadata: ["image": "\(id)", "reason": "\(error)"])
            return .again(reason: error.description, isPermanent: error.kind == .permanent)
        }
    }

    /// What was seen longer ago is no ground to act on.
    private static var lookLasts: Duration { .seconds(300) }

    /// A plan whose image nobody has looked into yet.
    private struct Draft {
        let decision: Decision
        let observed: [HostName: HostObservation]
        let plan: Plan
    }

    /// Nil where the image is gone from Glance.
    private func look(at id: ImageID, _ policy: Policy, _ cause: WorkCause) async throws(Failure) -> Draft? {
        guard let facts = try await catalog.image(id) else {
            try await ledger.recordGone(id, at: clock.now.date)
            try await lookAgain(at: await rivals.forget(id))
            logger.info("image is gone from Glance", metadata: ["image": "\(id)"])
            return nil
        }
        let fleet = cause == .refresh ? try await inNeed(of: id, policy.fleet) : policy.fleet
        let decision = try await decide(facts, policy.rules, fleet)
        let left = underWay.of(id)
        let throughNova = decision.hostsThroughNova(fleet, policy.defaults).subtracting(left)
        let asked = enforcedHosts(decision, fleet).filter { !throughNova.contains($0.name) && !left.contains($0.name) }
        let observed = await surveyor.observations(of: asked, for: id).merging(try await told(id, throughNova)) { asked, _ in asked }
        if Task.isCancelled { throw Failure(.cancelled, "told to stop before image \(id) was planned") }
        let plan = Planner.plan(
            decision, fleet: fleet, observed: observed, defaults: policy.defaults, underWay: left, now: clock.now.date)
        // What is said of some sites is no word on the others; what changed about the image comes as an event or with the next resync. Before anything that can
        // fail: `status` tells what is wanted, and what no rule wants any longer is not touched any longer.
        if cause != .refresh { try await ledger.record(decision, ttlSeconds: plan.ttlByHost, at: clock.now.date) }
        return Draft(decision: decision, observed: observed, plan: plan)
    }

    /// A newer image puts an older one out of the newest few, and one that goes lets it in again: those are looked at next.
    private func decide(_ facts: ImageFacts, _ rules: RuleSet, _ fleet: Fleet) async throws(Failure) -> Decision {
        let now = clock.now.date
        let (rivals, changed) = try await rivals.note(facts, for: rules, at: now)
        try await lookAgain(at: changed)
        let began = rules.lasts ? try await ledger.matchesBegan(facts.id) : [:]
        return rules.decide(facts, fleet: fleet, now: now, among: rivals, since: began)
    }

    private func lookAgain(at images: Set<ImageID>) async throws(Failure) {
        if !images.isEmpty { try await ledger.request(images.sorted(), cause: .event, at: clock.now.date) }
    }

    /// A refresh found base files missing: the sites that miss one are decided on and planned. The others need not be asked, and nobody waits for those that are away.
    private func inNeed(of id: ImageID, _ fleet: Fleet) async throws(Failure) -> Fleet {
        let sites = try await ledger.sitesInNeed(of: id, at: clock.now.date)
        return Fleet(sites: fleet.sites.filter { sites.contains($0.name) })
    }

    /// Hosts that only dry-run rules want are not even logged in to.
    private func enforcedHosts(_ decision: Decision, _ fleet: Fleet) -> [Host] {
        decision.placements.filter { $0.mode == .enforce }.compactMap { fleet.host($0.host) }
    }

    /// What Nova said last of hosts that are not asked themselves.
    private func told(_ id: ImageID, _ hosts: Set<HostName>) async throws(Failure) -> [HostName: HostObservation] {
        guard !hosts.isEmpty else { return [:] }
        let now = clock.now.date
        var told = Dictionary(hosts.map { ($0, HostObservation.told(since: nil, isDue: false)) }) { first, _ in first }
        for record in try await ledger.placements(of: id) where hosts.contains(record.host) {
            // Past its TTL, Nova's janitor may have taken it; a touch fetches it again where it has.
            let isDue = record.refreshAt.map { $0 <= now } ?? true
            told[record.host] = .told(since: record.touchedAt, isDue: isDue || record.lastOutcome == .failed)
        }
        return told
    }

    private func check(_ plan: Plan, _ fleet: Fleet, _ observed: [HostName: HostObservation]) throws(Failure) {
        let violations = PlanCheck.violations(plan, fleet: fleet, observed: observed)
        guard violations.isEmpty else {
            throw Failure(
                .permanent, "plan of image \(plan.image.id) is not sound, nothing was done: \(violations.joined(separator: "; "))")
        }
    }

    private func execute(_ plan: Plan, _ fleet: Fleet, _ reached: @escaping @Sendable (Stage) async -> Void) async throws(Failure)
        -> [Outcome]
    {
        let busy = plan.steps.filter { !$0.isAtRest }.map(\.host)
        // What is left alone is one transaction, and no news.
        try await ledger.record(plan.outcomesAtRest(fleet), at: clock.now.date)
        if !busy.isEmpty { try await ledger.recordStarted(plan.image.id, on: busy, at: clock.now.date) }
        // Each of them ends in `settle`, and may be at work for another round from then on.
        underWay.begin(plan.image.id, on: busy)
        await reached(.planned)
        let notes = ProgressNotes()
        return await withTaskGroup { group in
            group.addTask { await notes.write(of: plan.image.id, to: ledger, clock: clock, logger: logger) }
            defer { notes.end() }
            return await executor.execute(
                plan, fleet: fleet,
                report: {
                    counters.report($0)
                    notes.take($0)
                }, settled: { await settle($0, of: plan) }, waits: { await reached(.waits($0)) })
        }
    }

    private func settle(_ ended: Outcome, of plan: Plan) async {
        let image = plan.image
        var outcome = ended
        if outcome.failure == .cancelled {
            (outcome.kind, outcome.failure, outcome.reason) = (.skipped, nil, "told to stop; goes on at the next start")
        }
        counters.count(outcome)
        logger.log(level: outcome.kind == .failed ? .warning : .notice, "\(outcome.kind.rawValue)", metadata: outcome.metadata(image))
        if let touchedAt = outcome.touchedAt {
            // A base file that somebody else made is whatever they made of it.
            let bytes = outcome.kind == .cached ? plan.baseFileBytes(on: outcome.host) : nil
            await surveyor.note(BaseFileName(of: image.id), bytes: bytes, on: outcome.host, at: touchedAt)
        } else if outcome.kind == .failed {
            await surveyor.forget(outcome.host)
        }
        do throws(Failure) {
            try await ledger.record([outcome], at: clock.now.date)
        } catch {
            logger.error("outcome not recorded", metadata: outcome.metadata(image).merging(["reason": "\(error)"]) { $1 })
        }
        underWay.end(image.id, on: outcome.host)
    }

    private func end(after outcomes: [Outcome]) -> End {
        if Task.isCancelled { return .stopped }
        let failed = outcomes.filter { $0.kind == .failed }
        guard let first = failed.first else { return rest(after: outcomes) }
        let reason = "\(failed.count) of \(outcomes.count) hosts failed, first \(first.host): \(first.reason ?? "no reason given")"
        // Whoever waits is not to wait for the back-off of others, nor are those tried again without rest.
        let rested = clock.now.date.addingTimeInterval(Limits.longestRetrySeconds)
        let latest = outcomes.compactMap(\.againAt).min().map { max($0, rested) }
        return .again(reason: reason, isPermanent: failed.allSatisfy { $0.failure == .permanent }, latest: latest)
    }

    private func rest(after outcomes: [Outcome]) -> End {
        let waiting = outcomes.filter { $0.againAt != nil }
        guard let soonest = waiting.compactMap(\.againAt).min() else { return .settled }
        let first = "\(waiting[0].host): \(waiting[0].reason ?? "")"
        return .waiting(until: soonest, reason: "\(waiting.count) of \(outcomes.count) hosts wait, first \(first)")
    }

    private func log(_ decision: Decision, _ plan: Plan, _ cause: WorkCause) {
        for refusal in plan.refusals {
            let image: Logger.Metadata = ["image": "\(plan.image.id)", "name": "\(plan.image.name.printable)"]
            logger.warning("refused", metadata: image.merging(["reason": "\(refusal)"]) { $1 })
        }
        let metadata: Logger.Metadata = [
            "image": "\(decision.image.id)", "name": "\(decision.image.name.printable)", "cause": "\(cause.rawValue)",
            "rules": "\(Set(decision.placements.map(\.rule)).sorted().joined(separator: ","))",
        ]
        if let refusal = decision.refusal {
            logger.debug("left alone", metadata: metadata.merging(["reason": "\(refusal)"]) { $1 })
        } else if plan.steps.isEmpty {
            logger.debug("left alone", metadata: metadata.merging(["reason": "no rule wants it anywhere"]) { $1 })
        } else {
            logger.log(level: plan.isEmpty ? .debug : .notice, "decided", metadata: metadata.merging(["plan": "\(plan.summary)"]) { $1 })
        }
    }
}

extension Plan {
    /// Of hosts that could be asked: for the others the ledger keeps what it knew.
    var ttlByHost: [HostName: Int] {
        let asked = steps.filter {
            if case .none(.unreachable) = $0.action { false } else { true }
        }
        return Dictionary(asked.map { ($0.host, $0.ttlSeconds) }) { first, _ in first }
    }

    /// `dcn1 via direct: fetch dcn1-compute-0, dcn1-compute-1; …`
    public var summary: String {
        sites.map { site in
            let verbs = Dictionary(grouping: site.steps, by: \.verb).sorted { $0.key < $1.key }
            let parts = verbs.map { "\($0.key) \($0.value.map(\.host.rawValue).joined(separator: ", "))" }
            return "\(site.site) via \(site.via.rawValue): \(parts.joined(separator: "; "))"
        }.joined(separator: " | ")
    }
}

extension Step {
    /// The contract's word for the action.
    public var verb: String {
        switch action {
        case .fetch: "fetch"
        case .copy, .relay: "copy"
        case .touch: "touch"
        case .none: "none"
        }
    }
}

extension Outcome {
    fileprivate func metadata(_ facts: ImageFacts) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["image": "\(image)", "name": "\(facts.name.printable)", "site": "\(site)", "host": "\(host)"]
        if let via { metadata["via"] = "\(via.rawValue)" }
        if let source { metadata["source"] = "\(source)" }
        if kind == .cached { metadata["bytes"] = "\(bytes)" }
        if let digest { metadata["digest"] = "\(digest)" }
        if let reason { metadata["reason"] = "\(reason)" }
        return metadata
    }
}
