public import ForecacheModel
import FoundationEssentials
public import Logging
public import Planning

/// Does what a plan says, host by host, and tells how each ended. It makes no choices: fallbacks, order and forks are in the plan.
public struct PlanExecutor<C: Clock>: Sendable where C.Instant == WallInstant {
    private let hosts: any HostOperations
    private let catalog: any ImageCatalog
    private let forks: Forks
    private let siteForks = ForksByKey<SiteName>()
    /// One transfer at a time on a host: each checks the free space before it begins, and two at once would count the same bytes twice.
    private let transfers = ForksByKey<HostName>()
    private let clock: C
    private let logger: Logger

    public init(hosts: any HostOperations, catalog: any ImageCatalog, forks: Forks, clock: C, logger: Logger) {
        self.hosts = hosts
        self.catalog = catalog
        self.forks = forks
        self.clock = clock
        self.logger = logger
    }

    public typealias Report = @Sendable (ExecutionReport) -> Void

    /// One outcome a step. `report` hears of each start, progress and outcome as it happens; `settled` is awaited with the outcome
    /// of each step that was not at rest as it ends, so that it is on disk even if the process dies before the plan ends.
    public func execute(
        _ plan: Plan, fleet: Fleet, report: @escaping Report = { _ in }, settled: @escaping @Sendable (Outcome) async -> Void = { _ in }
    ) async -> [Outcome] {
        await withTaskGroup(of: [Outcome].self) { group in
            for site in plan.sites {
                group.addTask { await execute(site, of: plan.image, fleet: fleet, report: report, settled: settled) }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
    }

    private func execute(
        _ site: SitePlan, of image: ImageFacts, fleet: Fleet, report: @escaping Report, settled: @escaping @Sendable (Outcome) async -> Void
    ) async -> [Outcome] {
        let arrivals = Arrivals()
        let copies = Forks(site.copiesAtOnce)
        let atSite = await siteForks.forks(of: site.site, count: site.forks)
        return await withTaskGroup(of: Outcome.self) { group in
            for step in site.steps {
                group.addTask {
                    let work = StepWork(image: image, site: site, step: step, fleet: fleet)
                    let outcome = await run(work, arrivals: arrivals, copies: copies, atSite: atSite, report: report)
                    await arrivals.settle(step.host, hasBytes: outcome.kind == .cached || outcome.kind == .existing)
                    if !step.isAtRest { await settled(outcome) }
                    report(.ended(outcome))
                    return outcome
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    private func run(_ work: StepWork, arrivals: Arrivals, copies: Forks, atSite: Forks, report: @escaping Report) async -> Outcome {
        let started = clock.now
        do throws(Failure) {
            switch work.step.action {
            case .none(let rest): return work.outcome(at: rest)
            case .touch:
                return try await inFork(work, atSite, report) { host throws(Failure) in try await touch(work, on: host) }
            case .fetch:
                return try await transfer(work, atSite, report) { host throws(Failure) in try await fetch(work, on: host, report: report) }
            case .copy(let source, let fallsBack):
                let hasSource = await arrivals.hasBytes(source)
                guard hasSource || fallsBack else { throw Failure(.retriable, "proxy \(source) did not get image \(work.image.id)") }
                return try await transfer(work, atSite, report, copies: hasSource ? copies : nil) { host throws(Failure) in
                    guard hasSource else { return try await fetch(work, on: host, report: report) }
                    return try await copyOrFetch(work, from: source, fallsBack: fallsBack, on: host, report: report)
                }
            }
        } catch {
            return work.outcome(.failed, seconds: started.duration(to: clock.now).seconds, reason: error.description, failure: error.kind)
        }
    }

    /// A host's own turn first, so that whoever waits for it holds no place that another host could use.
    private func transfer(
        _ work: StepWork, _ atSite: Forks, _ report: @escaping Report, copies: Forks? = nil,
        _ body: @escaping @Sendable (Host) async throws(Failure) -> Outcome
    ) async throws(Failure) -> Outcome {
        try await transfers.forks(of: work.step.host, count: 1).run { () async throws(Failure) in
            guard let copies else { return try await inFork(work, atSite, report, body) }
            return try await copies.run { () async throws(Failure) in try await inFork(work, atSite, report, body) }
        }
    }

    /// The site's forks first, then the forks in all: a full site must not hold places that other sites could use.
    private func inFork(
        _ work: StepWork, _ atSite: Forks, _ report: @escaping Report, _ body: @escaping @Sendable (Host) async throws(Failure) -> Outcome
    ) async throws(Failure) -> Outcome {
        guard let host = work.host else { throw Failure(.permanent, "host \(work.step.host) is not in the inventory any longer") }
        let started = clock.now
        var outcome = try await atSite.run { () async throws(Failure) in
            try await forks.run { () async throws(Failure) in
                report(.started(image: work.image.id, host: host.name))
                return try await body(host)
            }
        }
        outcome.seconds = started.duration(to: clock.now).seconds
        return outcome
    }

    private func touch(_ work: StepWork, on host: Host) async throws(Failure) -> Outcome {
        let name = BaseFileName(of: work.image.id)
        guard case .touched = try await hosts.touch([name], on: host)[name] ?? .missing else {
            throw Failure(
                .retriable, "base file \(name) went away on \(host.name) between survey and touch; it is fetched in the next round")
        }
        return work.outcome(.existing, touchedAt: clock.now.date)
    }

    private func fetch(_ work: StepWork, on host: Host, report: @escaping Report) async throws(Failure) -> Outcome {
        let request = try work.request()
        let grant = try await catalog.download(of: work.image.id, endpoint: work.site.glance)
        let transfer = try await hosts.fetch(request, with: grant, on: host, progress: work.progress(from: "glance", report))
        return try await settle(work, request, transfer, from: "glance", on: host)
    }

    private func copyOrFetch(
        _ work: StepWork, from source: HostName, fallsBack: Bool, on host: Host, report: @escaping Report
    ) async throws(Failure) -> Outcome {
        let request = try work.request()
        guard let peer = work.fleet.host(source) else { throw Failure(.permanent, "proxy \(source) is not in the inventory any longer") }
        do throws(Failure) {
            let transfer = try await hosts.copy(request, from: peer, on: host, progress: work.progress(from: source.rawValue, report))
            return try await settle(work, request, transfer, from: source.rawValue, on: host)
        } catch {
            guard fallsBack, error.kind != .cancelled else { throw error }
            logger.warning("copy falls back to Glance", metadata: work.metadata(reason: error))
            return try await fetch(work, on: host, report: report)
        }
    }

    /// Verified bytes become the base file, provided that Glance still stands by the image.
    private func settle(
        _ work: StepWork, _ request: BaseFileRequest, _ transfer: Transfer, from source: String, on host: Host
    ) async throws(Failure) -> Outcome {
        if transfer.isExisting { return try await touch(work, on: host) }
        guard let current = try await catalog.image(work.image.id), current.status == .active, current.digest == work.image.digest else {
            throw Failure(
                .permanent,
                "image \(work.image.id) was deleted, deactivated or replaced while host \(host.name) received it; nothing was published")
        }
        let wasThere = try await hosts.publish(request, on: host)
        var outcome = work.outcome(wasThere ? .existing : .cached, touchedAt: clock.now.date)
        outcome.source = source
        outcome.bytes = transfer.bytes
        outcome.digest = request.digest
        if request.digest.isWeak { outcome.reason = "verified with \(request.digest.algorithm.rawValue) only: Glance has no os_hash_value" }
        return outcome
    }
}

/// What an execution tells while it goes on.
public enum ExecutionReport: Sendable {
    case started(image: ImageID, host: HostName)
    case progress(image: ImageID, host: HostName, source: String, bytes: Int64, of: Int64)
    case ended(Outcome)
}

/// One step with all that it needs to be done.
private struct StepWork: Sendable {
    let image: ImageFacts
    let site: SitePlan
    let step: Step
    let fleet: Fleet

    var host: Host? { fleet.host(step.host) }

    func request() throws(Failure) -> BaseFileRequest {
        guard let bytes = image.sizeBytes, let digest = image.digest else {
            throw Failure(.retriable, "Glance has no size or digest of image \(image.id) yet, so its bytes cannot be verified")
        }
        return BaseFileRequest(image: image.id, bytes: bytes, digest: digest, keepFreeBytes: site.keepFreeBytes)
    }

    func outcome(
        _ kind: OutcomeKind, seconds: Double = 0, reason: String? = nil, failure: Failure.Kind? = nil, touchedAt: Date? = nil
    ) -> Outcome {
        Outcome(
            image: image.id, site: site.site, host: step.host, kind: kind, via: site.via, seconds: seconds, reason: reason,
            failure: failure,
            touchedAt: touchedAt)
    }

    func outcome(at rest: Step.Rest) -> Outcome {
        switch rest {
        case .fresh(let since): outcome(.existing, touchedAt: since)
        case .dryRun: outcome(.skipped, reason: "rule \(step.rule) is in dry-run mode")
        case .unsupported(let reason): outcome(.unsupported, reason: reason)
        case .refused(let reason): outcome(.failed, reason: reason, failure: .permanent)
        case .unreachable(let reason): outcome(.failed, reason: reason, failure: .retriable)
        }
    }

    func progress(from source: String, _ report: @escaping @Sendable (ExecutionReport) -> Void) -> Progress {
        let (id, host, total) = (image.id, step.host, image.sizeBytes ?? 0)
        return { bytes in report(.progress(image: id, host: host, source: source, bytes: bytes, of: total)) }
    }

    func metadata(reason: Failure) -> Logger.Metadata {
        ["image": "\(image.id)", "site": "\(site.site)", "host": "\(step.host)", "reason": "\(reason)"]
    }
}

/// Which hosts of a site have the bytes by now; copies wait here for their source.
private actor Arrivals {
    private var settled: [HostName: Bool] = [:]
    private var waiting: [HostName: [CheckedContinuation<Bool, Never>]] = [:]

    func settle(_ host: HostName, hasBytes: Bool) {
        settled[host] = hasBytes
        for waiter in waiting.removeValue(forKey: host) ?? [] { waiter.resume(returning: hasBytes) }
    }

    /// Every step settles, cancelled ones too, so nobody waits for ever.
    func hasBytes(_ host: HostName) async -> Bool {
        if let known = settled[host] { return known }
        return await withCheckedContinuation { waiting[host, default: []].append($0) }
    }
}

/// The forks of each site or host, shared by all plans that run at once; a changed number counts from the next plan on.
private actor ForksByKey<Key: Hashable & Sendable> {
    private var known: [Key: (count: Int, forks: Forks)] = [:]

    func forks(of key: Key, count: Int) -> Forks {
        if let known = known[key], known.count == count { return known.forks }
        let forks = Forks(count)
        known[key] = (count, forks)
        return forks
    }
}
