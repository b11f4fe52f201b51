import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Testing

/// When every image is looked at again, and what then is due.
@Suite struct ResyncTests {
    @Test func resyncFindsWhatNoEventTold() async throws {
        let world = try World()
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.catalog.put(Samples.image(2))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await world.resync.run() }
            try await eventually("the golden image is queued, the other is not") { try await world.ledger.workCount() == 1 }
            await world.catalog.put(Samples.image(3, tags: ["golden"]))
            try await eventually("the next resync finds the new one") {
                world.clock.advance(by: .seconds(60))
                return try await world.ledger.workCount() == 2
            }
            group.cancelAll()
        }
    }

    @Test func onlyAResyncThatSucceedsCountsAsOne() async throws {
        let world = try World()
        let start = world.clock.now.date
        #expect(world.counters.snapshot.resyncedAt == start, "the age counts from the start")
        #expect(world.counters.snapshot.resyncSeconds == 600)
        await world.catalog.fail(with: Failure(.retriable, "Glance is away"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await world.resync.run() }
            try await eventually("two resyncs fail") {
                world.clock.advance(by: .seconds(5))
                return await world.catalog.listings >= 2
            }
            #expect(world.counters.snapshot.resyncedAt == start)
            await world.catalog.fail(with: nil)
            try await eventually("the next one succeeds") {
                world.clock.advance(by: .seconds(5))
                return world.counters.snapshot.resyncedAt != start
            }
            group.cancelAll()
        }
    }

    @Test func aClockThatIsSetBackStopsNoResync() async throws {
        let world = try World()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await world.resync.run() }
            try await eventually("the first one rests") { world.clock.sleeperCount == 1 }
            world.clock.advance(by: .seconds(5))
            try await eventually("it waits for the next one") { world.clock.sleeperCount == 1 }
            world.clock.setBack(by: .seconds(7200))
            world.clock.advance(by: .seconds(600))
            try await eventually("the next one") { await world.catalog.listings == 2 }
            group.cancelAll()
        }
    }

    /// One try, and then the rest that it would have had: what fails each time must not be tried without rest by a service that dies each time.
    @Test func whatWaitsIsTriedAgainAtTheStartAndOnceGlanceIsBack() async throws {
        let (world, id) = (try World(sites: 1, hostsPerSite: 1), Samples.imageID(1))
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        try await world.ledger.request([id], cause: .event, at: world.clock.now.date)
        try await putOff(world)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await world.resync.run() }
            try await eventually("the start rests") { world.clock.sleeperCount == 1 }
            #expect(try await due(world).map(\.attempts) == [1])
            try await putOff(world)
            try await passResync(world)
            #expect(try await due(world).isEmpty, "Glance was not away")
            await world.catalog.fail(with: Failure(.retriable, "Glance is away"))
            try await passResync(world)
            await world.catalog.fail(with: nil)
            try await passResync(world)
            #expect(try await due(world).map(\.attempts) == [2])
            group.cancelAll()
        }
    }

    private func due(_ world: World) async throws -> [WorkRow] {
        try await world.ledger.dueWork(at: world.clock.now.date, excluding: [:], limit: 9)
    }

    private func putOff(_ world: World) async throws {
        let hour = world.clock.now.date.addingTimeInterval(3600)
        for row in try await due(world) { try await world.ledger.postpone(row, until: hour, reason: "no route to host") }
    }

    /// Lets time pass until the next one has ended, well or not.
    private func passResync(_ world: World) async throws {
        let before = await world.catalog.listings
        try await eventually("the next one") {
            if world.clock.sleeperCount == 1 { world.clock.advance(by: .seconds(60)) }
            return await world.catalog.listings > before
        }
        try await eventually("it rests") { world.clock.sleeperCount == 1 }
    }
}
