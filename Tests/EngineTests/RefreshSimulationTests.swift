import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import Logging
import Planning
import Rules
import StrictYAML
import Testing

/// Thirty days of a fleet in virtual time: the refresher, the work loop, the schedule and all between them are the real ones.
@Suite struct RefreshSimulationTests {
    /// A tenth of the largest fleet that is spoken of; all of it, a million placements, with FORECACHE_FULL_SCALE=1, as the integration part of `Tests/run` has it.
    @Test func nothingExpiresInThirtyDaysOnAHostThatCanBeReached() async throws {
        let isFullScale = ProcessInfo.processInfo.environment["FORECACHE_FULL_SCALE"] == "1"
        let sites = isFullScale ? 200 : 20
        let simulation = try await RefreshSimulation(sites: sites, hostsPerSite: 50, images: 100, days: 30, seed: 20_261_122)
        let report = await simulation.run()
        print(report)
        #expect(report.placements == sites * 50 * 100)
        #expect(report.expiredWhileReachable == [], "seed \(report.seed)")
        #expect(report.notRepaired == 0)
        // Tried every ten minutes while away; once it answers, all that it misses is fetched.
        #expect(report.slowestRepairSeconds < 1200)
        #expect(report.expired > 0, "hosts that were away for longer than the TTL are part of it")
        #expect(report.visitsPerHostAndDay < 4)
        // All became fresh at once, and jitter spreads their first refresh over a fifth of 14.4 hours.
        #expect(report.busiestHour < report.meanHour * 5)
    }
}

struct RefreshSimulation {
    static let ttlSeconds = 86400
    private static let rules = """
        apiVersion: forecache/v1
        rules:
          - name: golden
            match: { tag: golden }
        """
    /// A host that was back for so long must have been refreshed.
    static let graceSeconds = 900.0

    private let days: Int
    private let seed: UInt64
    private let clock = ManualClock()
    private let fleet: Fleet
    private let images: [ImageFacts]
    private let hosts: OutageFleet
    private let ledger = MemoryLedger()
    private let refresher: Refresher<ManualClock>
    private let loop: WorkLoop<ManualClock>
    private let outages: [HostName: [Range<Date>]]

    /// Everything is cached, and was touched at the same moment: the worst case for a schedule.
    init(sites: Int, hostsPerSite: Int, images count: Int, days: Int, seed: UInt64) async throws {
        (self.days, self.seed) = (days, seed)
        fleet = Samples.fleet(sites: sites, hosts: hostsPerSite)
        images = (1...count).map { Samples.image($0, tags: ["golden"]) }
        outages = Self.outages(fleet, from: clock.now.date, days: days, seed: seed)
        // One site answers everything, but takes 20 s for it.
        hosts = OutageFleet(
            nodes: SimulatedFleet(clock: clock), clock: clock, outages: outages, slow: ["dcn2": 20], ttlSeconds: Self.ttlSeconds)
        let (rules, problems) = RuleSet.parse([(path: "rules.yaml", text: Self.rules)])
        guard problems.isEmpty else { throw problems }
        let policy = CurrentPolicy(Policy(rules: rules, fleet: fleet, defaults: PlanningDefaults()))
        let (clock, limits, work) = (clock, Limits(), Wakeup())
        let logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
        let counters = EngineCounters(now: { clock.now.date })
        let catalog = ScriptedCatalog(images)
        let surveyor = Surveyor(
            hosts: hosts, ledger: ledger, limits: limits, forks: Forks(limits.forks), clock: clock, logger: logger, workWakeup: work)
        let executor = PlanExecutor(
            hosts: hosts, catalog: catalog, forks: Forks(limits.forks), imagesPerSite: limits.imagesPerSite, clock: clock, logger: logger)
        let reconciler = Reconciler(
            catalog: catalog, ledger: ledger, policy: policy, surveyor: surveyor, executor: executor, counters: counters,
            looks: Forks(limits.imagesAtOnce), rivals: RivalBook(catalog: catalog), clock: clock, logger: logger)
        loop = WorkLoop(ledger: ledger, reconciler: reconciler, limits: limits, clock: clock, logger: logger, wakeup: work)
        refresher = Refresher(
            hosts: hosts, ledger: ledger, policy: policy, surveyor: surveyor, counters: counters, limits: limits, clock: clock,
            logger: logger, workWakeup: work)
        try await placeEverything(rules)
    }

    private func placeEverything(_ rules: RuleSet) async throws {
        let now = clock.now.date
        let names = images.map { BaseFileName(of: $0.id) }
        for host in fleet.hosts { await hosts.nodes.place(names, bytes: 1 << 30, on: host.name) }
        for image in images { try await ledger.record(rules.decide(image, fleet: fleet, now: now), ttlSeconds: [:], at: now) }
        for host in fleet.hosts { try await ledger.recordTouched(images.map(\.id), on: host.name, at: now) }
    }

    /// Two outages a host and month, of one to nine hours; besides, one site for 30 hours and three hosts for 26 to 50.
    private static func outages(_ fleet: Fleet, from start: Date, days: Int, seed: UInt64) -> [HostName: [Range<Date>]] {
        var random = SplitMix64(seed: seed)
        var outages: [HostName: [Range<Date>]] = [:]
        func add(_ host: HostName, at hour: Double, hours: Double) {
            let from = start.addingTimeInterval(hour * 3600)
            outages[host, default: []].append(from..<from.addingTimeInterval(hours * 3600))
        }
        for host in fleet.hosts {
            for _ in 0..<2 {
                add(host.name, at: .random(in: 0..<Double(days * 24), using: &random), hours: .random(in: 1..<9, using: &random))
            }
        }
        for host in fleet.sites[fleet.sites.count / 2].hosts { add(host.name, at: 200, hours: 30) }
        for (index, hours) in [26.0, 38, 50].enumerated() {
            add(fleet.sites[index * 7 % fleet.sites.count].hosts[index].name, at: 300 + 40 * Double(index), hours: hours)
        }
        return outages
    }

    func run() async -> RefreshReport {
        let began = ContinuousClock.now
        let (executor, clock) = (StepExecutor(), clock)
        // Both are this function's, and end below.
        let tasks = [
            Task(executorPreference: executor) { [refresher] in try await refresher.run() },
            Task(executorPreference: executor) { [loop] in try await loop.run() },
        ]
        let end = clock.now.advanced(by: .seconds(days * 86400))
        await withCheckedContinuation { continuation in
            // A thread of its own: a minute's work must not keep one of the few that all tests share.
            Thread {
                executor.runUntilIdle()
                while clock.advanceToNextSleeper(before: end) { executor.runUntilIdle() }
                for task in tasks { task.cancel() }
                executor.runUntilIdle()
                continuation.resume()
            }.start()
        }
        return await report(seconds: began.duration(to: .now).seconds)
    }

    private func report(seconds: Double) async -> RefreshReport {
        let now = clock.now.date
        // What nobody visited since it expired is found by looking at all nodes.
        var expiries = await hosts.expiries
        for host in fleet.hosts {
            expiries += await hosts.nodes.removeExpired(from: host.name, ttlSeconds: Self.ttlSeconds).map {
                OutageFleet.Expiry(host: host.name, name: $0.name, expiredAt: $0.expiredAt)
            }
        }
        let margin = Double(Self.ttlSeconds) * 0.4
        let early = expiries.filter {
            hosts.wasReachable($0.host, forSeconds: Self.graceSeconds, during: $0.expiredAt.addingTimeInterval(-margin)..<$0.expiredAt)
        }
        let repairs = expiries.compactMap { expiry in
            expiry.repairedAt.map { $0.timeIntervalSince(hosts.back(expiry.host, after: expiry.expiredAt)) }
        }
        let owed = expiries.filter {
            $0.repairedAt == nil && hosts.wasReachable($0.host, forSeconds: 1800, during: $0.expiredAt..<max(now, $0.expiredAt))
        }
        let byHour = await hosts.visitsByHour
        return RefreshReport(
            placements: fleet.hosts.count * images.count, days: days, seed: seed, outages: outages.values.reduce(0) { $0 + $1.count },
            visits: await hosts.visits, touches: await hosts.touches, timeouts: await hosts.timeouts, hosts: fleet.hosts.count,
            expired: expiries.count, expiredWhileReachable: early.prefix(10).map { "\($0.host) \($0.name)" }, notRepaired: owed.count,
            slowestRepairSeconds: repairs.max() ?? 0, busiestHour: Double(byHour.max() ?? 0),
            meanHour: Double(byHour.reduce(0, +)) / Double(max(1, days * 24)), seconds: seconds)
    }
}

struct RefreshReport: CustomStringConvertible {
    var placements: Int
    var days: Int
    var seed: UInt64
    var outages: Int
    var visits: Int
    var touches: Int
    var timeouts: Int
    var hosts: Int
    var expired: Int
    var expiredWhileReachable: [String]
    var notRepaired: Int
    var slowestRepairSeconds: Double
    var busiestHour: Double
    var meanHour: Double
    var seconds: Double

    var visitsPerHostAndDay: Double { Double(visits) / Double(hosts * days) }

    var description: String {
        """
        \(placements) placements on \(hosts) hosts, \(days) days, \(outages) outages, seed \(seed), in \(Int(seconds)) s:
        \(touches) touches in \(visits) log-ins (\((visitsPerHostAndDay * 100).rounded() / 100) a host and day; \
        busiest hour \(Int(busiestHour)), mean \(Int(meanHour))), \(timeouts) time-outs
        expired while reachable: \(expiredWhileReachable.count); while away: \(expired), of which \(notRepaired) are not repaired, the slowest \
        \(Int(slowestRepairSeconds)) s after its host was back
        """
    }
}
