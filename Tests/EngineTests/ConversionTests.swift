import Engine
import ForecacheModel
import ForecacheTestSupport
import Planning
import Testing

/// Base files as each host's Nova would make them: the image's own bytes, or a raw file.
@Suite struct ConversionTests {
    /// A qcow2 header of version 2 with 64 KiB clusters, one L1 entry and a virtual size; the rest of the 1 MiB are zeros.
    private static func qcow2(virtualBytes: UInt64) -> [UInt8] {
        var head = [UInt8](repeating: 0, count: 1 << 16)
        func put(_ number: UInt64, _ width: Int, at offset: Int) {
            for index in 0..<width { head[offset + index] = UInt8(truncatingIfNeeded: number >> (8 * UInt64(width - 1 - index))) }
        }
        head.replaceSubrange(0..<4, with: [0x51, 0x46, 0x49, 0xFB])
        put(2, 4, at: 4)
        put(16, 4, at: 20)
        put(virtualBytes, 8, at: 24)
        put(1, 4, at: 36)
        put(0x30000, 8, at: 40)
        put(0x10000, 8, at: 48)
        put(1, 4, at: 56)
        return head
    }

    private static let gibibyte: Int64 = 1 << 30

    private static func image(_ number: Int) -> ImageFacts {
        var image = Samples.image(number, tags: ["golden"])
        image.diskFormat = "qcow2"
        return image
    }

    private func world(
        _ image: ImageFacts, virtualBytes: Int64 = 100 << 20, rules: String = World.rules, settings: SiteSettings = SiteSettings()
    )
        async throws -> World
    {
        let world = try World(sites: 1, hostsPerSite: 3, settings: settings, rules: rules)
        await world.catalog.put(image)
        await world.catalog.put(head: Self.qcow2(virtualBytes: UInt64(virtualBytes)), of: image.id)
        return world
    }

    @Test func eachHostGetsWhatItsOwnNovaWouldMake() async throws {
        let image = Self.image(1)
        let world = try await world(image)
        await world.hosts.set(forcesRawImages: true, on: "dcn1-compute-0")
        await world.hosts.set(forcesRawImages: false, on: "dcn1-compute-1")
        #expect(await world.reconciler.reconcile(image.id, cause: .event) == .settled)
        #expect(await world.hosts.bytes(of: image.id, on: "dcn1-compute-0") == 100 << 20)
        #expect(await world.hosts.bytes(of: image.id, on: "dcn1-compute-1") == image.sizeBytes)
        #expect(await world.hosts.bytes(of: image.id, on: "dcn1-compute-2") == 100 << 20, "Nova's default is raw")
        let before = await world.hosts.operations
        #expect(await world.reconciler.reconcile(image.id, cause: .event) == .settled)
        #expect(await world.hosts.operations == before, "planned again, nothing is done")
    }

    @Test func othersCopyTheImageFromAHostThatConverts() async throws {
        let image = Self.image(2)
        let world = try await world(image, settings: SiteSettings(deliver: DeliverySettings(via: .proxy)))
        #expect(await world.reconciler.reconcile(image.id, cause: .event) == .settled)
        for host in world.policy.value.fleet.hosts {
            #expect(await world.hosts.bytes(of: image.id, on: host.name) == 100 << 20)
            #expect(await world.hosts.temporaryBytes(on: host.name) == 0)
        }
        #expect(await world.hosts.operations.contains("release dcn1-compute-0"))
        for record in try await world.ledger.placements(of: image.id) where record.host != "dcn1-compute-0" {
            #expect(record.lastError == nil)
        }
    }

    /// A raw base file is none of the image's own bytes, whoever made it: in the next round nobody copies from it.
    @Test(arguments: [true, false]) func aConvertedHostIsNoSourceOfTheImage(isNovas: Bool) async throws {
        let image = Self.image(7)
        let world = try await world(image, settings: SiteSettings(deliver: DeliverySettings(via: .proxy)))
        await world.hosts.inject(.away, on: "dcn1-compute-2")
        if isNovas {
            for host in world.policy.value.fleet.hosts.dropLast() {
                await world.hosts.makeNovaFirst(image.id, bytes: 100 << 20, on: host.name)
            }
        }
        _ = await world.reconciler.reconcile(image.id, cause: .event)
        await world.hosts.heal("dcn1-compute-2")
        await world.surveyor.forget("dcn1-compute-2")
        #expect(await world.reconciler.reconcile(image.id, cause: .event) == .settled)
        #expect(await world.hosts.copies.filter { $0.host == "dcn1-compute-2" }.isEmpty)
        for host in world.policy.value.fleet.hosts {
            #expect(await world.hosts.bytes(of: image.id, on: host.name) == 100 << 20)
            #expect(await world.hosts.temporaryBytes(on: host.name) == 0)
        }
    }

    @Test func aDiskThatIsTooLargeIsRefusedBeforeAByteIsMoved() async throws {
        let image = Self.image(3)
        let world = try await world(
            image, virtualBytes: 2 * Self.gibibyte, settings: SiteSettings(deliver: DeliverySettings(maxSizeBytes: Self.gibibyte)))
        let end = await world.reconciler.reconcile(image.id, cause: .event)
        guard case .again(let reason, let isPermanent, _) = end else {
            Issue.record("\(end)")
            return
        }
        #expect(isPermanent && reason.contains("2147483648 bytes") && reason.contains("deliver.max_size is 1073741824"), "\(reason)")
        #expect(await world.hosts.operations.isEmpty)
    }

    @Test func aSparseDiskNeedsRoomForWhatItHolds() async throws {
        let (image, large) = (Self.image(6), 2048 * Self.gibibyte)
        let world = try await world(image, virtualBytes: large, settings: SiteSettings(deliver: DeliverySettings(via: .direct)))
        let end = await world.reconciler.reconcile(image.id, cause: .event)
        guard case .again(let reason, let isPermanent, _) = end else {
            Issue.record("\(end)")
            return
        }
        #expect(!isPermanent && reason.contains("no space") && reason.contains("\(large) bytes"), "\(reason)")
        #expect(await world.holders(of: image.id).isEmpty)
        #expect(await world.hosts.temporaryBytes(on: "dcn1-compute-0") == image.sizeBytes, "the image's own bytes are kept")
        await world.hosts.hold(3 << 20, of: image.id)
        #expect(await world.reconciler.reconcile(image.id, cause: .event) == .settled)
        #expect(await world.hosts.bytes(of: image.id, on: "dcn1-compute-0") == large)
    }

    @Test func whatCannotBeConvertedSaysSoAndLeavesNoBaseFile() async throws {
        let image = Self.image(4)
        let world = try await world(image)
        for host in world.policy.value.fleet.hosts { await world.hosts.inject(.cannotConvert, on: host.name) }
        let end = await world.reconciler.reconcile(image.id, cause: .event)
        guard case .again(let reason, _, _) = end else {
            Issue.record("\(end)")
            return
        }
        #expect(reason.contains("qemu-img cannot convert"))
        #expect(await world.holders(of: image.id).isEmpty)
    }

    @Test func aPlanThatConvertsWhatNobodyLookedAtIsNotSound() throws {
        let fleet = Samples.fleet(sites: 1, hosts: 1)
        var step = Step(host: "dcn1-compute-0", role: "Compute", action: .fetch, rule: "r", priority: 1, ttlSeconds: 60, reasons: [])
        step.format = .raw
        let site = SitePlan(site: "dcn1", via: .direct, forks: 1, copiesAtOnce: 1, steps: [step])
        var plan = Plan(image: Self.image(5), sites: [site])
        #expect(PlanCheck.violations(plan, fleet: fleet, observed: [:]).count == 1)
        plan = plan.inspected(InspectedImage(qemuFormat: "qcow2", virtualSizeBytes: 1, proof: RangeProof(ranges: [0..<1], sha256: "")))
        #expect(PlanCheck.violations(plan, fleet: fleet, observed: [:]).isEmpty)
    }
}
