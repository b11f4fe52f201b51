import Engine
import ForecacheModel
import Foundation
import Testing

/// `via: relay` between real sshds: what reaches every host, and what happens to the others when one of them is lost, slow or lies.
@Suite(.serialized) struct RelayLabTests {
    private let image = RelayLab.image

    @Test func everyHostHasTheSameBytesAndOneCopyCrossedTheWAN() async throws {
        try await onLab { lab, grant in
            let before = try lab.wanBytes()
            let (outcomes, _) = try await lab.relay(image, grant: grant)
            expectCached(outcomes, 6)
            for host in lab.hosts { #expect(try Data(contentsOf: lab.baseFile(on: host, of: image)) == image.bytes, "\(host.name)") }
            #expect(outcomes.filter { $0.source == "glance" }.map(\.host) == ["edge-compute-0"])
            // Headers are a twentieth; the rest is room for the commands.
            #expect(try lab.wanBytes() - before < image.bytes.count * 112 / 100)
        }
    }

    @Test func aMiddleHostIsKilled() async throws {
        try await onLab { lab, grant in
            let before = try lab.wanBytes()
            let (outcomes, _) = try await lab.relay(image, grant: grant) {
                try await half(of: lab.hosts[1], lab)
                try lab.lab("node", "stop", "edge-compute-1")
            }
            expectCached(outcomes.filter { $0.host != "edge-compute-1" }, 5)
            let others = outcomes.filter { $0.host != "edge-compute-1" }.map(\.seconds).max() ?? .infinity
            let seed = outcomes.first { $0.host == "edge-compute-0" }?.seconds ?? 0
            #expect(others < seed + 5, "\(outcomes.map { "\($0.host) \($0.seconds)" })")
            #expect(try lab.wanBytes() - before < image.bytes.count * 112 / 100)
        }
    }

    @Test func theSeedIsKilled() async throws {
        try await onLab { lab, grant in
            let before = try lab.wanBytes()
            let (outcomes, _) = try await lab.relay(image, grant: grant) {
                try await half(of: lab.hosts[0], lab)
                try lab.lab("node", "stop", "edge-compute-0")
            }
            expectCached(outcomes.filter { $0.host != "edge-compute-0" }, 5)
            let sources = outcomes.filter { $0.kind == .cached }.map(\.source)
            #expect(sources.filter { $0 == "glance" } == ["glance"], "one of the others went on")
            #expect(try lab.wanBytes() - before < image.bytes.count * 125 / 100)
            for host in lab.hosts.dropFirst() {
                #expect(try Data(contentsOf: lab.baseFile(on: host, of: image)) == image.bytes, "\(host.name)")
            }
        }
    }

    @Test func aSlowHostIsLeftByThoseBelowIt() async throws {
        try await onLab { lab, grant in
            try lab.lab("lan", "edge-compute-1", "16mbit")
            let (outcomes, _) = try await lab.relay(image, grant: grant)
            expectCached(outcomes, 6)
            let slow = outcomes.first { $0.host == "edge-compute-1" }?.seconds ?? 0
            let others = outcomes.filter { $0.host != "edge-compute-1" }.map(\.seconds).max() ?? .infinity
            #expect(others < slow - 4, "\(outcomes.map { "\($0.host) \($0.seconds) from \($0.source ?? "")" })")
        }
    }

    @Test func aHostThatServesFlippedBytesIsNotAskedAgain() async throws {
        try await onLab { lab, grant in
            // A base file of the right size, but one byte: no digest was ever asked of it.
            let lie = try lab.baseFile(on: lab.hosts[2], of: image)
            var bytes = image.bytes
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: lie)
            let before = try lab.wanBytes()
            let (outcomes, _) = try await lab.relay(image, grant: grant)
            #expect(outcomes.filter { $0.kind == .cached }.count == 5, "\(outcomes.compactMap(\.reason))")
            for host in lab.hosts where host.name != lab.hosts[2].name {
                #expect(try Data(contentsOf: lab.baseFile(on: host, of: image)) == image.bytes, "\(host.name)")
            }
            #expect(try lab.wanBytes() - before < image.bytes.count * 225 / 100)
        }
    }

    private func onLab(_ body: (RelayLab, DownloadGrant) async throws -> Void) async throws {
        try await RelayLab.run { lab in
            try await FileServer.run(image, address: lab.serverAddress, mode: "plain") { try await body(lab, $0.grant()) }
        }
    }

    private func half(of host: ForecacheModel.Host, _ lab: RelayLab) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while lab.bytes(in: try lab.temporary(on: host, of: image)) < image.bytes.count / 2 {
            try #require(ContinuousClock.now < deadline, "\(host.name) received nothing")
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private func expectCached(_ outcomes: [Outcome], _ count: Int) {
        #expect(
            outcomes.count == count && outcomes.allSatisfy { $0.kind == .cached }, "\(outcomes.compactMap { $0.reason.map { "\($0)" } })")
        #expect(outcomes.allSatisfy { $0.via == .relay })
    }
}
