import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Logging
import Planning
import Synchronization
import Testing

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

        init(hosts count: Int, forks: Int? = nil, settings: SiteSettings = SiteSettings()) async {
            var settings = settings
            settings.forks = forks
            var image = Samples.image(1)
            image.sizeBytes = 512 * RelayTests.mebi
            self.image = image
            fleet = Samples.fleet(sites: 1, hosts: count, settings: settings)
            hosts = SimulatedFleet(clock: clock)
            executor = PlanExecutor(
                hosts: hosts, catalog: catalog, forks: Forks(64), clock: clock,
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
            return Planner.plan(
                Decision(image: image, placements: placements), fleet: fleet, observed: observed, defaults: PlanningDefaults(),
                now: clock.now.date)
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
        let site = await SiteInTime(hosts: 5, forks: 2)
        let plan = await site.plan()
        #expect(plan.sites[0].isRelayed)
        let (outcomes, _) = try await site.run()
        #expect(outcomes.allSatisfy { $0.kind == .cached })
        for host in site.fleet.hosts { #expect(await site.hosts.temporaryBytes(on: host.name) == 0) }
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
            hosts: site.hosts, catalog: site.catalog, forks: Forks(64), clock: site.clock,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        // Owned by this test, which awaits its end below.
        let running = Task { await executor.execute(plan, fleet: fleet) }
        try await eventually("somebody waits for time") { site.clock.sleeperCount > 1 }
        running.cancel()
        let outcomes = await running.value
        #expect(outcomes.count == 5 && outcomes.allSatisfy { $0.failure == .cancelled })
    }
}
