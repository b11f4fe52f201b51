import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import Testing

@Suite struct ReconcilerTests {
    /// The decision stands in the ledger, and each host says why it does not get the bytes.
    @Test(arguments: [Failure.Kind.permanent, .retriable]) func whatCannotBeLookedAtIsWrittenDown(kind: Failure.Kind) async throws {
        let (world, id) = (try World(), Samples.imageID(1))
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.catalog.failBytes(with: Failure(kind, "Glance has no data of this image"))
        guard case .again(_, let isPermanent, _) = await world.reconciler.reconcile(id, cause: .event) else {
            Issue.record("it ended otherwise")
            return
        }
        #expect(isPermanent == (kind == .permanent))
        let records = try await world.ledger.placements(of: id)
        #expect(records.count == 4)
        if kind == .permanent {
            #expect(records.allSatisfy { $0.lastError?.contains("Glance has no data") ?? false }, "\(records.map(\.lastError))")
        }
    }

    @Test func theLedgerTellsHowFarATransferIs() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        let image = Samples.image(1, tags: ["golden"])
        await world.catalog.put(image)
        await world.hosts.setWAN(bytesPerSecond: 1 << 12)
        async let end = world.reconciler.reconcile(image.id, cause: .event)
        var seen: TransferProgress?
        try await eventually("it is under way") {
            world.clock.advance(by: .seconds(1))
            seen = try await world.ledger.placements(of: image.id).first?.transfer
            return seen.map { $0.receivedBytes > 0 } ?? false
        }
        let transfer = try #require(seen)
        #expect(transfer.source == "glance" && transfer.totalBytes == 1 << 20 && transfer.receivedBytes < 1 << 20)
        await world.hosts.setWAN(bytesPerSecond: 1 << 20)
        try await eventually("it is done") {
            world.clock.advance(by: .seconds(1))
            return await world.holders(of: image.id).count == 1
        }
        #expect(await end == .settled)
        #expect(try await world.ledger.placements(of: image.id).map(\.transfer) == [nil])
    }

    private let id = Samples.imageID(1)

    @Test func aTaggedImageGoesWhereTheRulesWantIt() async throws {
        let world = try World()
        await world.catalog.put(Samples.image(1, tags: ["precache:dcn2"]))
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        #expect(await world.holders(of: id) == ["dcn2-compute-0", "dcn2-compute-1"])
        #expect(try await world.states(of: id) == ["dcn2-compute-0": .fresh, "dcn2-compute-1": .fresh])
    }

    @Test func doneAgainItChangesNothing() async throws {
        let world = try World()
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        let before = await world.hosts.operations
        #expect(await world.reconciler.reconcile(id, cause: .resync) == .settled)
        #expect(await world.hosts.operations == before)
    }

    @Test func aTagTakenAwayStopsTheRefreshAndDeletesNothing() async throws {
        let world = try World()
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        await world.catalog.change(id) { $0.tags = [] }
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        #expect(await world.holders(of: id).count == 4)
        #expect(try await Set(world.states(of: id).values) == [.unwanted])
        #expect(try await world.ledger.nextRefresh() == nil)
    }

    @Test func anImageGoneFromGlanceIsWantedNowhere() async throws {
        let world = try World()
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        await world.catalog.delete(id)
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        #expect(try await Set(world.states(of: id).values) == [.unwanted])
    }

    @Test func oneHostAwayFailsAloneAndIsDoneInALaterRound() async throws {
        let world = try World(sites: 1, hostsPerSite: 3)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.inject(.away, on: "dcn1-compute-1")
        guard case .again(let reason, _, _) = await world.reconciler.reconcile(id, cause: .event) else {
            Issue.record("a host that is away must be tried again")
            return
        }
        #expect(reason.contains("dcn1-compute-1"))
        #expect(await world.holders(of: id) == ["dcn1-compute-0", "dcn1-compute-2"])
        #expect(try await world.states(of: id)["dcn1-compute-1"] == .failed)
        await world.hosts.heal("dcn1-compute-1")
        // One time-out counts for all images for a while.
        guard case .again = await world.reconciler.reconcile(id, cause: .retry) else {
            Issue.record("a host that did not answer is not asked again at once")
            return
        }
        world.clock.advance(by: .seconds(31))
        #expect(await world.reconciler.reconcile(id, cause: .retry) == .settled)
        #expect(await world.holders(of: id).count == 3)
    }

    /// Bytes that wait for a window do not wait for the back-off of what failed elsewhere.
    @Test func aFailureElsewhereDoesNotPutOffWhatWaits() async throws {
        let rules = """
            apiVersion: forecache/v1
            rules:
              - name: windowed
                match: { all: [ { tag: golden }, { visibility: public } ] }
                targets: { sites: [dcn1] }
                deliver: { window: "08:20-08:30 UTC" }
              - name: without-aggregate
                match: { all: [ { tag: golden }, { visibility: public } ] }
                targets: { sites: [dcn2] }
                deliver: { via: nova-api }
            """
        let world = try World(sites: 2, hostsPerSite: 1, rules: rules)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        guard case .again(_, isPermanent: true, let latest) = await world.reconciler.reconcile(id, cause: .event) else {
            Issue.record("only an operator can make the aggregate")
            return
        }
        #expect(latest == world.clock.now.date.addingTimeInterval(20 * 60), "it is 08:00 on the tests' clock")
    }

    @Test func aHostThatCannotBeAskedKeepsItsTTL() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        await world.hosts.set(ttlSeconds: 3600, on: "dcn1-compute-0")
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        await world.hosts.inject(.away, on: "dcn1-compute-0")
        world.clock.advance(by: .seconds(61))
        _ = await world.reconciler.reconcile(id, cause: .resync)
        #expect(try await world.ledger.placements(of: id).map(\.ttlSeconds) == [3600])
    }

    @Test func whatOnlyAnOperatorCanMendIsNotTriedEveryFewSeconds() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.inject(.corrupts, on: "dcn1-compute-0")
        guard case .again(_, isPermanent: true, _) = await world.reconciler.reconcile(id, cause: .event) else {
            Issue.record("a digest that does not match is permanent")
            return
        }
    }

    @Test func bytesThatDoNotMatchNeverBecomeABaseFile() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.inject(.corrupts, on: "dcn1-compute-0")
        guard case .again(let reason, _, _) = await world.reconciler.reconcile(id, cause: .event) else {
            Issue.record("a digest that does not match is a failure")
            return
        }
        #expect(reason.contains("do not match"))
        #expect(await world.holders(of: id).isEmpty)
        #expect(await world.reconciler.reconcile(id, cause: .retry) == .settled)
        #expect(await world.holders(of: id) == ["dcn1-compute-0"])
    }

    @Test func aBrokenTransferIsResumed() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.inject(.breaksAfter(bytes: 1000), on: "dcn1-compute-0")
        _ = await world.reconciler.reconcile(id, cause: .event)
        _ = await world.reconciler.reconcile(id, cause: .retry)
        #expect(await world.holders(of: id) == ["dcn1-compute-0"])
        #expect(world.counters.snapshot.bytesMoved == (1 << 20) - 1000)
    }

    @Test func aCopyFallsBackToGlanceWhereTheProxyFails() async throws {
        let world = try World(sites: 1, hostsPerSite: 3, settings: SiteSettings(deliver: DeliverySettings(via: .proxy)))
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.hosts.inject(.full, on: "dcn1-compute-0")
        guard case .again = await world.reconciler.reconcile(id, cause: .event) else {
            Issue.record("the proxy itself is to be tried again")
            return
        }
        #expect(await world.holders(of: id) == ["dcn1-compute-1", "dcn1-compute-2"])
    }

    @Test func anImageThatIsNotWhatItSaysReachesNoHost() async throws {
        let world = try World(sites: 1, hostsPerSite: 2)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        // A qcow2 that was declared raw: Nova would hand it to an instance as a disk, and QEMU would open what it names.
        await world.catalog.put(head: Array("QFI".utf8) + [0xFB, 0, 0, 0, 3], of: id)
        guard case .again(let reason, isPermanent: true, _) = await world.reconciler.reconcile(id, cause: .event) else {
            Issue.record("a hostile image is a permanent failure")
            return
        }
        #expect(reason.contains("is refused"))
        #expect(await world.holders(of: id).isEmpty)
        #expect(await world.hosts.operations.isEmpty)
        #expect(try await Set(world.states(of: id).values) == [.failed])
    }

    @Test func aRefreshIsAWordOnTheSitesThatMissTheImageOnly() async throws {
        let world = try World(sites: 2, hostsPerSite: 1)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        await world.hosts.remove(id, from: "dcn1-compute-0")
        await world.surveyor.forget("dcn1-compute-0")
        try await world.ledger.recordMissing([id], on: "dcn1-compute-0", reason: "gone", at: world.clock.now.date)
        // What nobody told us of it yet is found by a look at the whole image.
        await world.catalog.change(id) { $0.tags = ["precache:dcn1"] }
        #expect(await world.reconciler.reconcile(id, cause: .refresh) == .settled)
        #expect(try await world.states(of: id) == ["dcn1-compute-0": .fresh, "dcn2-compute-0": .fresh])
        #expect(await world.reconciler.reconcile(id, cause: .resync) == .settled)
        #expect(try await world.states(of: id) == ["dcn1-compute-0": .fresh, "dcn2-compute-0": .unwanted])
    }

    @Test func anImageThatIsNotActiveIsLeftAlone() async throws {
        let world = try World()
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        await world.catalog.change(id) { $0.status = .deactivated }
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        #expect(await world.holders(of: id).isEmpty)
    }

    @Test func glanceAwayMeansAgainAndNothingIsForgotten() async throws {
        let world = try World()
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        await world.catalog.fail(with: Failure(.retriable, "Glance at http://glance is not reachable"))
        #expect(
            await world.reconciler.reconcile(id, cause: .resync)
                == .again(reason: "Glance at http://glance is not reachable", isPermanent: false))
        #expect(try await Set(world.states(of: id).values) == [.fresh])
    }
}
