import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import Planning
import SSHFleet
import Testing

/// Real hosts keep the same rules as the simulated ones that the engine is tested on.
@Suite(.serialized) struct ConformanceTests {
    @Test func theLabsHostsKeepTheRulesOfThePort() async throws {
        let (lab, image, sparse) = (try Lab(), ImageFile(bytes: 700_000), try ImageFile(emptyDiskBytes: 1 << 43))
        let fleet = lab.fleet()
        let site = lab.hosts.filter { $0.site == lab.hosts[0].site }
        let (first, second) = (site[0], try #require(site.dropFirst().first, "a site of the lab has two nodes"))
        // What other tests left there is not this one's.
        for host in [first, second] { _ = try await fleet.sweep(olderThanSeconds: 0, on: host) }
        try await FileServer.run(image, address: lab.serverAddress, mode: "plain") { server in
            try await FileServer.run(sparse, address: lab.serverAddress, mode: "plain") { sparseServer in
                let wrong = try #require(Digest(.sha512, hex: String(repeating: "00", count: 64)))
                try await HostOperationsConformance(
                    HostOperationsConformance.Bench(
                        operations: fleet, first: first, second: second, request: image.request, grant: server.grant(), wrongDigest: wrong,
                        sparse: sparse.request, sparseGrant: sparseServer.grant())
                ).run()
            }
        }
        await fleet.close()
    }
}
