import ForecacheTestSupport
import Foundation
import Testing

/// What Glance, the line to it, the disk and others can do to a download that is under way: one host, and a faulty line between it and the real Glance.
@Suite(.serialized) struct GlanceBadDaysTests {
    private static let node = "dcn1-compute-0"
    private static let bytes = 8 << 20
    private static let half = 4 << 20
    /// While more may come, the last few bytes wait in the pipes of the node.
    private static let nearlyHalf = half - (64 << 10)
    static let rules = """
        apiVersion: forecache/v1
        rules:
          - name: one-host
            match: { all: [ { tag: e2e-one-host }, { visibility: public } ] }
            targets: { hosts: [\(node)] }
        """
    private let lab: Lab
    private let glance: Glance

    init() async throws {
        lab = try Lab()
        glance = try await Glance(lab)
    }

    @Test(arguments: [(FaultyLine.Fault(after: half, then: .close), "truncated"), (.init(after: half, then: .stall), "curl 28")])
    func aDownloadThatBreaksOffGoesOnAtTheByteReached(fault: FaultyLine.Fault, words: String) async throws {
        try await onFaultyLine([fault, .init(then: .hold)], stallSeconds: 10) { line, service, image in
            try await fails(image, service, saying: words)
            try await line.letGo(.on)
            try await isWhole(image, service)
            let seen = try await line.seen()
            #expect(seen.map(\.offset) == [0, Self.half])
            #expect(seen.map(\.sent) == [Self.half, Self.bytes - Self.half])
        }
    }

    @Test func moreThanTheImageIsDroppedAndFetchedAnew() async throws {
        try await onFaultyLine([.init(then: .more), .init(then: .hold)]) { line, service, image in
            try await fails(image, service, saying: "the server sends more than the \(Self.bytes) bytes")
            try await line.letGo(.on)
            try await isWhole(image, service)
            #expect(try await line.seen().map(\.offset) == [0, 0])
        }
    }

    /// Revoked in Keystone, which the line asks; or refused by the site's Glance alone, while the one that the service itself asks takes it still: then
    /// nothing but the host's own refusal tells of it.
    @Test(arguments: [("direct", FaultyLine.Wish.end), ("relay", .refuse)])
    func aTokenThatEndsOnTheWayIsReplacedAtTheByteReached(via: String, wish: FaultyLine.Wish) async throws {
        try await onFaultyLine([.init(after: Self.half, then: .hold)], via: via) { line, service, image in
            try await isHeld(image, line)
            let first = try #require(try await line.seen().first)
            if wish == .end { try await Session(lab).revoke(first.token) }
            try await line.letGo(wish)
            try await isWhole(image, service)
            let seen = try await line.seen()
            let last = try #require(seen.last)
            #expect(last.status == 206 && last.offset == Self.half && last.token != first.token)
            if wish == .refuse { #expect(seen.map(\.status) == [200, 401, 206]) }
        }
    }

    @Test func aDiskThatFillsMeanwhileIsSaidAndItGoesOnOnceThereIsRoom() async throws {
        try await lab.leavingFree(3 * Self.bytes, on: Self.node) {
            try await onFaultyLine([.init(after: Self.half, then: .hold)]) { line, service, image in
                try await isHeld(image, line)
                let thief = lab.instances(on: Self.node) + "/thief"
                // Its end is the end of the room.
                try run("/bin/dd", ["if=/dev/zero", "of=\(thief)", "bs=64K"], allow: [1])
                try await line.letGo(.on)
                try await fails(image, service, saying: "no_space")
                try FileManager.default.removeItem(atPath: thief)
                try await isWhole(image, service)
                let offset = try #require(try await line.seen().last).offset
                #expect(offset >= Self.nearlyHalf && offset < Self.bytes)
            }
        }
    }

    @Test func whatNovaCachesMeanwhileIsLeftAsItIs() async throws {
        try #require(!lab["NOVA_URL"].isEmpty, "the lab runs without its part nova")
        try await onFaultyLine([.init(after: Self.half, then: .hold)]) { line, service, image in
            try await isHeld(image, line)
            try await Session(lab).novaCaches(image, inAggregate: "dcn1")
            let nodes = ["dcn1-compute-0", "dcn1-compute-1"]
            try await eventually("Nova's own base files") { try lab.holders(of: image) == nodes }
            let file = try lab.baseFile(image, on: Self.node)
            try await eventually("Nova has written all of it") {
                try FileManager.default.attributesOfItem(atPath: file.path)[.size] as? Int == Self.bytes
            }
            let inode = try run("/usr/bin/stat", ["-c", "%i", file.path])
            try await line.letGo(.on)
            try await isWhole(image, service, on: nodes)
            #expect(try run("/usr/bin/stat", ["-c", "%i %h", file.path]) == inode.dropLast() + " 1\n")
            #expect(service.log.contains("existing"))
        }
    }

    // MARK: -

    /// The service and an image that it wants on the one host, with the faults between that and Glance.
    private func onFaultyLine(
        _ faults: [FaultyLine.Fault], via: String = "direct", stallSeconds: Int = 60,
        _ body: (FaultyLine, Service, String) async throws -> Void
    ) async throws {
        let line = try FaultyLine(lab, faults)
        let service = try Service(
            lab, more: "sites: { dcn1: { glance: \"\(line.url)\", via: \(via), streams: 1 }, dcn2: {} }",
            limits: ["stall_seconds": stallSeconds, "backoff_seconds": 2, "backoff_max_seconds": 3], rules: Self.rules)
        try await service.start()
        let image = try await glance.upload("e2e faulty line", bytes: Self.bytes, tags: ["e2e-one-host"])
        try await body(line, service, image)
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    private func isHeld(_ image: String, _ line: FaultyLine) async throws {
        try await eventually("the line holds the download, and the node has what came before") {
            try await line.seen().first?.isHeld == true && lab.temporaryBytes(of: image, on: Self.node) >= Self.nearlyHalf
        }
    }

    private func fails(_ image: String, _ service: Service, saying words: String) async throws {
        try await eventually("the status says “\(words)”; log: \(service.log)") {
            try service.error(of: image, on: Self.node).contains(words)
        }
        #expect(try lab.holders(of: image).isEmpty)
    }

    private func isWhole(_ image: String, _ service: Service, on nodes: [String] = [node]) async throws {
        try await eventually("fresh; log: \(service.log)") { try Set(service.states(of: image).values) == ["fresh"] }
        #expect(try lab.holders(of: image) == nodes)
        let wanted = try await glance.record(image)["os_hash_value"] as? String
        for node in nodes { #expect(try lab.sha512(image, on: node) == wanted) }
        #expect(try lab.leftovers(of: image).isEmpty)
    }
}
