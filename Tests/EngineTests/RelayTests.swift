import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Logging
import Planning
import Synchronization
import Testing

@testable import Engine

/// `via: relay` through the real executor, on hosts in memory whose links take time.
@Suite(.serialized) struct RelayTests {
    private static let mebi: Int64 = 1 << 20

    /// A site in time: 512 MiB, a WAN of 25 MiB/s and a LAN of 125 MiB/s.
    private final class SiteInTime: Sendable {
        let clock = ManualClock()
        let hosts: SimulatedFleet
        let fleet: Fleet
        let image: ImageFacts
        let catalog = ScriptedCatalog()
        private let executor: PlanExecutor<ManualClock>

        init(hosts count: Int, forks: Int? = nil, diskFormat: String = "raw", settings: SiteSettings = SiteSettings()) async {
            var settings = settings
            settings.forks = forks
            var image = Samples.image(1)
            (image.sizeBytes, image.diskFormat) = (512 * RelayTests.mebi, diskFormat)
            self.image = image
            fleet = Samples.fleet(sites: 1, hosts: count, settings: settings)
            hosts = SimulatedFleet(clock: clock)
            executor = PlanExecutor(
                hosts: hosts, catalog: catalog, forks: Forks(64), imagesPerSite: 4, clock: clock,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            await catalog.put(image)
            await hosts.setWAN(bytesPerSecond: 25 * RelayTests.mebi)
            await hosts.setLAN(bytesPerSecond: 125 * RelayTests.mebi)
        }

        func plan() async -> Plan {
            let placements = fleet.hosts.map { Placement(image: image.id, site: $0.site, role: $0.role, host: $0.name, rule: "golden") }
            var observed: [HostName: HostObservation] = [:]
            for host in fleet.hosts {
                do throws(Failure) {
                    observed[host.name] = .surveyed(try await hosts.survey(host))
                } catch {
                    observed[host.name] = .unreachable(reason: error.description)
                }
            }
            let plan = Planner.plan(
                Decision(image: image, placements: placements), fleet: fleet, observed: observed, defaults: PlanningDefaults(),
                now: clock.now.date)
            let proof = RangeProof(ranges: [0..<1], sha256: "")
            return image.diskFormat == "raw"
                ? plan
                : plan.inspected(InspectedImage(qemuFormat: image.diskFormat ?? "", virtualSizeBytes: RelayTests.mebi << 10, proof: proof))
        }

        /// Executes while time passes, a quarter of a second at a time; `happen` is called at each with the seconds that went by.
        func run(_ happen: @escaping @Sendable (Double) async -> Void = { _ in }) async throws -> (outcomes: [Outcome], seconds: Double) {
            let (plan, start, steps) = (await plan(), clock.now, StepExecutor())
            let ended = Mutex<[Outcome]?>(nil)
            // This function's, and awaited below.
            let running = Task(executorPreference: steps) { [executor, fleet] in
                let outcomes = await executor.execute(plan, fleet: fleet)
                ended.withLock { $0 = outcomes }
            }
            // Everybody who has something to do without time passing does it first.
            steps.runUntilIdle()
            while ended.withLock({ $0 == nil }), start.duration(to: clock.now) < .seconds(3600) {
                await happen(start.duration(to: clock.now).seconds)
                clock.advance(by: .milliseconds(250))
                steps.runUntilIdle()
            }
            let seconds = start.duration(to: clock.now).seconds
            running.cancel()
            steps.runUntilIdle()
            return (try #require(ended.withLock { $0 }), seconds)
        }

        func wanBytes() async -> Int64 { await hosts.wanTraffic.reduce(0) { $0 + $1.bytes } }
    }

    @Test func oneCopyCrossesTheWANAndAllAreDoneSoonAfterIt() async throws {
        let site = await SiteInTime(hosts: 8)
        let (outcomes, seconds) = try await site.run()
        #expect(outcomes.count == 8 && outcomes.allSatisfy { $0.kind == .cached && $0.via == .relay }, "\(outcomes.compactMap(\.reason))")
        #expect(outcomes.filter { $0.source == "glance" }.map(\.host) == ["dcn1-compute-0"])
        #expect(outcomes.allSatisfy { $0.bytes == 512 * Self.mebi }, "\(outcomes.map(\.bytes))")
        #expect(await site.wanBytes() == 512 * Self.mebi)
        #expect(seconds < 1.25 * 512 / 25, "\(seconds)")
    }

    @Test(arguments: [1, 2, 3]) func fewForksServeInWaves(forks: Int) async throws {
        let site = await SiteInTime(hosts: 6, forks: forks)
        let (outcomes, _) = try await site.run()
        #expect(outcomes.count == 6 && outcomes.allSatisfy { $0.kind == .cached }, "\(outcomes.compactMap(\.reason))")
        #expect(await site.wanBytes() == 512 * Self.mebi)
    }

    @Test func theSeedDiesHalfWay() async throws {
        let site = await SiteInTime(hosts: 6)
        let (outcomes, _) = try await site.run { if $0 > 10 { await site.hosts.inject(.away, on: "dcn1-compute-0") } }
        #expect(outcomes.filter { $0.kind == .cached }.count == 5)
        #expect(outcomes.filter { $0.kind == .failed }.map(\.host) == ["dcn1-compute-0"])
        #expect(outcomes.filter { $0.source == "glance" && $0.kind == .cached }.count == 1)
        let wanBytes = await site.wanBytes()
        #expect(wanBytes < 576 * Self.mebi, "\(wanBytes / Self.mebi) MiB")
    }

    @Test func aMiddleHostDies() async throws {
        let site = await SiteInTime(hosts: 7)
        let (outcomes, _) = try await site.run { if $0 > 10 { await site.hosts.inject(.away, on: "dcn1-compute-1") } }
        #expect(outcomes.filter { $0.kind == .cached }.count == 6)
        #expect(await site.wanBytes() == 512 * Self.mebi)
        let after = await site.hosts.copies.filter { $0.host == "dcn1-compute-3" }.map(\.from)
        #expect(after.first == "dcn1-compute-1" && after.dropFirst().first != "dcn1-compute-1")
    }

    @Test func wrongBytesAreReceivedAgainFromAnother() async throws {
        let site = await SiteInTime(hosts: 5)
        await site.hosts.inject(.servesWrongBytes, on: "dcn1-compute-1")
        let (outcomes, _) = try await site.run()
        #expect(outcomes.allSatisfy { $0.kind == .cached }, "\(outcomes.compactMap(\.reason))")
        #expect(outcomes.first { $0.host == "dcn1-compute-3" }?.source != "dcn1-compute-1")
        #expect(await site.wanBytes() == 512 * Self.mebi)
    }

    @Test func convertedHostsServeTheImagesOwnBytesUntilAllHaveThem() async throws {
        let site = await SiteInTime(hosts: 5, forks: 2, diskFormat: "qcow2")
        let (outcomes, _) = try await site.run()
        #expect(outcomes.count == 5 && outcomes.allSatisfy { $0.kind == .cached }, "\(outcomes.compactMap(\.reason))")
        #expect(await site.wanBytes() == 512 * Self.mebi)
        let operations = await site.hosts.operations
        for host in site.fleet.hosts {
            #expect(operations.contains("release \(host.name)"))
            #expect(await site.hosts.bytes(of: site.image.id, on: host.name) == Self.mebi << 10)
            #expect(await site.hosts.temporaryBytes(on: host.name) == 0)
        }
    }

    /// Nor is anything added up beyond its bounds.
    @Test func lengthsThatCannotBeHarmNobody() async throws {
        let world = try World(sites: 1, hostsPerSite: 4)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.setLAN(bytesPerSecond: 1 << 40)
        for host: HostName in ["dcn1-compute-1", "dcn1-compute-2"] { await world.hosts.inject(.liesAboutLengths, on: host) }
        #expect(await world.reconciler.reconcile(Samples.imageID(1), cause: .event) == .settled)
        #expect(await world.holders(of: Samples.imageID(1)).count == 4)
        #expect(world.counters.snapshot.bytesMoved == .max)
    }

    @Test func onlyWhoIsGivenUpForTheWindowWaitsForIt() throws {
        let (fleet, image) = (Samples.fleet(sites: 1, hosts: 3), Samples.image(1))
        let steps = fleet.hosts.map {
            Step(host: $0.name, role: $0.role, action: .fetch, rule: "golden", priority: 1, ttlSeconds: 60, reasons: [])
        }
        let window: Window = try #require(Window("01:00-02:00 UTC"))
        let deliver = DeliverySettings(window: window)
        let site = SitePlan(site: "dcn1", via: .relay, deliver: deliver, forks: 3, copiesAtOnce: 1, steps: steps)
        let (now, closing) = (WallInstant(Date(timeIntervalSince1970: 1_800_000_000)), Failure(.retriable, "the window closed"))
        var accounts = RelayAccounts(steps.map { StepWork(image: image, site: site, step: $0, fleet: fleet) }, startedAt: now)
        #expect(accounts.take(RelayNews(.closed("dcn1-compute-0", closing)), at: now) == nil)
        let waits = accounts.gaveUp("dcn1-compute-0", closing, at: now)
        #expect(waits?.kind == .skipped && waits?.againAt != nil)
        let full = accounts.gaveUp("dcn1-compute-1", Failure(.retriable, "disk full"), at: now)
        #expect(full?.kind == .failed && full?.reason?.contains("disk full") == true)
    }

    @Test func aGlanceThatIsDownFailsAllAndSaysWhy() async throws {
        let site = await SiteInTime(hosts: 4)
        await site.catalog.fail(with: Failure(.retriable, "Glance answers 503"))
        let (outcomes, seconds) = try await site.run()
        #expect(outcomes.count == 4 && outcomes.allSatisfy { $0.kind == .failed && $0.reason?.contains("503") == true })
        #expect(seconds < 90)
    }

    @Test func stoppingEndsEveryHost() async throws {
        let site = await SiteInTime(hosts: 5)
        let (plan, fleet) = (await site.plan(), site.fleet)
        let executor = PlanExecutor(
            hosts: site.hosts, catalog: site.catalog, forks: Forks(64), imagesPerSite: 4, clock: site.clock,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        // Owned by this test, which awaits its end below.
        let running = Task { await executor.execute(plan, fleet: fleet) }
        try await eventually("somebody waits for time") { site.clock.sleeperCount > 1 }
        running.cancel()
        let outcomes = await running.value
        #expect(outcomes.count == 5 && outcomes.allSatisfy { $0.failure == .cancelled })
    }
}
