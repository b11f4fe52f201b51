import ForecacheTestSupport
import Foundation
import Testing

/// What befalls a transfer while it is under way: two hosts behind a slow line, one after the other.
@Suite(.serialized) struct TransferTests {
    private static let slow = "sites: { dcn1: { rate_limit: 2MiB/s, via: direct }, dcn2: {} }"
    private static let bytes = 24 << 20
    private static let begun = 8 << 20
    private static let tag = "e2e-precache:dcn1"
    private let lab: Lab
    private let glance: Glance

    init() async throws {
        lab = try Lab()
        glance = try await Glance(lab)
    }

    @Test func killedInTheMiddleItGoesOnAtTheByteReached() async throws {
        let service = try Service(lab, more: Self.slow)
        try await service.start()
        let image = try await glance.upload("e2e killed in the middle", bytes: Self.bytes, tags: [Self.tag])
        let node = try await nodeInTheMiddle()
        #expect(try await service.stop(SIGKILL) == -SIGKILL)
        try await Task.sleep(for: .seconds(2))  // the node's own program ends with the connection
        try await goesOn(image, on: node) { try await service.start() }
        try await isWhole(image, service)
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func aNodeThatRestartsInTheMiddleGoesOnAtTheByteReached() async throws {
        let service = try Service(lab, more: Self.slow)
        try await service.start()
        let image = try await glance.upload("e2e restarted in the middle", bytes: Self.bytes, tags: [Self.tag])
        let node = try await nodeInTheMiddle()
        try lab.lab("node", "stop", node)
        defer { try? lab.lab("node", "start", node) }  // started already where the test succeeds
        try await goesOn(image, on: node) { try lab.lab("node", "start", node) }
        try await isWhole(image, service)
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func anImageThatIsDeletedInTheMiddleIsNotPublished() async throws {
        let service = try Service(lab, more: Self.slow)
        try await service.start()
        let image = try await glance.upload("e2e deleted in the middle", bytes: Self.bytes, tags: [Self.tag])
        _ = try await nodeInTheMiddle()
        try await glance.delete(image)
        // What is under way may come to its end; its temporaries wait for the sweep.
        var last = [-1]
        try await eventually("no bytes come any more; log: \(service.log)") {
            try await Task.sleep(for: .seconds(3))
            let bytes = try lab.nodes.map { try lab.temporaryBytes(on: $0) }
            defer { last = bytes }
            return bytes == last
        }
        #expect(try lab.holders(of: image).isEmpty)
        #expect(try await service.stop(SIGTERM) == 0)
        #expect(try lab.holders(of: image).isEmpty)
        // Other tests of this lab look for temporaries.
        try lab.removeLeftovers(of: image)
        try service.removeQueue()
    }

    @Test func twoControllersCacheTheSameImageAtOnce() async throws {
        let services = [try Service(lab), try Service(lab)]
        for service in services { try await service.start() }
        let image = try await glance.upload("e2e two controllers", bytes: Self.bytes, tags: ["e2e-everywhere"])
        try await eventually("on all nodes", within: 90) { try lab.holders(of: image) == lab.nodes }
        for service in services {
            try await eventually("both ledgers say so; log: \(service.log)", within: 90) {
                let states = try service.states(of: image)
                return states.count == lab.nodes.count && Set(states.values) == ["fresh"]
            }
        }
        let wanted = try await glance.record(image)["os_hash_value"] as? String
        for node in lab.nodes { #expect(try lab.sha512(image, on: node) == wanted) }
        try await eventually("no temporaries of it are left") { try lab.leftovers(of: image).isEmpty }
        for service in services {
            #expect(try await service.stop(SIGTERM) == 0)
            try service.removeQueue()
        }
    }

    // MARK: -

    /// The node of dcn1 that receives, once it has a third of the bytes.
    private func nodeInTheMiddle() async throws -> String {
        var found: String?
        try await eventually("a node is in the middle of its transfer") {
            found = try lab.nodes.first { try lab.temporaryBytes(on: $0) >= Self.begun }
            return found != nil
        }
        return try #require(found)
    }

    /// What is there of the image grows, from what was there before, until it is the base file.
    private func goesOn(_ image: String, on node: String, _ begin: () async throws -> Void) async throws {
        let before = try lab.temporaryBytes(on: node)
        #expect(before >= Self.begun && before < Self.bytes)
        try await begin()
        try await eventually("the base file on \(node)", within: 120) {
            let bytes = try lab.temporaryBytes(on: node)
            if try lab.holders(of: image).contains(node) { return true }
            guard bytes >= before else { throw CommandFailed(description: "\(bytes) of \(before) bytes are left on \(node)") }
            return false
        }
    }

    private func isWhole(_ image: String, _ service: Service) async throws {
        let nodes = ["dcn1-compute-0", "dcn1-compute-1"]
        try await eventually("on both nodes; log: \(service.log)", within: 120) { try lab.holders(of: image) == nodes }
        let wanted = try await glance.record(image)["os_hash_value"] as? String
        for node in nodes { #expect(try lab.sha512(image, on: node) == wanted) }
        try await eventually("the ledger says so") { try Set(service.states(of: image).values) == ["fresh"] }
        try await eventually("no temporaries of it are left") { try lab.leftovers(of: image).isEmpty }
    }
}
