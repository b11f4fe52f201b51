import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Testing

/// The hosts that all other tests here work on keep what the port promises; the same suite runs on real hosts in `SSHFleetLabTests`.
@Suite struct FleetConformanceTests {
    @Test func theSimulatedFleetKeepsTheRulesOfThePort() async throws {
        let (clock, hosts) = (ManualClock(), Samples.fleet(sites: 1, hosts: 2).hosts)
        let (nodes, aging) = (SimulatedFleet(clock: clock), SimulatedFleet(clock: clock))
        for fleet in [nodes, aging] {
            await fleet.serve(try #require(Samples.image(1).digest), of: Samples.imageID(1))
            await fleet.hold(1 << 16, of: Samples.imageID(2))
        }
        try await HostOperationsConformance(try bench(nodes, hosts)).run()
        // The decorator of the simulation in time, too.
        let inTime = OutageFleet(nodes: aging, clock: clock, outages: [:], ttlSeconds: 86400)
        try await HostOperationsConformance(try bench(inTime, hosts)).run()
    }

    private func bench(_ operations: any HostOperations, _ hosts: [Host]) throws -> HostOperationsConformance.Bench {
        let image = Samples.image(1)
        let digest = try #require(image.digest)
        let wrong = try #require(Digest(.sha512, hex: String(repeating: "00", count: 64)))
        let grant = DownloadGrant(url: "http://glance/file", token: Secret("token"))
        var sparse = BaseFileRequest(image: Samples.imageID(2), bytes: 1 << 18, digest: digest)
        sparse.conversion = .init(qemuFormat: "qcow2", rawBytes: 1 << 43)
        sparse.proof = RangeProof(ranges: [0..<512], sha256: String(repeating: "0", count: 64))
        return HostOperationsConformance.Bench(
            operations: operations, first: hosts[0], second: hosts[1],
            request: BaseFileRequest(image: image.id, bytes: image.sizeBytes ?? 0, digest: digest),
            grant: grant, wrongDigest: wrong, sparse: sparse, sparseGrant: grant)
    }
}
