import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import SQLiteLedger
import Testing

/// What goes wrong in the middle leaves no wrong base file, nothing that the next sweep would not take, and its reason in the ledger.
@Suite struct BadDaysTests {
    private let id = Samples.imageID(1)
    private let half: Int64 = 1 << 19

    @Test func anImageDeletedAtHalfIsGivenUpAndSwept() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.inject(.breaksAfter(bytes: half), on: "dcn1-compute-0")
        _ = await world.reconciler.reconcile(id, cause: .event)
        #expect(try await world.ledger.placements(of: id).first?.lastError?.contains("broke") == true)
        await world.catalog.delete(id)
        #expect(await world.reconciler.reconcile(id, cause: .retry) == .settled)
        #expect(await world.holders(of: id).isEmpty)
        #expect(try await world.states(of: id).values.allSatisfy { $0 == .unwanted })
        let host = try #require(world.policy.value.fleet.hosts.first)
        #expect(try await world.hosts.survey(host).temporaryBytes == half)
        world.clock.advance(by: .seconds(3 * 86400))
        #expect(try await world.hosts.sweep(olderThanSeconds: Limits().temporarySeconds, on: host) == half)
        #expect(try await world.hosts.survey(host).temporaryBytes == 0)
    }

    @Test func aServiceKilledInTheMiddleGoesOnAtTheByteReached() async throws {
        let ledger = try SQLiteLedger.inMemory()
        let first = try World(sites: 1, hostsPerSite: 1, ledger: ledger)
        await first.catalog.put(Samples.image(1, tags: ["golden"]))
        await first.hosts.inject(.breaksAfter(bytes: half), on: "dcn1-compute-0")
        _ = await first.reconciler.reconcile(id, cause: .event)
        let second = try World(sites: 1, hostsPerSite: 1, ledger: ledger, hosts: first.hosts)
        await second.catalog.put(Samples.image(1, tags: ["golden"]))
        #expect(await second.reconciler.reconcile(id, cause: .resync) == .settled)
        #expect(second.counters.snapshot.bytesMoved == half)
        #expect(await second.holders(of: id) == ["dcn1-compute-0"])
    }

    @Test func whatWasPublishedButNotRecordedIsFoundAndNotMovedAgain() async throws {
        let first = try World(sites: 1, hostsPerSite: 2)
        await first.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await first.reconciler.reconcile(id, cause: .event)
        // Another ledger: nothing of it was written down.
        let second = try World(sites: 1, hostsPerSite: 2, hosts: first.hosts)
        await second.catalog.put(Samples.image(1, tags: ["golden"]))
        #expect(await second.reconciler.reconcile(id, cause: .resync) == .settled)
        #expect(second.counters.snapshot.bytesMoved == 0)
        #expect(try await Set(second.states(of: id).values) == [.fresh])
    }

    @Test func twoControllersAtOnceMakeOneBaseFileAHost() async throws {
        let first = try World(sites: 2, hostsPerSite: 3)
        let second = try World(sites: 2, hostsPerSite: 3, hosts: first.hosts)
        for world in [first, second] { await world.catalog.put(Samples.image(1, tags: ["golden"])) }
        async let one = first.reconciler.reconcile(id, cause: .event)
        async let other = second.reconciler.reconcile(id, cause: .event)
        let ends = await [one, other]
        // Where the other one was faster, there may be something to look at once more; nothing may be wrong.
        for (world, end) in zip([first, second], ends) where end != .settled {
            #expect(await world.reconciler.reconcile(id, cause: .retry) == .settled)
        }
        #expect(await first.holders(of: id).count == 6)
        for world in [first, second] { #expect(try await Set(world.states(of: id).values) == [.fresh]) }
        for host in first.policy.value.fleet.hosts { #expect(try await first.hosts.survey(host).temporaryBytes == 0) }
    }

    @Test func hostileTextsGoThroughAsTheyAre() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        let name = "a 'b' \"c\" `d` $(touch /tmp/x) ; rm -rf /\n\r\t\u{1B}[2J\u{202E}%s\\"
        await world.catalog.put(
            Samples.image(
                1, name: name, tags: ["golden", "$(id)", "'; DROP TABLE images; --"], properties: ["os'distro\n": "\"\\u0000 $(id)"]))
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        #expect(try await world.ledger.images(after: nil, limit: 9).map(\.name) == [name])
        await world.hosts.inject(.away, on: "dcn1-compute-0")
        world.clock.advance(by: .seconds(52_000))
        let refreshed = try await world.refresher.refresh("dcn1-compute-0")
        #expect(refreshed.failure?.kind == .retriable)
        #expect(try await world.ledger.placements(of: id).first?.lastError?.contains("not reachable") == true)
    }

    /// Each of them has a pause of its own by then, up to an hour; whoever notices the host first, a touch or another image's round, tells all.
    @Test(arguments: [true, false]) func whatFailedForWantOfAHostIsDueOnceItIsBack(isNoticedByATouch: Bool) async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        let ids = (1...3).map(Samples.imageID)
        for number in 1...3 { await world.catalog.put(Samples.image(number, tags: ["golden"])) }
        _ = await world.reconciler.reconcile(ids[0], cause: .event)
        await world.hosts.inject(.away, on: "dcn1-compute-0")
        world.clock.advance(by: .seconds(52_000))
        let now = world.clock.now.date
        for row in try await world.ledger.request(Array(ids[1...]), cause: .event, at: now) {
            guard case .again = await world.reconciler.reconcile(row.image, cause: row.cause) else {
                Issue.record("a host that is away must be tried again")
                return
            }
            try await world.ledger.postpone(row, until: now.addingTimeInterval(3600), reason: "away")
        }
        await world.hosts.heal("dcn1-compute-0")
        world.clock.advance(by: .seconds(600))
        if isNoticedByATouch {
            #expect(try await world.refresher.refresh("dcn1-compute-0").touched == [ids[0]])
        } else {
            #expect(await world.reconciler.reconcile(ids[0], cause: .resync) == .settled)
        }
        let due = try await world.ledger.dueWork(at: world.clock.now.date, excluding: [:], limit: 9)
        #expect(Set(due.map(\.image)) == Set(ids[1...]))
        #expect(due.allSatisfy { $0.attempts == 0 })
    }

    @Test func aHostThatWasAwayPastTheTTLIsRepairedAndTheOthersAreNotAsked() async throws {
        let world = try World(sites: 2, hostsPerSite: 2)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        await world.hosts.inject(.away, on: "dcn1-compute-1")
        for _ in 0..<6 {
            world.clock.advance(by: .seconds(17_000))
            for host in world.policy.value.fleet.hosts { _ = try await world.refresher.refresh(host.name) }
        }
        await world.hosts.runNovasJanitor()
        await world.hosts.heal("dcn1-compute-1")
        await world.hosts.inject(.away, on: "dcn2-compute-0")
        world.clock.advance(by: .seconds(600))
        #expect(try await world.refresher.refresh("dcn1-compute-1").missing == [id])
        #expect(try await world.states(of: id)["dcn1-compute-1"] == .failed)
        let row = try #require(try await world.ledger.dueWork(at: world.clock.now.date, excluding: [:], limit: 1).first)
        #expect(row.cause == .refresh)
        // Host dcn2-compute-0 is away, and nobody waits for it.
        #expect(await world.reconciler.reconcile(id, cause: row.cause) == .settled)
        #expect(try await world.states(of: id)["dcn1-compute-1"] == .fresh)
    }
}
