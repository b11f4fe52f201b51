import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Logging
import Planning
import Rules
import Synchronization
import Testing

@testable import Daemon

@Suite struct ByHandTests {
    private struct NoCertificates: SignatureCertificates {
        func certificate(_ id: String) async throws(Failure) -> [UInt8]? { nil }
    }

    @Test(arguments: [false, true]) func whatNobodySignedIsRefusedWhereSignaturesAreAskedFor(areAskedFor: Bool) async throws {
        let (catalog, logger) = (ScriptedCatalog([Samples.image(1)]), Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let signatures = SignatureCheck(catalog: catalog, certificates: NoCertificates(), now: { Date() }, logger: logger)
        let policy = Policy(rules: RuleSet.parse([]).0, fleet: Samples.fleet(sites: 1, hosts: 2), defaults: PlanningDefaults())
        let byHand = ByHand(
            ImageChoice(policy: policy, catalog: catalog), limits: Limits(), peerNetwork: "internal_api",
            hosts: SimulatedFleet(clock: ManualClock()), signatures: areAskedFor ? signatures : nil, logger: logger)
        let plans = try await byHand.plans(named: [Samples.imageID(1).text])
        #expect(plans.flatMap(\.steps).count == 2)
        #expect(plans.flatMap(\.refusals).count == (areAskedFor ? 1 : 0))
        #expect(plans.contains(where: \.movesBytes) == !areAskedFor)
    }

    // MARK: - Bytes that cannot be read

    /// Glance where one image lies in a store that is away.
    private final class StoreAway: ImageCatalog {
        let glance: ScriptedCatalog
        let away: Set<ImageID>
        let asked = Mutex<[ImageID]>([])

        init(glance: ScriptedCatalog, away: Set<ImageID>) { (self.glance, self.away) = (glance, away) }

        func image(_ id: ImageID) async throws(Failure) -> ImageFacts? { try await glance.image(id) }
        func images(named name: String?) async throws(Failure) -> [ImageFacts] { try await glance.images(named: name) }
        func download(of id: ImageID, endpoint: String?, refused: Secret?) async throws(Failure) -> DownloadGrant {
            try await glance.download(of: id, endpoint: endpoint, refused: refused)
        }
        func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8] {
            asked.withLock { $0.append(id) }
            if away.contains(id) { throw Failure(.retriable, "image \(id): HTTP 503") }
            return try await glance.bytes(of: id, in: range)
        }
    }

    private func plans(away: [Int], fleet: Fleet = Samples.fleet(sites: 1, hosts: 2)) async throws -> [Plan] {
        let images = [1, 2].map { Samples.image($0) }
        let catalog = StoreAway(glance: ScriptedCatalog(images), away: Set(away.map(Samples.imageID)))
        return try await byHand(catalog, fleet).plans(for: images, targets: .everyHost)
    }

    private func byHand(_ catalog: any ImageCatalog, _ fleet: Fleet, hanging: Duration = .seconds(20)) -> ByHand {
        let policy = Policy(rules: RuleSet.parse([]).0, fleet: fleet, defaults: PlanningDefaults())
        return ByHand(
            ImageChoice(policy: policy, catalog: catalog), limits: Limits(), peerNetwork: "internal_api",
            hosts: SimulatedFleet(clock: ManualClock()), hanging: hanging, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    @Test func anImageWhoseBytesCannotBeReadLeavesTheOthersAlone() async throws {
        let plans = try await plans(away: [1])
        #expect(plans.map(\.movesBytes) == [false, true])
        #expect(plans[0].steps.count == 2)
        #expect(plans[0].steps.allSatisfy { $0.action == .none(.unreachable("image \(Samples.imageID(1)): HTTP 503")) })
        // It is wanted as before: nothing of it is told to be superfluous.
        #expect(plans[0].wanted == plans[1].wanted && plans.flatMap(\.refusals).isEmpty)
    }

    /// Each of them is waited for as long as all tries take; one that says no at once holds nothing up.
    @Test(arguments: [true, false]) func aStoreThatHangsIsAskedForThreeImages(hangs: Bool) async throws {
        // What was looked into once is known by its digest.
        let images = (1...9).map { number in
            var image = Samples.image(number)
            image.digest = Digest(.sha512, hex: String(repeating: "0\(number)", count: 64))
            return image
        }
        let catalog = StoreAway(glance: ScriptedCatalog(images), away: Set((2...9).map(Samples.imageID)))
        let byHand = byHand(catalog, Samples.fleet(sites: 1, hosts: 2), hanging: hangs ? .zero : .seconds(1000))
        let plans = try await byHand.plans(for: images, targets: .everyHost)
        #expect(plans.map(\.movesBytes) == [true] + Array(repeating: false, count: 8))
        #expect(Set(catalog.asked.withLock { $0 }) == Set((hangs ? 1...4 : 1...9).map(Samples.imageID)))
    }

    @Test func whereNoImageCanBeReadTheServiceIsNotReachable() async throws {
        let refusal = await #expect(throws: Refusal.self) { _ = try await plans(away: [1, 2]) }
        #expect(refusal?.exitCode == 69)
        #expect(refusal?.message == "image \(Samples.imageID(1)): HTTP 503")
    }

    // MARK: - Proxies

    @Test func aProxyWithoutAPeerAddressStopsNoPlanButIsNamed() async throws {
        var site = Samples.fleet(sites: 1, hosts: 2, settings: SiteSettings(deliver: DeliverySettings(via: .proxy), seed: "dcn1-compute-0"))
            .sites[0]
        site.hosts[0].peerAddress = nil
        let (fleet, image) = (Fleet(sites: [site]), Samples.image(1))
        let byHand = byHand(ScriptedCatalog([image]), fleet)
        let plans = try await byHand.plans(for: [image], targets: .everyHost)
        #expect(plans.map(\.movesBytes) == [true])
        let said = byHand.withoutPeerAddress(plans)
        #expect(said.count == 1 && said[0].hasPrefix("proxy host dcn1-compute-0 has no variable 'internal_api_ip' in "), "\(said)")
        #expect(byHand.withoutPeerAddress(plans.map(\.touchesOnly)) == [], "a refresh copies nothing")
    }
}
