import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Logging
import Planning
import Rules
import SQLiteLedger
import StrictYAML
import Testing

/// The whole engine on a simulated fleet, a written catalogue, a real ledger in memory and a clock that tests move.
struct World {
    let clock = ManualClock()
    let hosts: SimulatedFleet
    let catalog = ScriptedCatalog()
    let nova = SimulatedNova()
    let ledger: any Ledger
    let policy: CurrentPolicy
    let counters: EngineCounters
    let surveyor: Surveyor<ManualClock>
    let reconciler: Reconciler<ManualClock>
    let refresher: Refresher<ManualClock>
    let resync: Resync<ManualClock>
    let loop: WorkLoop<ManualClock>
    let work = Wakeup()

    static let rules = """
        apiVersion: forecache/v1
        rules:
          - name: golden
            match: { all: [ { tag: golden }, { visibility: public } ] }
          - name: by-tag
            match: { all: [ { tag: "precache:{site}" }, { visibility: public } ] }
            targets: { sites: ["{site}"] }
        """

    init(
        sites: Int = 2, hostsPerSite: Int = 2, settings: SiteSettings = SiteSettings(), ledger given: (any Ledger)? = nil,
        hosts givenHosts: SimulatedFleet? = nil, rules text: String = Self.rules,
        certificates: (any SignatureCertificates)? = nil
    ) throws {
        var limits = Limits()
        limits.surveyMaxAgeSeconds = 60
        let (rules, problems) = RuleSet.parse([(path: "rules.yaml", text: text)])
        guard problems.isEmpty else { throw problems }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let (clock, catalog) = (clock, catalog)
        hosts = givenHosts ?? SimulatedFleet(clock: clock)
        ledger = try given ?? SQLiteLedger.inMemory()
        policy = CurrentPolicy(
            Policy(rules: rules, fleet: Samples.fleet(sites: sites, hosts: hostsPerSite, settings: settings), defaults: PlanningDefaults()))
        counters = EngineCounters(now: { clock.now.date })
        let forks = Forks(limits.forks)
        surveyor = Surveyor(hosts: hosts, ledger: ledger, limits: limits, forks: forks, clock: clock, logger: logger, workWakeup: work)
        let throughNova = NovaCaching(
            nova: nova, reports: NovaReports(source: nova.broker, limits: limits, logger: logger), limits: limits, clock: clock,
            logger: logger)
        let executor = PlanExecutor(
            hosts: hosts, catalog: catalog, nova: throughNova, forks: forks, imagesPerSite: limits.imagesPerSite, clock: clock,
            logger: logger)
        let rivals = RivalBook(catalog: catalog)
        reconciler = Reconciler(
            catalog: catalog, ledger: ledger, policy: policy, surveyor: surveyor, executor: executor, counters: counters,
            looks: Forks(limits.imagesAtOnce), rivals: rivals,
            // Certificates are made by openssl, today.
            signatures: certificates.map {
                SignatureCheck(catalog: catalog, certificates: $0, now: { Date() }, logger: logger)
            },
            clock: clock, logger: logger)
        refresher = Refresher(
            hosts: hosts, ledger: ledger, policy: policy, surveyor: surveyor, counters: counters, limits: limits, clock: clock,
            logger: logger,
            workWakeup: work)
        resync = Resync(
            catalog: catalog, ledger: ledger, policy: policy, counters: counters, intervalSeconds: 600, rivals: rivals, clock: clock,
            logger: logger, workWakeup: work)
        loop = WorkLoop(ledger: ledger, reconciler: reconciler, limits: limits, clock: clock, logger: logger, wakeup: work)
    }

    func holders(of image: ImageID) async -> [String] {
        var names: [String] = []
        for host in policy.value.fleet.hosts where await hosts.baseFiles(on: host.name).contains(BaseFileName(of: image)) {
            names.append(host.name.rawValue)
        }
        return names
    }

    func states(of image: ImageID) async throws -> [String: PlacementState] {
        let now = clock.now.date
        return Dictionary(try await ledger.placements(of: image).map { ($0.host.rawValue, $0.state(at: now)) }) { first, _ in first }
    }
}
