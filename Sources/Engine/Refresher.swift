public import ForecacheModel
import FoundationEssentials
public import Logging
import Planning

/// Touches base files ahead of their TTL, for ever. A host that has something due is logged in to once for all that is due there or soon will be; `RefreshLine` says
/// which host is next. It has places of its own: what keeps images alive must not stand in line behind surveys of hosts that are away.
public actor Refresher<C: Clock> where C.Instant == WallInstant {
    private let hosts: any HostOperations
    private let ledger: any Ledger
    private let policy: CurrentPolicy
    private let surveyor: Surveyor<C>
    private let counters: EngineCounters
    private let limits: Limits
    private let clock: C
    private let logger: Logger
    private let workWakeup: Wakeup
    private let wakeup = Wakeup()
    private var line: RefreshLine
    /// What the line holds is as the ledger had it until then.
    private var lineIsGoodUntil: WallInstant?
    /// Hosts whose due placements are Nova's and became work, and when.
    private var handedOver: [HostName: WallInstant] = [:]
    /// Their images whose work was brought forward: when, and for how many seconds it is left to its own back-off after that.
    private var broughtForward: [ImageID: (at: WallInstant, seconds: Double)] = [:]
    /// The ledger failed: the loop ends, and with it the process.
    private var hasFailed = false

    public init(
        hosts: any HostOperations, ledger: any Ledger, policy: CurrentPolicy, surveyor: Surveyor<C>, counters: EngineCounters,
        limits: Limits, clock: C, logger: Logger, workWakeup: Wakeup
    ) {
        self.hosts = hosts
        self.ledger = ledger
        self.policy = policy
        self.surveyor = surveyor
        self.counters = counters
        self.limits = limits
        self.clock = clock
        self.logger = logger
        self.workWakeup = workWakeup
        line = RefreshLine(places: limits.forks)
    }

    /// How a host's refresh ended.
    public struct Refreshed: Hashable, Sendable {
        /// Their age is 0 now.
        public var touched: [ImageID] = []
        /// Not there any longer: they became work.
        public var missing: [ImageID] = []
        /// The host could not be asked.
        public var failure: Failure?
    }

    /// Runs until cancelled; throws where the ledger fails.
    public func run() async throws(Failure) {
        do {
            try await withThrowingDiscardingTaskGroup { group in
                while !Task.isCancelled, !hasFailed {
                    try await look()
                    while let host = line.next() { group.addTask { try await self.serve(host) } }
                    await wakeup.sleep(until: try await nextLook(), clock: clock)
                }
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.fatal, "refresh ended", cause: "\(error)")
        }
    }

    /// Touches now what is due on one host, or will be soon.
    public func refresh(_ name: HostName) async throws(Failure) -> Refreshed {
        let due = try await handOver(ledger.dueRefreshes(on: name, at: clock.now.date, limit: limits.touchesPerCommand), on: name)
        guard !due.isEmpty else { return Refreshed() }
        let answers: [BaseFileName: Touch]
        do throws(Failure) {
            answers = try await hosts.touch(due.map(\.baseFile), on: try policy.value.fleet.listed(name))
        } catch {
            try await postpone(due, on: name, error)
            return Refreshed(failure: error)
        }
        var refreshed = Refreshed()
        for placement in due {
            let isThere = if case .touched? = answers[placement.baseFile] { true } else { false }
            if isThere { refreshed.touched.append(placement.image) } else { refreshed.missing.append(placement.image) }
        }
        try await settle(refreshed, on: name)
        if let host = policy.value.fleet.host(name) { await surveyor.heard(from: host) }
        return refreshed
    }

    /// What Nova keeps alive is asked of Nova, for a whole site at once: that is the work loop's. Leaves what is touched here.
    private func handOver(_ due: [DueRefresh], on name: HostName) async throws(Failure) -> [DueRefresh] {
        let policy = policy.value
        var ofNova: Set<ImageID> = []
        // Mostly one rule wants all that lies on a host: it is asked for once.
        var last: (rule: String, isOfNova: Bool)?
        for placement in due {
            let isOfNova = last?.rule == placement.rule ? last?.isOfNova ?? false : policy.isThroughNova(placement)
            last = (placement.rule, isOfNova)
            if isOfNova { ofNova.insert(placement.image) }
        }
        guard !ofNova.isEmpty else { return due }
        // A row that is under way stays as it is. One that waits mostly does so for another site, which must not hold this one up; where it is this one that fails,
        // it has the rests of any touch that fails.
        let now = clock.now
        // What has expired is fetched anew at its own time.
        let saved = due.filter { ofNova.contains($0.image) && $0.expiresAt > now.date }
        let pause = pauseSeconds(saved, shortest: Self.handOverSeconds)
        let rested = saved.map(\.image).filter { image in broughtForward[image].map { !lasts(from: $0.at, min($0.seconds, pause)) } ?? true
        }
        handedOver[name] = now
        for image in rested { broughtForward[image] = (now, pause) }
        try await ledger.request(ofNova.sorted(), cause: .resync, at: now.date)
        try await ledger.bringForward(rested.sorted(), at: now.date)
        workWakeup.wake()
        return due.filter { !ofNova.contains($0.image) }
    }

    private func serve(_ name: HostName) async throws(Failure) {
        do throws(Failure) {
            let refreshed = try await refresh(name)
            line.ended(name, hasFailed: refreshed.failure != nil)
        } catch {
            hasFailed = true
            line.ended(name, hasFailed: true)
            wakeup.wake()
            throw error
        }
        // Where nobody waits for the place, there is nothing to ask the ledger for before the next look.
        if !line.isEmpty { wakeup.wake() }
    }

    /// Asks the ledger where nothing waits or what waits was read a while ago. With a million placements due at once that takes it seconds, hence the pause.
    private func look() async throws(Failure) {
        let began = clock.now
        if let lineIsGoodUntil, began < lineIsGoodUntil, !line.isEmpty || !line.hasFreePlaces { return }
        handedOver = handedOver.filter { lasts(from: $0.value, Self.handOverSeconds) }
        broughtForward = broughtForward.filter { lasts(from: $0.value.at, $0.value.seconds) }
        let due = try await ledger.hostsDue(at: began.date, limit: Self.hostsAtOnce).filter { handedOver[$0.host] == nil }
        let policy = policy.value
        line.looked(due, placesPerSite: policy.defaults.forks) { policy.fleet.host($0)?.site ?? "" }
        let ended = clock.now
        lineIsGoodUntil = ended.advanced(by: max(.seconds(5), began.duration(to: ended) * 20))
    }

    /// Before what was handed over is looked at again, in seconds: the work loop has it, and TTLs are minutes at least.
    private static var handOverSeconds: Double { 60 }
    /// More than fit into flight for minutes; the rest is found in the next look.
    private static var hostsAtOnce: Int { 20_000 }

    /// A placement that becomes due sooner than the ledger says now is found within five seconds: TTLs are minutes at least.
    private func nextLook() async throws(Failure) -> WallInstant {
        let (soonest, latest) = (clock.now.advanced(by: .seconds(1)), clock.now.advanced(by: .seconds(5)))
        // What is due already waits for a place, and a host that ends wakes us, or is in flight.
        guard line.isEmpty, let next = try await ledger.nextRefresh(), next > clock.now.date else { return latest }
        return max(soonest, min(WallInstant(next), latest))
    }

    private func settle(_ refreshed: Refreshed, on name: HostName) async throws(Failure) {
        let now = clock.now.date
        if !refreshed.touched.isEmpty { try await ledger.recordTouched(refreshed.touched, on: name, at: now) }
        counters.count(refreshed: refreshed.touched, on: name)
        logger.notice(
            "refreshed",
            metadata: ["host": "\(name)", "touched": "\(refreshed.touched.count)", "missing": "\(refreshed.missing.count)"])
        guard !refreshed.missing.isEmpty else { return }
        await surveyor.forget(name)
        let reason = "the base file is gone from \(name); the image is looked at again"
        counters.count(refreshFailures: refreshed.missing, on: name, reason: reason)
        // In this order: the work loop must find written down what is missing.
        try await ledger.recordMissing(refreshed.missing, on: name, reason: reason, at: now)
        try await ledger.request(refreshed.missing, cause: .refresh, at: now)
        workWakeup.wake()
    }

    /// The host could not be asked: it is tried again after a pause that leaves room for more tries before the first of its files expires.
    private func postpone(_ placements: [DueRefresh], on name: HostName, _ failure: Failure) async throws(Failure) {
        guard failure.kind != .cancelled else { return }
        let now = clock.now.date
        let pause = pauseSeconds(placements, shortest: Double(limits.backoffSeconds))
        logger.warning(
            "refresh failed", metadata: ["host": "\(name)", "again_in_seconds": "\(Int(pause))", "reason": "\(failure)"])
        counters.count(refreshFailures: placements.map(\.image), on: name, reason: failure.description)
        try await ledger.postponeRefresh(
            placements.map(\.image), on: name, until: now.addingTimeInterval(pause), reason: failure.description, at: now)
    }

    /// Before they are tried again, by the soonest expiry of those that have not expired.
    private func pauseSeconds(_ placements: [DueRefresh], shortest: Double) -> Double {
        let now = clock.now.date
        let margins = placements.map { $0.expiresAt.timeIntervalSince(now) }.filter { $0 > 0 }
        return RefreshSchedule.pauseSeconds(margin: margins.min() ?? 0, shortest: shortest)
    }

    /// Whether less than so many seconds have gone by; not for a moment of a clock that has been set back since.
    private func lasts(from moment: WallInstant, _ seconds: Double) -> Bool {
        moment.date.isYounger(than: seconds, at: clock.now.date)
    }
}
