import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import Testing

/// The loops on a clock that the test moves.
@Suite struct LoopTests {
    private let id = Samples.imageID(1)

    private func ask(_ world: World, for images: [ImageID]) async throws {
        try await world.ledger.request(images, cause: .event, at: world.clock.now.date)
        world.work.wake()
    }

    @Test func workIsTakenTriedAgainAndDrained() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.inject(.away, on: "dcn1-compute-0")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await ask(world, for: [id])
            try await eventually("the first round fails") {
                try await world.ledger.dueWork(at: .distantFuture, excluding: [:], limit: 1).first?.attempts == 1
            }
            await world.hosts.heal("dcn1-compute-0")
            try await eventually("the second round succeeds") {
                world.clock.advance(by: .seconds(1))
                return await world.holders(of: id) == ["dcn1-compute-0"]
            }
            try await eventually("the row is finished") { try await world.ledger.workCount() == 0 }
            await world.loop.drain()
            try await group.waitForAll()
        }
    }

    @Test func manyRowsAreWorkedOffAndNoneTwice() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        let images = (1...700).map(Samples.imageID)
        try await world.ledger.request(images, cause: .resync, at: world.clock.now.date)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await eventually("all are finished") { try await world.ledger.workCount() == 0 }
            await world.loop.drain()
            try await group.waitForAll()
        }
        #expect(await world.loop.imagesInFlight == 0)
    }

    /// As the intake does it, at any moment of the loop.
    @Test func whatIsHandedOverIsLookedAtOnce() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            for number in 1...300 {
                let rows = try await world.ledger.request([Samples.imageID(number)], cause: .event, at: world.clock.now.date)
                if number % 3 == 0 { world.work.wake() }
                await world.loop.take(rows)
            }
            try await eventually("all are finished") { try await world.ledger.workCount() == 0 }
            await world.loop.drain()
            try await group.waitForAll()
        }
        #expect(await world.catalog.reads == 300)
    }

    /// The loop sleeps for half a minute of a clock that stands still.
    @Test func whatIsHandedOverWakesTheLoop() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await eventually("the loop sleeps") { world.clock.sleeperCount == 1 }
            await world.loop.take(try await world.ledger.request([id], cause: .event, at: world.clock.now.date))
            try await eventually("the row is finished") { try await world.ledger.workCount() == 0 }
            await world.loop.drain()
            try await group.waitForAll()
        }
    }

    /// Far more images than rounds at once go to a site behind a thin line; one for another site is not held up by them.
    @Test func imagesThatWaitForASlowSiteHoldNobodyUp() async throws {
        let world = try World(sites: 2, hostsPerSite: 1)
        let (slow, count) = (HostName("dcn1-compute-0"), Limits().imagesInFlight + 40)
        await world.hosts.setWAN(bytesPerSecond: 1)
        for number in 1...count { await world.catalog.put(Samples.image(number, tags: ["precache:dcn1"])) }
        await world.catalog.put(Samples.image(900, tags: ["precache:dcn2"]))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await ask(world, for: (1...count).map(Samples.imageID))
            try await eventually("all of them are planned") { await world.loop.imagesInFlight == count }
            try await ask(world, for: [Samples.imageID(900)])
            try await eventually("the other site's is on its way") {
                try await world.states(of: Samples.imageID(900))["dcn2-compute-0"] == .caching
            }
            #expect(await world.holders(of: Samples.imageID(1)).isEmpty, "\(slow) is still at its first")
            group.cancelAll()
        }
    }

    @Test func anImageUnderWayIsLookedAtAgainForItsOtherSites() async throws {
        let world = try World(sites: 2, hostsPerSite: 1, rules: World.rules)
        await world.catalog.put(Samples.image(1, tags: ["precache:dcn1"]))
        await world.hosts.setWAN(bytesPerSecond: 1)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await ask(world, for: [id])
            try await eventually("it is on its way") { await world.hosts.isReceiving(id, on: "dcn1-compute-0") }
            await world.catalog.change(id) { $0.tags = ["precache:dcn1", "precache:dcn2"] }
            await world.hosts.setWAN(bytesPerSecond: nil)
            try await ask(world, for: [id])
            try await eventually("the other site has it") { await world.holders(of: id) == ["dcn2-compute-0"] }
            #expect(try await world.states(of: id)["dcn1-compute-0"] == .caching, "left to the round that is at work on it")
            group.cancelAll()
        }
    }

    /// An event came in while it was at work, and the round of that event ended well.
    @Test func whatFailedIsTriedAgainWhateverLaterRoundsDid() async throws {
        let world = try World(sites: 2, hostsPerSite: 1)
        await world.catalog.put(Samples.image(1, tags: ["precache:dcn1"]))
        await world.hosts.setWAN(bytesPerSecond: 1)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await ask(world, for: [id])
            try await eventually("one site is at it") { await world.hosts.isReceiving(id, on: "dcn1-compute-0") }
            await world.catalog.change(id) { $0.tags = ["precache:dcn1", "precache:dcn2"] }
            await world.hosts.setWAN(bytesPerSecond: 1 << 19)
            try await ask(world, for: [id])
            try await eventually("the other one as well") { await world.hosts.isReceiving(id, on: "dcn2-compute-0") }
            await world.hosts.inject(.away, on: "dcn1-compute-0")
            world.clock.advance(by: .seconds(1))
            try await eventually("the first fails") { try await world.states(of: id)["dcn1-compute-0"] == .failed }
            try await eventually("the other one has it") {
                world.clock.advance(by: .seconds(1))
                return await world.holders(of: id) == ["dcn2-compute-0"]
            }
            await world.loop.drain()
            try await group.waitForAll()
        }
        #expect(try await world.ledger.workCount() == 1)
    }

    /// The same behind an aggregate whose hosts take their time.
    @Test func imagesThatWaitForASlowAggregateHoldNobodyUp() async throws {
        let rules = """
            apiVersion: forecache/v1
            rules:
              - name: through-nova
                match: { all: [ { tag: nova }, { visibility: public } ] }
                targets: { sites: [dcn1] }
                deliver: { via: nova-api }
              - name: direct
                match: { all: [ { tag: ssh }, { visibility: public } ] }
                targets: { sites: [dcn2] }
            """
        let world = try World(sites: 2, hostsPerSite: 1, rules: rules)
        let count = Limits().imagesInFlight + 40
        await world.nova.put("dcn1", hosts: ["dcn1-compute-0"])
        await world.nova.set(.silent, on: "dcn1-compute-0")
        await world.nova.set(endsRequests: false)
        for number in 1...count { await world.catalog.put(Samples.image(number, tags: ["nova"])) }
        await world.catalog.put(Samples.image(900, tags: ["ssh"]))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await ask(world, for: (1...count).map(Samples.imageID))
            try await eventually("all of them are planned") { await world.loop.imagesInFlight == count }
            try await ask(world, for: [Samples.imageID(900)])
            try await eventually("the other site has its own") { await world.holders(of: Samples.imageID(900)) == ["dcn2-compute-0"] }
            #expect(await world.nova.requests.count == 1)
            group.cancelAll()
        }
    }

    @Test func aHostThatComesBackWhileItsSiteFetchesGetsNoCopyOfItsOwn() async throws {
        let world = try World(sites: 1, hostsPerSite: 3)
        let late = HostName("dcn1-compute-2")
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.setWAN(bytesPerSecond: 1)
        await world.hosts.setLAN(bytesPerSecond: 1 << 30)
        await world.hosts.inject(.away, on: late)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await ask(world, for: [id])
            try await eventually("the seed fetches") { await world.hosts.isReceiving(id, on: "dcn1-compute-0") }
            await world.hosts.heal(late)
            await world.surveyor.forget(late)
            try await ask(world, for: [id])
            try await eventually("it waits for what is on its way") {
                let record = try await world.ledger.placements(of: id).first { $0.host == late }
                return record?.lastError?.contains("on its way to site dcn1") == true
            }
            try await eventually("it is looked at again in a minute") {
                let row = try await world.ledger.dueWork(at: .distantFuture, excluding: [:], limit: 1).first
                return row?.dueAt == world.clock.now.date.addingTimeInterval(60) && row?.attempts == 0
            }
            #expect(await !world.hosts.isReceiving(id, on: late))
            group.cancelAll()
        }
    }

    @Test func twoRowsOfOneImageThatAreHandedOverTogetherAreOneLook() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        let first = try await world.ledger.request([id], cause: .event, at: world.clock.now.date)
        await world.loop.take(first + (try await world.ledger.request([id], cause: .event, at: world.clock.now.date)))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await eventually("the row is finished") { try await world.ledger.workCount() == 0 }
            await world.loop.drain()
            try await group.waitForAll()
        }
        #expect(await world.catalog.reads == 1)
    }

    /// What failed at one site is tried again while another takes its hours.
    @Test func aRoundThatTakesHoursDoesNotHoldUpWhatFailedInIt() async throws {
        let world = try World(sites: 2, hostsPerSite: 1)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.setWAN(bytesPerSecond: 1)
        await world.hosts.inject(.away, on: "dcn2-compute-0")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await ask(world, for: [id])
            try await eventually("one is on its way and one away") {
                let isAway = try await world.states(of: id)["dcn2-compute-0"] == .failed
                return await world.hosts.isReceiving(id, on: "dcn1-compute-0") && isAway
            }
            await world.hosts.heal("dcn2-compute-0")
            await world.hosts.setWAN(bytesPerSecond: nil)
            try await eventually("the other one has it") {
                world.clock.advance(by: .seconds(5))
                return await world.holders(of: id).contains("dcn2-compute-0")
            }
            group.cancelAll()
        }
    }

    @Test func whatIsWantedIsTouchedAheadOfItsTTLForEver() async throws {
        let world = try World(sites: 1, hostsPerSite: 2)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        for host in world.policy.value.fleet.hosts { await world.hosts.set(ttlSeconds: 600, on: host.name) }
        _ = await world.reconciler.reconcile(id, cause: .event)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.refresher.run() }
            for _ in 0..<300 {
                try await eventually("the refresher sleeps") { world.clock.sleeperCount > 0 }
                world.clock.advance(by: .seconds(10))
                await world.hosts.runNovasJanitor()
            }
            #expect(await world.holders(of: id).count == 2)
            #expect(world.counters.snapshot.refreshed >= 2 * 4)
            group.cancelAll()
        }
    }

    @Test func aBaseFileFoundMissingBecomesWork() async throws {
        let world = try World(sites: 1, hostsPerSite: 2)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        await world.hosts.remove(id, from: "dcn1-compute-1")
        world.clock.advance(by: .seconds(60_000))
        #expect(try await world.refresher.refresh("dcn1-compute-0").touched == [id])
        #expect(try await world.refresher.refresh("dcn1-compute-1").missing == [id])
        let row = try #require(try await world.ledger.dueWork(at: world.clock.now.date, excluding: [:], limit: 1).first)
        #expect(await world.reconciler.reconcile(row.image, cause: row.cause) == .settled)
        #expect(await world.holders(of: id).count == 2)
    }

    @Test func aHostThatIsAwayIsAskedAgainBeforeItsFilesExpire() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        world.clock.advance(by: .seconds(52_000))
        await world.hosts.inject(.away, on: "dcn1-compute-0")
        let due = try #require(try await world.ledger.hostsDue(at: world.clock.now.date, limit: 10).first)
        #expect(try await world.refresher.refresh(due.host).failure?.kind == .retriable)
        let next = try #require(try await world.ledger.nextRefresh())
        let expiry = due.expiresAt
        #expect(next > world.clock.now.date)
        #expect(expiry.timeIntervalSince(next) > expiry.timeIntervalSince(world.clock.now.date) / 2)
    }

    @Test func forksBoundHowManyWorkAtOnceAndACancelledWaiterLeaves() async throws {
        let forks = Forks(2)
        let peak = Peak()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    try? await forks.run { () async throws(Failure) in
                        await peak.enter()
                        await Task.yield()
                        await peak.leave()
                    }
                }
            }
        }
        #expect(await peak.highest == 2)
        let refused = await Task {
            withUnsafeCurrentTask { $0?.cancel() }
            do throws(Failure) {
                try await forks.run { () async throws(Failure) in }
                return Failure.Kind.fatal
            } catch {
                return error.kind
            }
        }.value
        #expect(refused == .cancelled)
    }

    private actor Peak {
        private var now = 0
        private(set) var highest = 0

        func enter() {
            now += 1
            highest = max(highest, now)
        }

        func leave() { now -= 1 }
    }
}
