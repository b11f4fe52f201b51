public import ForecacheModel
import FoundationEssentials
public import Logging
public import Planning

/// Does what a plan says, host by host, and tells how each ended. It makes no choices: fallbacks, order and forks are in the plan.
public struct PlanExecutor<C: Clock>: Sendable where C.Instant == WallInstant {
    let hosts: any HostOperations
    let catalog: any ImageCatalog
    /// Nil where Nova's notifications are not configured: then nobody would hear how it ends.
    private let nova: NovaCaching<C>?
    let forks: Forks
    private let siteForks = ForksByKey<SiteName>()
    /// Copies at once from each proxy.
    private let copies = ForksByKey<HostName>()
    /// One transfer at a time on a host: each checks the free space before it begins, and two at once would count the same bytes twice.
    let transfers = ForksByKey<HostName>()
    /// Images whose bytes go to a site at once.
    private let images = ForksByKey<SiteName>()
    private let imagesPerSite: Int
    /// Downloads of a site that has a rate limit: one at a time, each at the whole rate, which keeps the sum exact.
    private let downloads = ForksByKey<SiteName>()
    let clock: C
    let logger: Logger

    public init(
        hosts: any HostOperations, catalog: any ImageCatalog, nova: NovaCaching<C>? = nil, forks: Forks,
        imagesPerSite: Int, clock: C, logger: Logger
    ) {
        self.hosts = hosts
        self.catalog = catalog
        self.nova = nova
        self.forks = forks
        self.imagesPerSite = imagesPerSite
        self.clock = clock
        self.logger = logger
    }

    public typealias Report = @Sendable (ExecutionReport) -> Void

    /// Who hears of an execution.
    struct Listener: Sendable {
        let report: Report
        let settled: @Sendable (Outcome) async -> Void

        func ended(_ outcome: Outcome) async {
            await settled(outcome)
            report(.ended(outcome))
        }
    }

    /// One outcome a step, those of `Plan.outcomesAtRest` first. `report` hears of each start, progress and outcome as it happens; `settled` is awaited with the
    /// outcome of each other step as it ends, so that it is on disk even if the process dies before the plan ends; `waits` is told true whenever all that is left
    /// waits for the turns of its sites, and false when that is over.
    public func execute(
        _ plan: Plan, fleet: Fleet, report: @escaping Report = { _ in }, settled: @escaping @Sendable (Outcome) async -> Void = { _ in },
        waits: @escaping @Sendable (Bool) async -> Void = { _ in }
    ) async -> [Outcome] {
        let (resting, sites) = (plan.outcomesAtRest(fleet), plan.sitesAtWork)
        for outcome in resting { report(.ended(outcome)) }
        let (turns, listener) = (SiteTurns(sites: sites.count, tell: waits), Listener(report: report, settled: settled))
        return await withTaskGroup(of: [Outcome].self) { group in
            for site in sites {
                group.addTask {
                    let inLine: InLine = { await turns.stands($0) }
                    let outcomes =
                        site.via == .novaAPI
                        ? await throughNova(site, of: plan, fleet: fleet, inLine, listener)
                        : await inTurn(site, of: plan.image, beside: resting, fleet: fleet, inLine, listener)
                    await turns.ended()
                    return outcomes
                }
            }
            return await group.reduce(into: resting) { $0 += $1 }
        }
    }

    /// What Nova is to do is one request for all hosts of the site; it has bounds of its own.
    private func throughNova(
        _ site: SitePlan, of plan: Plan, fleet: Fleet, _ inLine: @escaping InLine, _ listener: Listener
    ) async -> [Outcome] {
        for step in site.steps { listener.report(.started(image: plan.image.id, host: step.host)) }
        if let nova {
            return await nova.cache(site, of: plan.image, wanted: plan.wanted, fleet: fleet, inLine: inLine, settle: listener.ended)
        }
        let deaf = site.steps.map {
            StepWork(image: plan.image, site: site, step: $0, fleet: fleet)
                .outcome(.failed, reason: NovaCaching<C>.notConfigured, failure: .permanent)
        }
        for outcome in deaf { await listener.ended(outcome) }
        return deaf
    }

    /// An image whose bytes go to the site waits for its turn there, higher priority first; touches move nothing and wait for nobody.
    private func inTurn(
        _ site: SitePlan, of image: ImageFacts, beside resting: [Outcome], fleet: Fleet, _ inLine: @escaping InLine, _ listener: Listener
    ) async -> [Outcome] {
        guard site.movesBytes else { return await execute(site, of: image, beside: resting, fleet: fleet, listener) }
        do throws(Failure) {
            let line = await images.forks(of: site.site, count: imagesPerSite)
            return try await line.run(priority: site.priority, inLine: inLine) { () async throws(Failure) in
                await execute(site, of: image, beside: resting, fleet: fleet, listener)
            }
        } catch {
            // Told to stop before its turn: each step says so by itself.
            return await execute(site, of: image, beside: resting, fleet: fleet, listener)
        }
    }

    /// `resting`: hosts of this site, and of others, that have their bytes or will not get them.
    func execute(
        _ site: SitePlan, of image: ImageFacts, beside resting: [Outcome] = [], fleet: Fleet, _ listener: Listener
    ) async -> [Outcome] {
        if site.isRelayed, image.sizeBytes != nil, image.digest != nil {
            return await relay(site, of: image, fleet: fleet, listener)
        }
        let arrivals = Arrivals(resting)
        let atSite = await forks(ofSite: site)
        let works = site.steps.map { StepWork(image: image, site: site, step: $0, fleet: fleet) }
        let outcomes = await withTaskGroup(of: Outcome.self) { group in
            for work in works {
                group.addTask {
                    let outcome = await run(work, arrivals: arrivals, atSite: atSite, report: listener.report)
                    await arrivals.settle(outcome)
                    await listener.ended(outcome)
                    return outcome
                }
            }
            return await group.reduce(into: [Outcome]()) { $0.append($1) }
        }
        await release(works, after: outcomes)
        return outcomes
    }

    func forks(ofSite site: SitePlan) async -> Forks { await siteForks.forks(of: site.site, count: site.forks) }

    /// What a converting host kept for the others is not needed once all of them have ended; one that failed goes on from it. Where this fails, the
    /// sweep takes it.
    func release(_ works: [StepWork], after outcomes: [Outcome]) async {
        let done = Set(outcomes.filter(\.hasBytes).map(\.host))
        await withTaskGroup(of: Void.self) { group in
            for work in works where work.keepsOriginal && done.contains(work.step.host) {
                group.addTask {
                    do throws(Failure) {
                        try await hosts.release(try work.request(), on: try work.host)
                    } catch {
                        logger.info("the image's bytes stay on the host until the next sweep", metadata: work.metadata(reason: error))
                    }
                }
            }
        }
    }

    private func run(_ work: StepWork, arrivals: Arrivals, atSite: Forks, report: @escaping Report) async -> Outcome {
        let started = clock.now
        do throws(Failure) {
            switch work.step.action {
            case .none(let rest): return work.outcome(at: rest)
            case .touch:
                return try await inFork(work, atSite, report) { host throws(Failure) in try await touch(work, on: host) }
            case .fetch:
                return try await transfer(work, atSite, report) { host throws(Failure) in try await fetch(work, on: host, report: report) }
            case .relay:
                throw Failure(.retriable, "Glance has no size or digest of image \(work.image.id) yet, so its bytes cannot be relayed")
            case .copy(let source, let fallsBack):
                let hasSource = await arrivals.hasBytes(source)
                if !hasSource, await arrivals.waits(source) { return work.outcome(waitingFrom: clock.now.date) }
                guard hasSource || fallsBack else { throw Failure(.retriable, "proxy \(source) did not get image \(work.image.id)") }
                let atSource = hasSource ? await copies.forks(of: source, count: work.site.copiesAtOnce) : nil
                return try await transfer(work, atSite, report, copies: atSource) { host throws(Failure) in
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
        let priority = work.step.priority
        return try await transfers.forks(of: work.step.host, count: 1).run(priority: priority) { () async throws(Failure) in
            guard let copies else { return try await inFork(work, atSite, report, body) }
            return try await copies.run(priority: priority) { () async throws(Failure) in try await inFork(work, atSite, report, body) }
        }
    }

    /// The site's forks first, then the forks in all: a full site must not hold places that other sites could use.
    private func inFork(
        _ work: StepWork, _ atSite: Forks, _ report: @escaping Report, _ body: @escaping @Sendable (Host) async throws(Failure) -> Outcome
    ) async throws(Failure) -> Outcome {
        let host = try work.host
        let started = clock.now
        let priority = work.step.priority
        var outcome = try await atSite.run(priority: priority) { () async throws(Failure) in
            try await forks.run(priority: priority) { () async throws(Failure) in
                report(.started(image: work.image.id, host: host.name))
                return try await body(host)
            }
        }
        outcome.seconds = started.duration(to: clock.now).seconds
        return outcome
    }

    func touch(_ work: StepWork, on host: Host) async throws(Failure) -> Outcome {
        let name = BaseFileName(of: work.image.id)
        guard case .touched = try await hosts.touch([name], on: host)[name] ?? .missing else {
            throw Failure(
                .retriable, "base file \(name) went away on \(host.name) between survey and touch; it is fetched in the next round")
        }
        return work.outcome(.existing, touchedAt: clock.now.date)
    }

    private func fetch(_ work: StepWork, on host: Host, report: @escaping Report) async throws(Failure) -> Outcome {
        let request = try work.request()
        guard let transfer = try await download(work, request, on: host, progress: work.progress(from: "glance", report)) else {
            return work.outcome(waitingFrom: clock.now.date)
        }
        return try await settle(work, request, transfer, from: "glance", on: host)
    }

    /// Bytes from Glance, which the host asks for itself or gets through the controller; nil where the site's window closed first. Where the site has a rate limit, others
    /// may come first.
    func download(
        _ work: StepWork, _ request: BaseFileRequest, on host: Host, progress: @escaping Progress,
        inLine: @escaping InLine = { _ in }
    ) async throws(Failure) -> Transfer? {
        try await work.site.deliver.window.whileOpen(clock) { () async throws(Failure) in
            try await limited(work, inLine) { () async throws(Failure) in
                switch work.site.deliver.source ?? .glance {
                case .glance:
                    return try await fetch(work, request, on: host, progress: progress)
                case .controller:
                    let source: ByteSource = { range throws(Failure) in try await catalog.bytes(of: work.image.id, in: range) }
                    return try await hosts.receive(request, from: source, on: host, progress: progress)
                }
            }
        }
    }

    /// A token may end on the way, and a site's Glance may know of it before the one that we ask: another one goes on at the byte reached.
    private func fetch(
        _ work: StepWork, _ request: BaseFileRequest, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        let (image, endpoint) = (work.image.id, work.site.glance)
        let grant = try await catalog.download(of: image, endpoint: endpoint, refused: nil)
        do throws(Failure) {
            return try await hosts.fetch(request, with: grant, on: host, progress: progress)
        } catch {
            guard error.about == .token else { throw error }
            logger.info("token refused, renewing", metadata: work.metadata(reason: error))
            let next = try await catalog.download(of: image, endpoint: endpoint, refused: grant.token)
            return try await hosts.fetch(request, with: next, on: host, progress: progress)
        }
    }

    /// Whoever holds this line waits for nothing else, so that two lines can never wait for each other.
    private func limited<Result: Sendable>(
        _ work: StepWork, _ inLine: @escaping InLine, _ body: @escaping @Sendable () async throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        guard work.site.deliver.rateLimit != nil else { return try await body() }
        return try await downloads.forks(of: work.site.site, count: 1).run(priority: work.step.priority, inLine: inLine, body)
    }

    private func copyOrFetch(
        _ work: StepWork, from source: HostName, fallsBack: Bool, on host: Host, report: @escaping Report
    ) async throws(Failure) -> Outcome {
        let (request, peer) = (try work.request(), try work.fleet.listed(source))
        do throws(Failure) {
            let transfer = try await hosts.copy(request, from: peer, on: host, progress: work.progress(from: source.rawValue, report))
            return try await settle(work, request, transfer, from: source.rawValue, on: host)
        } catch {
            guard fallsBack, error.kind != .cancelled else { throw error }
            logger.warning("copy falls back to Glance", metadata: work.metadata(reason: error))
            return try await fetch(work, on: host, report: report)
        }
    }

    private func settle(
        _ work: StepWork, _ request: BaseFileRequest, _ transfer: Transfer, from source: String, on host: Host
    ) async throws(Failure) -> Outcome {
        if transfer.isExisting { return try await touch(work, on: host) }
        var outcome = try await publish(work, request, on: host)
        outcome.source = source
        outcome.bytes = transfer.bytes
        return outcome
    }

    /// Verified bytes become the base file, provided that Glance still stands by the image.
    func publish(_ work: StepWork, _ request: BaseFileRequest, on host: Host) async throws(Failure) -> Outcome {
        guard let current = try await catalog.image(work.image.id), current.status == .active, current.digest == work.image.digest else {
            throw Failure(
                .permanent,
                "image \(work.image.id) was deleted, deactivated or replaced while host \(host.name) received it; nothing was published")
        }
        let wasThere = try await hosts.publish(request, on: host)
        var outcome = work.outcome(wasThere ? .existing : .cached, touchedAt: clock.now.date)
        outcome.digest = request.digest
        if request.digest.isWeak {
            outcome.reason = "verified with \(request.digest.algorithm.rawValue) only: Glance has no os_hash_value that can be checked"
        }
        return outcome
    }
}

/// What an execution tells while it goes on.
public enum ExecutionReport: Sendable {
    case started(image: ImageID, host: HostName)
    case progress(image: ImageID, host: HostName, source: String, bytes: Int64, of: Int64)
    case ended(Outcome)
}

/// Which hosts of a site have the bytes by now; copies wait here for their source.
private actor Arrivals {
    private var settled: [HostName: Outcome]
    private var waiting: [HostName: [CheckedContinuation<Bool, Never>]] = [:]

    init(_ outcomes: [Outcome]) { settled = Dictionary(outcomes.map { ($0.host, $0) }) { first, _ in first } }

    func settle(_ outcome: Outcome) {
        settled[outcome.host] = outcome
        for waiter in waiting.removeValue(forKey: outcome.host) ?? [] { waiter.resume(returning: outcome.hasBytes) }
    }

    /// Whether it has no bytes yet, and nothing failed.
    func waits(_ host: HostName) -> Bool { settled[host]?.againAt != nil }

    /// Every step settles, cancelled ones too, so nobody waits for ever.
    func hasBytes(_ host: HostName) async -> Bool {
        if let known = settled[host] { return known.hasBytes }
        return await withCheckedContinuation { waiting[host, default: []].append($0) }
    }
}

extension Outcome {
    fileprivate var hasBytes: Bool { kind == .cached || kind == .existing }
}
