import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Logging
import Rules
import SQLiteLedger
import Testing

@testable import Daemon

/// Changed files while the service runs, with a written catalogue, a ledger in memory and real files.
@Suite struct ReloadTests {
    private let folder: Folder
    private let catalog = ScriptedCatalog()
    private let ledger: SQLiteLedger
    private let clock = ManualClock()
    private let counters: EngineCounters
    private let config: String
    private let resyncs = Resyncs()

    /// The hosts that were named with each resync that was asked for.
    private actor Resyncs {
        private(set) var hosts: [[HostName]] = []

        func add(_ moved: [HostName]) { hosts.append(moved) }
    }

    private static let inventory = """
        dcn1_nova_compute:
          hosts: { a0: { ansible_host: 192.0.2.10 }, a1: { ansible_host: 192.0.2.11 }, a2: { ansible_host: 192.0.2.12 } }
          vars: { tripleo_role_name: Compute }
        dcn1: { children: { dcn1_nova_compute: {} } }
        """

    private static func rules(_ match: String) -> String { "apiVersion: forecache/v1\nrules:\n  - { name: one, match: \(match) }\n" }

    init() throws {
        folder = try Folder()
        ledger = try SQLiteLedger.inMemory()
        let clock = clock
        counters = EngineCounters(now: { clock.now.date })
        try folder.write("inventories/dcn1.yaml", Self.inventory)
        try folder.write("rules/one.yaml", Self.rules("{ tag: golden }"))
        config = try folder.write(
            "forecache.yaml", "inventory: [inventories]\nrules: [rules]\nreload: { max_new_placements: 3 }\nstate: ledger\n")
    }

    private func setup() throws -> Setup {
        var options = Setup.Options(environment: folder.environment)
        options.file = config
        return try Setup.load(options)
    }

    private func reload(_ setup: Setup, _ policy: CurrentPolicy) -> Reload<ManualClock> {
        Reload(
            setup, policy: policy, catalog: catalog, ledger: ledger, counters: counters, clock: clock,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { [resyncs] moved in
            await resyncs.add(moved)
        }
    }

    private func image(_ number: Int, _ tags: [String]) throws -> ImageFacts {
        let id = try #require(ImageID("00000000-0000-4000-8000-00000000000\(number)"))
        return ImageFacts(id: id, name: "image \(number)", sizeBytes: 1000, tags: tags)
    }

    /// Two looks: a change is taken once it stands still.
    private func look(_ reload: Reload<ManualClock>) async throws {
        try await reload.look()
        try await reload.look()
    }

    @Test func aGoodChangeIsTakenOnceItStandsStill() async throws {
        let setup = try setup()
        let policy = CurrentPolicy(setup.policy)
        let reload = reload(setup, policy)
        await catalog.put(try image(1, ["golden"]))
        await catalog.put(try image(2, ["silver"]))
        try await reload.begin()
        #expect(try await ledger.reloadReport()?.state == .applied)
        try await look(reload)
        #expect(counters.snapshot.reloads == 0)

        try folder.write("rules/one.yaml", Self.rules("{ tag: silver }"))
        try await reload.look()
        #expect(counters.snapshot.reloads == 0, "it may still be being written")
        try await reload.look()
        let report = try #require(try await ledger.reloadReport())
        #expect(report.state == .applied)
        #expect(report.set != setup.files.digest)
        #expect([report.difference?.added, report.difference?.removed, report.difference?.images] == [3, 3, 2])
        #expect(report.difference?.addedBytes == 3000)
        #expect(counters.snapshot.reloads == 1)
        #expect(counters.snapshot.reload == report)
        #expect(await resyncs.hosts == [[]])
        let decided = policy.value.rules.decide(try image(2, ["silver"]), fleet: policy.value.fleet, now: clock.now.date)
        #expect(decided.placements.count == 3)
    }

    @Test func aBadChangeLeavesTheOldSetWorkingAndIsToldOnce() async throws {
        let setup = try setup()
        let policy = CurrentPolicy(setup.policy)
        let reload = reload(setup, policy)
        try await reload.begin()
        try folder.write("rules/one.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: one, mach: 1 }\n")
        try folder.write("inventories/dcn1.yaml", "- nonsense\n")
        for _ in 0..<3 { try await look(reload) }
        let report = try #require(try await ledger.reloadReport())
        #expect(report.state == .refused)
        #expect(report.set == setup.files.digest)
        #expect(report.problems.contains { $0.contains("rules/one.yaml:3:") && $0.contains("mach") })
        #expect(report.problems.contains { $0.contains("inventories/dcn1.yaml:1:1") })
        #expect(counters.snapshot.reloadFailures == 1)
        #expect(policy.value.rules.rules.count == 1)
        #expect(policy.value.fleet.hosts.count == 3)
        #expect(await resyncs.hosts.isEmpty)

        // Put right as it was: nothing changed after all.
        try folder.write("rules/one.yaml", Self.rules("{ tag: golden }"))
        try folder.write("inventories/dcn1.yaml", Self.inventory)
        try await look(reload)
        #expect(try await ledger.reloadReport()?.state == .applied)
        #expect(counters.snapshot.reloads == 0)
    }

    @Test func anInventoryWithoutHostsIsRefused() async throws {
        let setup = try setup()
        let reload = reload(setup, CurrentPolicy(setup.policy))
        try folder.write("inventories/dcn1.yaml", "dcn1: { hosts: {} }\n")
        try await look(reload)
        let report = try await ledger.reloadReport()
        #expect(report?.state == .refused)
        #expect(report?.problems.isEmpty == false)
    }

    @Test func tooManyNewPlacementsWaitForApproval() async throws {
        let setup = try setup()
        let policy = CurrentPolicy(setup.policy)
        let reload = reload(setup, policy)
        for number in 1...4 { await catalog.put(try image(number, [])) }
        try await reload.begin()
        try folder.write("rules/one.yaml", Self.rules("{ always: true }"))
        try await look(reload)
        let report = try #require(try await ledger.reloadReport())
        #expect(report.state == .held)
        #expect(report.difference?.added == 12)
        #expect(report.maxNewPlacements == 3)
        #expect(report.problems.first?.contains("forecache approve") == true)
        #expect(counters.snapshot.reloadsHeld == 1)
        let waiting = try #require(report.changed)
        #expect(policy.value.rules.decide(try image(1, []), fleet: policy.value.fleet, now: clock.now.date).placements.isEmpty)

        // Somebody else's approval is none of ours, and asking again does not help.
        try await ledger.approve("somebody else's", at: clock.now.date)
        try await reload.look(isAsked: true)
        #expect(try await ledger.reloadReport()?.state == .held)

        try await ledger.approve(waiting, at: clock.now.date)
        try await reload.look()
        #expect(try await ledger.reloadReport()?.state == .applied)
        #expect(try await ledger.reloadReport()?.set == waiting)
        #expect(await resyncs.hosts.count == 1)
        #expect(policy.value.rules.decide(try image(1, []), fleet: policy.value.fleet, now: clock.now.date).placements.count == 3)
    }

    private func changedWhileGlanceIsAway() async throws -> Reload<ManualClock> {
        let setup = try setup()
        let reload = reload(setup, CurrentPolicy(setup.policy))
        try await reload.begin()
        await catalog.fail(with: Failure(.retriable, "Glance is away"))
        try folder.write("rules/one.yaml", Self.rules("{ tag: silver }"))
        try await look(reload)
        return reload
    }

    @Test func withoutGlanceABoundedChangeWaitsAndAnUnboundedOneDoesNot() async throws {
        let reload = try await changedWhileGlanceIsAway()
        #expect(try await ledger.reloadReport()?.state == .waiting)
        #expect(try await ledger.reloadReport()?.problems.first?.contains("Glance is away") == true)
        await catalog.fail(with: nil)
        clock.advance(by: .seconds(60))
        try await reload.look()
        #expect(try await ledger.reloadReport()?.state == .applied)

        await catalog.fail(with: Failure(.retriable, "Glance is away"))
        try folder.write("forecache.yaml", "inventory: [inventories]\nrules: [rules]\nstate: elsewhere\nresync: 1h\n")
        try await look(reload)
        let report = try #require(try await ledger.reloadReport())
        #expect(report.state == .applied)
        #expect(report.difference == nil)
        #expect(report.atRestart == ["resync", "state"])
    }

    @Test func aClockThatIsSetBackHoldsNoComparisonUp() async throws {
        let reload = try await changedWhileGlanceIsAway()
        await catalog.fail(with: nil)
        try await reload.look()
        #expect(try await ledger.reloadReport()?.state == .waiting, "Glance is not asked each time")
        clock.setBack(by: .seconds(3600))
        try await reload.look()
        #expect(try await ledger.reloadReport()?.state == .applied)
    }

    @Test func whatTheSignalAsksForIsDoneThoughNothingChanged() async throws {
        let setup = try setup()
        let reload = reload(setup, CurrentPolicy(setup.policy))
        try await reload.begin()
        try await reload.look(isAsked: true)
        #expect(await resyncs.hosts == [[]])
        #expect(counters.snapshot.reloads == 0)
    }

    @Test func filesThatComeAndGoAreSeenAndHostsThatMovedAreNamed() async throws {
        let setup = try setup()
        let policy = CurrentPolicy(setup.policy)
        let reload = reload(setup, policy)
        try await reload.begin()
        try folder.write("rules/two.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: two, match: { tag: two } }\n")
        try folder.write("inventories/host_vars/a1.yaml", "ansible_host: 192.0.2.99\n")
        try await look(reload)
        #expect(policy.value.rules.rules.map(\.name) == ["one", "two"])
        #expect(await resyncs.hosts == [["a1"]])
        #expect(policy.value.fleet.host("a1")?.address == "192.0.2.99")
        try FileManager.default.removeItem(atPath: "\(folder.path)/rules/two.yaml")
        try await look(reload)
        #expect(policy.value.rules.rules.map(\.name) == ["one"])
    }

    @Test func theDigestTellsSetsApart() throws {
        let first = try setup().files.digest
        #expect(try setup().files.digest == first)
        #expect(first.count == 16)
        try folder.write("rules/one.yaml", Self.rules("{ tag: golden }") + "\n# a word more\n")
        #expect(try setup().files.digest != first)
    }
}
