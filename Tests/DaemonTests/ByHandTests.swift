import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Logging
import Planning
import Rules
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
            policy: policy, limits: Limits(), peerNetwork: "internal_api", catalog: catalog, hosts: SimulatedFleet(clock: ManualClock()),
            signatures: areAskedFor ? signatures : nil, logger: logger)
        let plans = try await byHand.plans(named: [Samples.imageID(1).text])
        #expect(plans.flatMap(\.steps).count == 2)
        #expect(plans.flatMap(\.refusals).count == (areAskedFor ? 1 : 0))
        #expect(plans.contains(where: \.movesBytes) == !areAskedFor)
    }
}
