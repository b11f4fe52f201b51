import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import Testing

/// Windows, rate limits and priorities, on a WAN that takes time. The clock starts at 2027-01-15 08:00:00 UTC.
@Suite struct WANTests {
    private let id = Samples.imageID(1)

    private func site(_ window: String? = nil, rate: Int64? = nil, via: Via = .direct) throws -> SiteSettings {
        SiteSettings(deliver: DeliverySettings(via: via, rateLimit: rate, window: try window.map { try #require(Window($0)) }))
    }

    /// Lets time pass while `work` goes on, a second a step, until it is done.
    private func pass<Result: Sendable>(_ world: World, _ work: @escaping @Sendable () async -> Result) async throws -> Result {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { await work() }
            group.addTask {
                while !Task.isCancelled {
                    if world.clock.sleeperCount > 0 { world.clock.advance(by: .seconds(1)) }
                    await Task.yield()
                }
                return nil
            }
            defer { group.cancelAll() }
            return try #require(try await group.next() ?? nil)
        }
    }

    @Test func nothingCrossesTheWANBeforeTheWindowOpens() async throws {
        let world = try World(sites: 1, hostsPerSite: 2, settings: try site("10:00-12:00"))
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.setWAN(bytesPerSecond: 1 << 18)
        let opening = world.clock.now.date.addingTimeInterval(7200)
        guard case .waiting(opening, let reason) = await world.reconciler.reconcile(id, cause: .event) else {
            Issue.record("the window is closed")
            return
        }
        #expect(
            reason
                == "2 of 2 hosts wait, first dcn1-compute-0: outside the window 10:00-12:00 UTC of site dcn1; it opens at 2027-01-15T10:00:00Z"
        )
        #expect(await world.hosts.wanTraffic.isEmpty)
        #expect(try await Set(world.states(of: id).values) == [.pending])
        #expect(try await world.ledger.placements(of: id).first?.lastError?.contains("outside the window 10:00-12:00 UTC") == true)
        world.clock.advance(by: .seconds(7200))
        #expect(try await pass(world) { await world.reconciler.reconcile(id, cause: .retry) } == .settled)
        #expect(await world.holders(of: id).count == 2)
        #expect(try await world.ledger.placements(of: id).allSatisfy { $0.lastError == nil && $0.failures == 0 })
    }

    @Test func aTransferThatDoesNotFitStopsAtTheClosingAndGoesOnAtTheOpening() async throws {
        // 1 MiB at 64 KiB/s: 16 s, and the window is open for 10 more.
        let world = try World(sites: 1, hostsPerSite: 1, settings: try site("07:00-08:01"))
        world.clock.advance(by: .seconds(50))
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.setWAN(bytesPerSecond: 1 << 16)
        let end = try await pass(world) { await world.reconciler.reconcile(id, cause: .event) }
        guard case .waiting(let opening, _) = end else {
            Issue.record("it does not fit, but ended \(end)")
            return
        }
        #expect(opening == Date(timeIntervalSince1970: 1_800_000_000 + 23 * 3600))
        #expect(try await Set(world.states(of: id).values) == [.pending])
        #expect(try await world.ledger.placements(of: id).allSatisfy { $0.failures == 0 && !$0.isInFlight })
        world.clock.advance(by: .seconds(opening.timeIntervalSince(world.clock.now.date)))
        #expect(try await pass(world) { await world.reconciler.reconcile(id, cause: .retry) } == .settled)
        #expect(await world.holders(of: id).count == 1)
        let traffic = await world.hosts.wanTraffic
        let window = try #require(Window("07:00-08:01"))
        #expect(traffic.allSatisfy { window.isOpen(at: $0.at) })
        #expect(traffic.reduce(0) { $0 + $1.bytes } == 1 << 20)
    }

    @Test func touchesAndCopiesInsideTheSiteDoNotWait() async throws {
        let world = try World(sites: 1, hostsPerSite: 3, settings: try site("10:00-12:00", via: .proxy))
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        // One host has the bytes from before the window was set.
        let open = world.policy.value
        world.policy.replace(with: Policy(rules: open.rules, fleet: Samples.fleet(sites: 1, hosts: 1), defaults: open.defaults))
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        await world.hosts.setWAN(bytesPerSecond: 1 << 18)
        world.policy.replace(with: open)
        world.clock.advance(by: .seconds(100))
        #expect(try await pass(world) { await world.reconciler.reconcile(id, cause: .event) } == .settled)
        #expect(await world.holders(of: id).count == 3)
        #expect(await world.hosts.wanTraffic.isEmpty)
        world.clock.advance(by: .seconds(52_000))
        for host in open.fleet.hosts { #expect(try await world.refresher.refresh(host.name).touched == [id]) }
    }

    @Test func aWaitingImageIsDueAtTheOpeningAndItsWaitIsNoFailure() async throws {
        let world = try World(sites: 1, hostsPerSite: 1, settings: try site("08:30-12:00"))
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await world.loop.run() }
            try await world.ledger.request([id], cause: .event, at: world.clock.now.date)
            world.work.wake()
            let opening = world.clock.now.date.addingTimeInterval(1800)
            try await eventually("it waits for the opening") { try await world.ledger.nextWorkDue() == opening }
            let row = try await world.ledger.dueWork(at: opening, excluding: [:], limit: 1).first
            #expect(row?.attempts == 0)
            try await eventually("it goes on by itself") {
                world.clock.advance(by: .seconds(10))
                return await world.holders(of: id) == ["dcn1-compute-0"]
            }
            #expect(world.clock.now.date >= opening)
            await world.loop.drain()
            try await group.waitForAll()
        }
    }

    @Test func allDownloadsOfASiteTogetherKeepToItsRate() async throws {
        let world = try World(sites: 1, hostsPerSite: 4, settings: try site(rate: 1 << 18))
        for number in 1...3 { await world.catalog.put(Samples.image(number, tags: ["golden"])) }
        await world.hosts.setWAN(bytesPerSecond: 1 << 30)
        let started = world.clock.now
        let ends = try await pass(world) {
            await withTaskGroup(of: Reconciler<ManualClock>.End.self) { group in
                for number in 1...3 { group.addTask { await world.reconciler.reconcile(Samples.imageID(number), cause: .event) } }
                return await group.reduce(into: []) { $0.append($1) }
            }
        }
        #expect(ends.allSatisfy { $0 == .settled })
        let bySecond = Dictionary(grouping: await world.hosts.wanTraffic, by: \.at).mapValues { $0.reduce(0) { $0 + $1.bytes } }
        #expect(bySecond.values.allSatisfy { $0 <= 1 << 18 })
        // Twelve downloads of 1 MiB at 256 KiB/s, and the link is never idle.
        #expect((48...50).contains(started.duration(to: world.clock.now).seconds))
    }

    @Test func hostsWithoutAWayToGlanceGetTheirBytesThroughTheController() async throws {
        let settings = SiteSettings(deliver: DeliverySettings(via: .proxy, source: .controller))
        let world = try World(sites: 1, hostsPerSite: 3, settings: settings)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        #expect(await world.holders(of: id).count == 3)
        #expect(await world.hosts.received == ["dcn1-compute-0"])
    }

    @Test func higherPrioritiesGoFirstAndCancelledOnesLeaveTheLine() async throws {
        let (forks, order) = (Forks(1), Order())
        let (open, gate) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (entered, hasEntered) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            group.addTask {
                try await forks.run { () async throws(Failure) in
                    hasEntered.finish()
                    for await _ in open { return }
                }
            }
            for await _ in entered {}
            for (count, priority) in [50, 10, 90, 50, 90].enumerated() {
                group.addTask {
                    try await forks.run(priority: priority) { () async throws(Failure) in await order.note("\(priority).\(count)") }
                }
                try await eventually("it stands in the line") { forks.waiting == count + 1 }
            }
            gate.yield()
            try await group.waitForAll()
        }
        #expect(await order.notes == ["90.2", "90.4", "50.0", "50.3", "10.1"])
    }

    private actor Order {
        private(set) var notes: [String] = []
        func note(_ text: String) { notes.append(text) }
    }
}
