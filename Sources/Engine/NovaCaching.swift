public import ForecacheModel
import FoundationEssentials
public import Logging
import Notifications
import Planning

/// `via: nova-api`: Nova brings the image to a whole aggregate by itself, and tells how each host ended in its notifications. No SSH is needed.
///
/// One image a request, one request at a time on an aggregate: Nova's `precache_concurrency` bounds each request alone, and Nova 26 refuses some requests for
/// several images ("Duplicate images"). To ask again is to refresh: libvirt's `cache_image` touches a base file that is there.
public struct NovaCaching<C: Clock>: Sendable where C.Instant == WallInstant {
    private let nova: any ImagePreCaching
    private let reports: NovaReports
    private let limits: Limits
    private let clock: C
    private let logger: Logger
    private let turns = ForksByKey<String>()

    public init(nova: any ImagePreCaching, reports: NovaReports, limits: Limits, clock: C, logger: Logger) {
        self.nova = nova
        self.reports = reports
        self.limits = limits
        self.clock = clock
        self.logger = logger
    }

    static var notConfigured: String {
        "via nova-api hears of each host through Nova's notifications, and the configuration has no 'notifications'; add them with oslo's transport_url"
    }

    /// One outcome a step; `settle` is awaited with each as soon as it is known. `wanted`: all hosts that are to have the image, whatever their steps say.
    func cache(
        _ site: SitePlan, of image: ImageFacts, wanted: Set<HostName>, fleet: Fleet, inLine: InLine = { _ in },
        settle: @escaping @Sendable (Outcome) async -> Void
    ) async -> [Outcome] {
        let verdicts = Verdicts(site: site, image: image.id, began: clock.now.date, settle: settle)
        do throws(Failure) {
            let aggregate = try await aggregate(of: site.site, fleet)
            let hosts = AggregateHosts(aggregate, wanted: site.steps.map(\.host))
            try check(hosts.others, of: aggregate, image: image.id, wanted: wanted, fleet)
            for host in hosts.absent { await verdicts.fail(host, absent(host, aggregate), at: clock.now.date) }
            if !hosts.names.isEmpty {
                let line = await turns.forks(of: aggregate.uuid, count: 1)
                try await line.run(priority: site.priority, inLine: inLine) { () async throws(Failure) in
                    try await ask(aggregate, for: image.id, hosts.names, verdicts)
                }
            }
        } catch {
            await verdicts.failRest(error, at: clock.now.date)
        }
        return await verdicts.outcomes
    }

    private func aggregate(of site: SiteName, _ fleet: Fleet) async throws(Failure) -> HostAggregate {
        try await nova.aggregate(named: fleet.site(site)?.settings.aggregate ?? site.rawValue)
    }

    /// Nova brings the image to every host of the aggregate: those of the inventory that are not to have it must not be among them.
    private func check(
        _ others: [String], of aggregate: HostAggregate, image: ImageID, wanted: Set<HostName>, _ fleet: Fleet
    ) throws(Failure) {
        let known = others.filter { other in
            fleet.hosts.contains { AggregateHosts.isSame($0.name.rawValue, other) && !wanted.contains($0.name) }
        }
        guard known.isEmpty else {
            let what = "aggregate '\(aggregate.name)' also has \(Self.list(known)), which are not to have image \(image)"
            throw Failure(
                .permanent,
                "\(what), and Nova cannot leave them out; name an aggregate without them (`aggregate:` of the site), or use another `via`")
        }
        let strangers = others.filter { other in !wanted.contains { AggregateHosts.isSame($0.rawValue, other) } }
        guard !strangers.isEmpty else { return }
        logger.warning(
            "Nova caches on hosts that are not selected here, too",
            metadata: ["aggregate": "\(aggregate.name)", "image": "\(image)", "hosts": "\(Self.list(strangers))"])
    }

    private func absent(_ host: HostName, _ aggregate: HostAggregate) -> Failure {
        let what = "host \(host) is not in Nova's aggregate '\(aggregate.name)' (it has \(Self.list(aggregate.hosts)))"
        return Failure(.permanent, "\(what); add it there, or name the right aggregate with `aggregate:` of the site")
    }

    private static func list(_ names: [String]) -> String {
        let shown = names.sorted().prefix(10).map(\.printable).joined(separator: ", ")
        return names.isEmpty ? "no hosts" : names.count > 10 ? "\(shown) and \(names.count - 10) more" : shown
    }

    // MARK: - One request

    private func ask(_ aggregate: HostAggregate, for image: ImageID, _ hosts: [String: HostName], _ verdicts: Verdicts)
        async throws(Failure)
    {
        try await reports.listening(to: aggregate.uuid) { inbox throws(Failure) in
            try await untilListening(inbox)
            let askedAt = clock.now.date
            await verdicts.asked(at: askedAt)
            let request = try await nova.cache(image, in: aggregate)
            logger.info(
                "Nova was asked", metadata: ["image": "\(image)", "aggregate": "\(aggregate.name)", "request": "\(request ?? "unknown")"])
            var round = NovaRound(image: image, hosts: hosts, request: request)
            var deadline = moment(in: limits.precacheSilenceSeconds)
            while !round.isOver {
                let news = try await next(inbox, until: &deadline)
                guard !news.isEmpty else { throw silence(aggregate) }
                for case .report(let report) in news {
                    let heard = round.heard(report)
                    await verdicts.record(heard, at: clock.now.date)
                    // What others ask of the aggregate gives nobody more time.
                    if !heard.isEmpty { deadline = moment(in: limits.precacheSilenceSeconds) }
                }
                // What was heard before is the truth all the same.
                for case .deaf(let failure) in news where !round.isOver { throw deaf(failure, "how Nova ended is not known") }
            }
            if round.isEnded { await verdicts.failRest(noAnswer(aggregate), at: clock.now.date) }
        }
    }

    private func untilListening(_ inbox: NovaInbox) async throws(Failure) {
        var deadline = moment(in: limits.commandSeconds)
        while clock.now < deadline, !Task.isCancelled {
            deadline = min(deadline, moment(in: limits.commandSeconds))
            let lastWord = inbox.take().last { if case .report = $0 { false } else { true } }
            if case .deaf(let failure) = lastWord { throw deaf(failure, "Nova was not asked") }
            if lastWord != nil { return }
            await inbox.wakeup.sleep(until: deadline, clock: clock)
        }
        try stopIfCancelled("before Nova was asked")
        throw Failure(
            .retriable,
            "no subscription to Nova's notifications within \(limits.commandSeconds) s, so Nova was not asked; is the broker up?")
    }

    /// What came about the aggregate; empty where the deadline passed.
    private func next(_ inbox: NovaInbox, until deadline: inout WallInstant) async throws(Failure) -> [NovaInbox.News] {
        while clock.now < deadline {
            deadline = min(deadline, moment(in: limits.precacheSilenceSeconds))
            try stopIfCancelled("while Nova worked; it goes on by itself")
            let news = inbox.take()
            if !news.isEmpty { return news }
            await inbox.wakeup.sleep(until: deadline, clock: clock)
        }
        return []
    }

    /// No deadline is later than this: were the clock set back by hours, a silent host would hold its aggregate's turn for as long.
    private func moment(in seconds: Int) -> WallInstant { clock.now.advanced(by: .seconds(seconds)) }

    private func stopIfCancelled(_ when: String) throws(Failure) {
        if Task.isCancelled { throw Failure(.cancelled, "told to stop \(when)") }
    }

    private func deaf(_ failure: Failure, _ effect: String) -> Failure {
        let what = "Nova's notifications cannot be heard, so \(effect)"
        return Failure(failure.kind, "\(what); it is asked again in the next round", cause: failure.description)
    }

    private func silence(_ aggregate: HostAggregate) -> Failure {
        let what = "Nova took the request for aggregate '\(aggregate.name)'"
        let seconds = limits.precacheSilenceSeconds
        return Failure(
            .retriable,
            "\(what), and this host did not report within \(seconds) s; is its nova-compute up, and is notification_format `versioned` or `both` in Nova's [notifications]?"
        )
    }

    private func noAnswer(_ aggregate: HostAggregate) -> Failure {
        let what = "Nova ended the request for aggregate '\(aggregate.name)' without a word of this host"
        return Failure(.retriable, "\(what): its nova-compute did not answer; see its log")
    }
}

/// What is known so far of the steps of one request.
private actor Verdicts {
    private let site: SitePlan
    private let image: ImageID
    private let began: Date
    private let settle: @Sendable (Outcome) async -> Void
    private var open: [HostName: Step]
    private var askedAt: Date?
    private(set) var outcomes: [Outcome] = []

    init(site: SitePlan, image: ImageID, began: Date, settle: @escaping @Sendable (Outcome) async -> Void) {
        self.site = site
        self.image = image
        self.began = began
        self.settle = settle
        open = Dictionary(site.steps.map { ($0.host, $0) }) { first, _ in first }
    }

    func asked(at moment: Date) { askedAt = moment }

    func record(_ verdicts: [(HostName, NovaRound.Verdict)], at now: Date) async {
        for (host, verdict) in verdicts {
            switch verdict {
            case .cached:
                await end(host, at: now) { step, outcome in
                    // Nova's word is the same for both; what was known to be there was touched.
                    if step.action != .touch { (outcome.kind, outcome.source, outcome.reason) = (.cached, "nova", Self.novasWord) }
                    // Its mtime is not older than that.
                    outcome.touchedAt = askedAt
                }
            case .failed: await fail(host, refused(host), at: now)
            }
        }
    }

    func fail(_ host: HostName, _ failure: Failure, at now: Date) async {
        await end(host, at: now) { _, outcome in
            (outcome.kind, outcome.reason, outcome.failure) = (.failed, failure.description, failure.kind)
        }
    }

    func failRest(_ failure: Failure, at now: Date) async {
        for host in open.keys.sorted() { await fail(host, failure, at: now) }
    }

    private func end(_ host: HostName, at now: Date, _ describe: (Step, inout Outcome) -> Void) async {
        guard let step = open.removeValue(forKey: host) else { return }
        var outcome = Outcome(
            image: image, site: site.site, host: host, kind: .existing, via: .novaAPI, seconds: now.timeIntervalSince(began))
        describe(step, &outcome)
        outcomes.append(outcome)
        await settle(outcome)
    }

    private static let novasWord = "Nova reports it there: fetched now, or touched where it was"

    private func refused(_ host: HostName) -> Failure {
        let why = "nova-compute there is down, may not read the image, has no image cache, or met an error; its log says which"
        return Failure(.retriable, "Nova could not cache image \(image) on host \(host)", cause: why)
    }
}
