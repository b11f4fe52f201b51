import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import Testing

/// Rules that take the newest few, and rules that keep images for a time: the decision on one image hangs on others, and on when its match began.
@Suite struct SelectionTests {
    private static let newestTwo = """
        apiVersion: forecache/v1
        rules:
          - name: newest
            match: { visibility: public }
            select: { newest: 2, group_by: { property: os_distro } }
        """

    private static let forADay = """
        apiVersion: forecache/v1
        rules:
          - name: for-a-day
            match: { all: [ { tag: golden }, { visibility: public } ] }
            for: 1d
        """

    private func image(_ number: Int, _ distro: String = "ubuntu") -> ImageFacts {
        var image = Samples.image(number, tags: [])
        image.properties["os_distro"] = distro
        image.createdAt = Date(timeIntervalSince1970: 1_700_000_000 + Double(number))
        return image
    }

    /// Rounds for all that is due, as the work loop does them; returns what was looked at.
    @discardableResult private func settle(_ world: World) async throws -> Set<ImageID> {
        var seen: Set<ImageID> = []
        while true {
            let rows = try await world.ledger.dueWork(at: world.clock.now.date, excluding: [:], limit: 10)
            guard let row = rows.first else { return seen }
            #expect(await world.reconciler.reconcile(row.image, cause: row.cause) == .settled)
            try await world.ledger.finish([row])
            seen.insert(row.image)
        }
    }

    private func upload(_ world: World, _ images: ImageFacts...) async throws {
        for image in images {
            await world.catalog.put(image)
            try await world.ledger.request([image.id], cause: .event, at: world.clock.now.date)
            try await settle(world)
        }
    }

    private func wanted(_ world: World, _ numbers: Int...) async throws -> [Int] {
        var wanted: [Int] = []
        for number in numbers {
            let placements = try await world.ledger.placements(of: Samples.imageID(number))
            if placements.contains(where: \.isWanted) { wanted.append(number) }
        }
        return wanted
    }

    @Test func aNewerImagePutsTheOldestOutAndNothingIsDeleted() async throws {
        let world = try World(rules: Self.newestTwo)
        try await upload(world, image(1), image(2), image(9, "rhel"))
        #expect(try await wanted(world, 1, 2, 9) == [1, 2, 9])
        await world.catalog.put(image(3))
        try await world.ledger.request([Samples.imageID(3)], cause: .event, at: world.clock.now.date)
        #expect(try await settle(world) == [Samples.imageID(3), Samples.imageID(1)])
        #expect(try await wanted(world, 1, 2, 3, 9) == [2, 3, 9])
        #expect(await world.holders(of: Samples.imageID(1)).count == 4)
        #expect(try await world.ledger.placements(of: Samples.imageID(1)).allSatisfy { $0.refreshAt == nil })
    }

    @Test(arguments: ["deleted", "deactivated", "made private", "moved to another group"])
    func whenTheNewestGoesTheOlderOneIsWantedAgain(how: String) async throws {
        let world = try World(rules: Self.newestTwo)
        try await upload(world, image(1), image(2), image(3))
        #expect(try await wanted(world, 1, 2, 3) == [2, 3])
        let newest = Samples.imageID(3)
        switch how {
        case "deleted": await world.catalog.delete(newest)
        case "deactivated": await world.catalog.change(newest) { $0.status = .deactivated }
        case "made private": await world.catalog.change(newest) { $0.visibility = "private" }
        default: await world.catalog.change(newest) { $0.properties["os_distro"] = "rhel" }
        }
        try await world.ledger.request([newest], cause: .event, at: world.clock.now.date)
        #expect(try await settle(world) == [newest, Samples.imageID(1)])
        #expect(try await wanted(world, 1, 2).count == 2)
        #expect(try await wanted(world, 3) == (how == "moved to another group" ? [3] : []))
    }

    @Test func theBookIsReadFromGlanceAtTheFirstDecision() async throws {
        let world = try World(rules: Self.newestTwo)
        for number in 1...4 { await world.catalog.put(image(number)) }
        try await world.ledger.request([Samples.imageID(1)], cause: .event, at: world.clock.now.date)
        try await settle(world)
        #expect(try await wanted(world, 1) == [])
    }

    @Test func manyLooksAtOnceReadTheBookOnce() async throws {
        let world = try World(rules: Self.newestTwo)
        for number in 1...8 { await world.catalog.put(image(number)) }
        await withTaskGroup(of: Void.self) { group in
            for number in 1...8 {
                group.addTask { _ = await world.reconciler.reconcile(Samples.imageID(number), cause: .event) }
            }
        }
        #expect(await world.catalog.listings == 1)
    }

    @Test func aRuleKeepsAnImageForItsTimeAfterTheMatchBegan() async throws {
        let world = try World(rules: Self.forADay)
        let id = Samples.imageID(1)
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = await world.reconciler.reconcile(id, cause: .event)
        #expect(try await wanted(world, 1) == [1])
        world.clock.advance(by: .seconds(86_000))
        _ = await world.reconciler.reconcile(id, cause: .resync)
        #expect(try await wanted(world, 1) == [1])
        world.clock.advance(by: .seconds(500))
        _ = await world.reconciler.reconcile(id, cause: .resync)
        #expect(try await wanted(world, 1) == [])
        // It goes on matching, and is not begun anew by that.
        world.clock.advance(by: .seconds(500))
        _ = await world.reconciler.reconcile(id, cause: .resync)
        #expect(try await wanted(world, 1) == [])
        // Without the tag, and then with it again: another match.
        await world.catalog.change(id) { $0.tags = [] }
        _ = await world.reconciler.reconcile(id, cause: .event)
        await world.catalog.change(id) { $0.tags = ["golden"] }
        _ = await world.reconciler.reconcile(id, cause: .event)
        #expect(try await wanted(world, 1) == [1])
    }
}
