import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Notifications
import Planning
import Testing

@testable import Engine

/// `via: nova-api` on a simulated Nova. The real one is asked in `EndToEndTests`.
@Suite(.timeLimit(.minutes(4))) struct NovaCachingTests {
    private let id = Samples.imageID(1)
    private let settings = SiteSettings(deliver: DeliverySettings(via: .novaAPI))

    /// Sites whose hosts cannot be logged in to, and their aggregates with fully qualified names.
    private func world(sites: Int = 1, hosts: Int = 3, aggregates: Bool = true, settings: SiteSettings? = nil) async throws -> World {
        let world = try World(sites: sites, hostsPerSite: hosts, settings: settings ?? self.settings)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        for site in world.policy.value.fleet.sites {
            for host in site.hosts { await world.hosts.inject(.away, on: host.name) }
            if aggregates { await world.nova.put(site.name.rawValue, hosts: site.hosts.map { "\($0.name).localdomain" }) }
        }
        return world
    }

    private func reason(_ end: Reconciler<ManualClock>.End) -> String {
        if case .again(let reason, _, _) = end { reason } else { "\(end)" }
    }

    @Test func oneRequestBringsTheImageToTheWholeSiteWithoutSSH() async throws {
        let world = try await world(sites: 2)
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        #expect(await world.nova.requests.sorted() == ["\(id) dcn1", "\(id) dcn2"])
        #expect(try await Set(world.states(of: id).values) == [.fresh])
        #expect(await world.hosts.operations.isEmpty)
        // Nobody waits any more, so nobody listens; and done again it asks nothing.
        try await eventually("the end of the subscription") { world.nova.broker.listenerCount == 0 }
        #expect(await world.reconciler.reconcile(id, cause: .resync) == .settled)
        #expect(await world.nova.requests.count == 2)
    }

    @Test func hostsThatFailAndHostsThatSayNothingFailAlone() async throws {
        let world = try await world(hosts: 4)
        await world.nova.set(.refuses, on: "dcn1-compute-1.localdomain")
        await world.nova.set(.silent, on: "dcn1-compute-2.localdomain")
        let end = await world.reconciler.reconcile(id, cause: .event)
        #expect(reason(end).contains("2 of 4 hosts failed"))
        #expect(
            try await world.states(of: id) == [
                "dcn1-compute-0": .fresh, "dcn1-compute-1": .failed, "dcn1-compute-2": .failed, "dcn1-compute-3": .fresh,
            ])
        let errors = try await world.ledger.placements(of: id).reduce(into: [String: String]()) { $0[$1.host.rawValue] = $1.lastError }
        #expect(errors["dcn1-compute-1"]?.contains("could not cache") == true)
        #expect(errors["dcn1-compute-2"]?.contains("without a word of this host") == true)
        await world.nova.set(.caches, on: "dcn1-compute-1.localdomain")
        await world.nova.set(.caches, on: "dcn1-compute-2.localdomain")
        #expect(await world.reconciler.reconcile(id, cause: .retry) == .settled)
        #expect(try await Set(world.states(of: id).values) == [.fresh])
    }

    @Test func silenceUntilTheDeadlineIsAFailure() async throws {
        let world = try await world(hosts: 2)
        await world.nova.set(.silent, on: "dcn1-compute-1.localdomain")
        await world.nova.set(endsRequests: false)
        async let end = world.reconciler.reconcile(id, cause: .event)
        try await eventually("the first host's report") { try await world.states(of: id)["dcn1-compute-0"] == .fresh }
        try await eventually("somebody waits for the other") { world.clock.sleeperCount > 0 }
        world.clock.advance(by: .seconds(1859))
        #expect(try await world.states(of: id)["dcn1-compute-1"] == .caching)
        world.clock.advance(by: .seconds(2))
        #expect(reason(await end).contains("did not report within 1860 s"))
        #expect(try await world.states(of: id) == ["dcn1-compute-0": .fresh, "dcn1-compute-1": .failed])
    }

    @Test func aClockThatIsSetBackGivesASilentHostOneMoreDeadline() async throws {
        let world = try await world(hosts: 1)
        await world.nova.set(.silent, on: "dcn1-compute-0.localdomain")
        await world.nova.set(endsRequests: false)
        async let end = world.reconciler.reconcile(id, cause: .event)
        try await eventually("somebody waits") { await world.nova.requests.count == 1 && world.clock.sleeperCount == 1 }
        world.clock.setBack(by: .seconds(36_000))
        let start = world.clock.now
        try await eventually("the host is given up") {
            if world.clock.sleeperCount == 1 { world.clock.advance(by: .seconds(1860)) }
            return try await world.states(of: id)["dcn1-compute-0"] == .failed
        }
        #expect(start.duration(to: world.clock.now) < .seconds(4 * 1860))
        #expect(reason(await end).contains("did not report within 1860 s"))
    }

    /// Whatever its image's row waits for; but a touch that is asked for again and again has its rests.
    @Test func aDueTouchWaitsForNobodysBackOff() async throws {
        let world = try await world(hosts: 1)
        _ = await world.reconciler.reconcile(id, cause: .event)
        world.clock.advance(by: .seconds(52_000))
        try await world.ledger.request([id], cause: .event, at: world.clock.now.date)
        try await putOff(world)
        _ = try await world.refresher.refresh("dcn1-compute-0")
        #expect(try await due(world).map(\.attempts) == [1])
        try await putOff(world)
        world.clock.advance(by: .seconds(60))
        _ = try await world.refresher.refresh("dcn1-compute-0")
        #expect(try await due(world).isEmpty)
        world.clock.advance(by: .seconds(600))
        _ = try await world.refresher.refresh("dcn1-compute-0")
        #expect(try await due(world).map(\.attempts) == [2])
    }

    @Test func aClockThatIsSetBackHoldsNoTouchUp() async throws {
        let world = try await world(hosts: 1)
        _ = await world.reconciler.reconcile(id, cause: .event)
        world.clock.advance(by: .seconds(60_000))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.refresher.run() }
            try await eventually("it is handed over") { try await world.ledger.workCount() == 1 }
            try await world.ledger.finish(try await due(world))
            world.clock.setBack(by: .seconds(3600))
            let start = world.clock.now
            try await eventually("it is handed over again") {
                if world.clock.sleeperCount == 1 { world.clock.advance(by: .seconds(5)) }
                return try await world.ledger.workCount() == 1
            }
            #expect(start.duration(to: world.clock.now) < .seconds(600))
            group.cancelAll()
        }
    }

    private func due(_ world: World) async throws -> [WorkRow] {
        try await world.ledger.dueWork(at: world.clock.now.date, excluding: [:], limit: 9)
    }

    private func putOff(_ world: World) async throws {
        let later = world.clock.now.date.addingTimeInterval(Limits().longestBackoffSeconds)
        for row in try await due(world) { try await world.ledger.postpone(row, until: later, reason: "another site is away") }
    }

    @Test func aRefreshAsksNovaForTheWholeSiteOnce() async throws {
        let world = try await world(hosts: 3)
        _ = await world.reconciler.reconcile(id, cause: .event)
        world.clock.advance(by: .seconds(52_000))
        let due = try await world.ledger.hostsDue(at: world.clock.now.date, limit: 10)
        #expect(!due.isEmpty)
        for host in due { #expect(try await world.refresher.refresh(host.host) == .init()) }
        #expect(await world.hosts.operations.isEmpty)
        #expect(try await world.ledger.workCount() == 1)
        #expect(await world.reconciler.reconcile(id, cause: .resync) == .settled)
        #expect(await world.nova.requests.count == 2)
        let touched = try await world.ledger.placements(of: id).map(\.touchedAt)
        #expect(touched.allSatisfy { $0 == world.clock.now.date })
        #expect(try await world.ledger.placements(of: id).map(\.lastOutcome) == [.existing, .existing, .existing])
    }

    @Test func whatNovaCannotLeaveOutIsNotAsked() async throws {
        // dcn2 is not wanted, and its host is in dcn1's aggregate.
        let world = try await world(sites: 2, hosts: 1, aggregates: false)
        await world.nova.put("dcn1", hosts: ["dcn1-compute-0", "DCN2-compute-0"])
        await world.catalog.put(Samples.image(1, tags: ["precache:dcn1"]))
        let end = await world.reconciler.reconcile(id, cause: .event)
        #expect(reason(end).contains("also has DCN2-compute-0"))
        #expect(await world.nova.requests.isEmpty)
        guard case .again(_, isPermanent: true, _) = end else {
            Issue.record("only an operator can mend it")
            return
        }
    }

    @Test func aggregatesOfOtherNamesAndHostsThatAreNotInThem() async throws {
        let world = try await world(hosts: 2, aggregates: false, settings: SiteSettings(deliver: settings.deliver, aggregate: "edge"))
        await world.nova.put("edge", hosts: ["dcn1-compute-0", "somebody-else"])
        let end = await world.reconciler.reconcile(id, cause: .event)
        #expect(reason(end).contains("dcn1-compute-1 is not in Nova's aggregate 'edge' (it has dcn1-compute-0, somebody-else)"))
        #expect(try await world.states(of: id) == ["dcn1-compute-0": .fresh, "dcn1-compute-1": .failed])
    }

    @Test func whatNovaRefusesFailsEveryHost() async throws {
        let world = try await world(hosts: 2)
        await world.nova.fail(with: Failure(.permanent, "no rights"))
        #expect(reason(await world.reconciler.reconcile(id, cause: .event)).contains("no rights"))
        #expect(try await Set(world.states(of: id).values) == [.failed])
        await world.nova.fail(with: nil)
        world.nova.broker.refuse(with: Failure(.retriable, "no broker"))
        #expect(reason(await world.reconciler.reconcile(id, cause: .retry)).contains("so Nova was not asked"))
        #expect(await world.nova.requests.isEmpty)
        world.nova.broker.refuse(with: nil)
        #expect(await world.reconciler.reconcile(id, cause: .retry) == .settled)
    }

    @Test func aSubscriptionThatIsLostIsAFailureAndNotAGuess() async throws {
        let world = try await world(hosts: 2)
        await world.nova.set(.silent, on: "dcn1-compute-1.localdomain")
        await world.nova.set(endsRequests: false)
        async let end = world.reconciler.reconcile(id, cause: .event)
        try await eventually("the first host's report") { try await world.states(of: id)["dcn1-compute-0"] == .fresh }
        world.nova.broker.lose(Failure(.retriable, "connection reset"))
        #expect(reason(await end).contains("how Nova ended is not known"))
        #expect(try await world.states(of: id) == ["dcn1-compute-0": .fresh, "dcn1-compute-1": .failed])
    }

    @Test func whatWasHeardBeforeTheSubscriptionWasLostCounts() async throws {
        let world = try await world(hosts: 4)
        await world.nova.set(.silent, on: "dcn1-compute-3.localdomain")
        await world.nova.set(endsRequests: false)
        await world.nova.loseBrokerAfterRequests()
        #expect(reason(await world.reconciler.reconcile(id, cause: .event)).contains("1 of 4 hosts failed"))
        let states = try await world.states(of: id)
        #expect(states.filter { $0.value == .failed }.map(\.key) == ["dcn1-compute-3"])
    }

    @Test func aHostilImageNeverReachesNova() async throws {
        let world = try await world(hosts: 1)
        await world.catalog.put(head: Array("QFI\u{fb}".utf8), of: id)
        await world.catalog.put(head: [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3], of: id)
        #expect(reason(await world.reconciler.reconcile(id, cause: .event)).contains("is refused"))
        #expect(await world.nova.requests.isEmpty)
    }

    /// Nova fetches what it is to touch and does not find.
    @Test func whatMustNotReachNovaIsNotTouchedThroughItEither() async throws {
        let world = try await world(hosts: 2)
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        await world.catalog.put(head: [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3], of: id)
        await world.catalog.change(id) { $0.digest = Digest(.sha512, hex: String(repeating: "cd", count: 64)) }
        world.clock.advance(by: .seconds(52_000))
        #expect(reason(await world.reconciler.reconcile(id, cause: .resync)).contains("is refused"))
        #expect(await world.nova.requests.count == 1)
    }

    // MARK: - The round by itself

    @Test func namesAreTheSameShortOrFull() {
        let aggregate = HostAggregate(id: 1, uuid: "u", name: "a", hosts: ["c0.example.org", "C1", "c2.one", "c2.two", "c3.one", "x"])
        let hosts = AggregateHosts(aggregate, wanted: ["c0", "c1.example.org", "c2", "c3.two", "c2.two"])
        #expect(hosts.names == ["c0.example.org": "c0", "C1": "c1.example.org", "c2.two": "c2.two"])
        // Two hosts could be c2, and another domain is another host.
        #expect(hosts.absent == ["c2", "c3.two"])
        #expect(hosts.others == ["c2.one", "c3.one", "x"])
    }

    @Test func reportsOfOtherRequestsDoNotCount() {
        var round = NovaRound(image: id, hosts: ["h": "h", "g": "g"], request: "req-2")
        let report = { (request: String?, news: CachingReport.News) in CachingReport(aggregate: "u", request: request, news: news) }
        #expect(round.heard(report("req-1", .host("h", cached: [], failed: [id]))).isEmpty)
        #expect(round.heard(report("req-2", .host("h", cached: [id], failed: []))).map(\.1) == [.cached])
        #expect(round.heard(report("req-1", .end)).isEmpty && !round.isOver)
        #expect(round.heard(report("req-2", .host("g", cached: [Samples.imageID(2)], failed: []))).isEmpty)
        #expect(round.heard(report("req-2", .end)).isEmpty && round.isEnded)
        #expect(round.silent == ["g": "g"])
    }
}
