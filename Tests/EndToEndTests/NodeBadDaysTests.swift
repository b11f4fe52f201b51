import ForecacheTestSupport
import Foundation
import Testing

/// What a node can be like: without qemu-img or with one that ends badly, with a clock that goes wrong, and gone at the worst moment.
@Suite(.serialized) struct NodeBadDaysTests {
    private static let node = "dcn1-compute-0"
    private static let tag = "e2e-one-host"
    private let lab: Lab
    private let glance: Glance

    init() async throws {
        lab = try Lab()
        glance = try await Glance(lab)
    }

    /// Fills the disk, in parts because the limit on a file's size is on the thief as well.
    private static let filling = """
        for n in 1 2 3 4 5 6; do head -c 12000000 /dev/zero >/var/lib/nova/instances/thief$n; done 2>/dev/null
        exec /usr/bin/qemu-img "$@"
        """

    @Test(arguments: [
        ("kill -9 $$", "killed: qemu-img was ended by signal 9"),
        ("echo 'qemu-img: error while reading: Invalid argument' >&2; exit 1", "convert: qemu-img: qemu-img: error while reading"),
        (filling, "No space left on device"),
    ])
    func aConversionThatFailsIsSaidAndDoneAgainFromTheSameBytes(script: String, words: String) async throws {
        try await converting { service, image, raw, qcow2 in
            try await lab.with("qemu-img", on: Self.node, being: script) {
                try await service.start()
                try await eventually("the status says “\(words)”; log: \(service.log)") {
                    try service.error(of: image, on: Self.node).contains(words)
                }
                #expect(try lab.holders(of: image).isEmpty)
                #expect(try lab.temporaryBytes(of: image, on: Self.node) == qcow2.count, "the image's own bytes are kept")
            }
            for n in 1...6 { try? FileManager.default.removeItem(atPath: "\(lab.instances(on: Self.node))/thief\(n)") }  // of one case only
        }
    }

    @Test func aNodeWithoutQemuImgIsSaidAndDoneOnceItHasOne() async throws {
        try await converting { service, image, _, _ in
            try lab.lab("inside", Self.node, "mount --bind /dev/null /usr/bin/qemu-img")
            defer { try? lab.lab("inside", Self.node, "umount /usr/bin/qemu-img") }
            try await service.start()
            try await eventually("the status says what is missing; log: \(service.log)") {
                try service.error(of: image, on: Self.node).contains("has no qemu-img; install it there")
            }
            #expect(try lab.leftovers(of: image).isEmpty, "not a byte was moved")
        }
    }

    /// What reads the clock on a node is `date`, and what a file's time is set with is `touch`: both are an hour ahead on one node and behind on the other.
    @Test func agesAreByTheNodesOwnClock() async throws {
        let service = try Service(lab)
        try await inAnotherHour(on: "dcn2-compute-0", "+") {
            try await inAnotherHour(on: "dcn2-compute-1", "-") {
                try await service.start()
                let image = try await glance.upload("e2e clocks", tags: ["e2e-short"])
                let nodes = ["dcn2-compute-0", "dcn2-compute-1"]
                try await eventually("cached; log: \(service.log)") { try lab.holders(of: image) == nodes }
                let first = try nodes.map { try #require(try lab.modified(image, on: $0)) }
                let ahead = first.map { $0.timeIntervalSinceNow / 3600 }
                #expect(abs(ahead[0] - 1) < 0.1 && abs(ahead[1] + 1) < 0.1, "\(ahead)")
                try await areSeen(image, on: nodes, by: service)
                // By the controller's clock one of them is expired at once, and the other never becomes due.
                try await eventually("touched ahead of 20 s", within: 19) {
                    try zip(nodes, first).allSatisfy { try #require(try lab.modified(image, on: $0)) > $1 }
                }
                #expect(try service.states(of: image) == ["dcn2-compute-0": "fresh", "dcn2-compute-1": "fresh"])
                #expect(try await service.stop(SIGTERM) == 0)
                try service.removeQueue()
            }
        }
    }

    /// The node goes down after the base file has its name, before it is told and before the temporary has gone, which then is a second name of the base file.
    @Test func aNodeThatGoesDownRightAfterPublishing() async throws {
        let service = try Service(lab, rules: GlanceBadDaysTests.rules)
        let image = try await glance.upload("e2e published and gone", tags: [Self.tag])
        let file = try lab.baseFile(image, on: Self.node)
        try await lab.with("link", on: Self.node, being: "/usr/bin/link \"$@\" && exec sleep 600") {
            try await service.start()
            try await eventually("the base file") { try lab.holders(of: image) == [Self.node] }
            try lab.lab("node", "stop", Self.node)
        }
        defer { try? lab.lab("node", "start", Self.node) }  // started below where the test succeeds
        try await eventually("the status says so; log: \(service.log)") { try service.states(of: image)[Self.node] == "failed" }
        #expect(try !service.error(of: image, on: Self.node).isEmpty)
        let left = try run("/usr/bin/stat", ["-c", "%i %h", file.path])
        #expect(left.hasSuffix(" 2\n"))
        try lab.lab("node", "start", Self.node)
        try await eventually("found; log: \(service.log)") { try service.states(of: image) == [Self.node: "fresh"] }
        #expect(!service.log.contains(" cached:"), "nothing was moved again")
        #expect(try await service.stop(SIGTERM) == 0)
        // The next sweep is that of the next start; refreshed as it is, the base file's second name never becomes old.
        try await service.start()
        try await eventually("swept; log: \(service.log)") { try lab.leftovers(of: image).isEmpty }
        #expect(try run("/usr/bin/stat", ["-c", "%i %h", file.path]) == left.dropLast(2) + "1\n")
        #expect(try lab.sha512(image, on: Self.node) == (try await glance.record(image)["os_hash_value"] as? String))
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    // MARK: -

    /// A service that wants one image on one host, which is to convert it, with little room to spare; what the body did to that host is undone when it ends, and
    /// then the conversion succeeds.
    private func converting(_ body: (Service, String, Data, Data) async throws -> Void) async throws {
        let service = try Service(lab, limits: ["backoff_seconds": 2, "backoff_max_seconds": 3], rules: GlanceBadDaysTests.rules)
        let (raw, qcow2) = try ConversionTests.disk(mebibytes: 16)
        let image = try await glance.upload("e2e converting", content: qcow2, tags: [Self.tag], properties: ["disk_format": "qcow2"])
        try await lab.forcingRaw(on: [Self.node]) {
            try await lab.leavingFree(40 << 20, on: Self.node) {
                try await body(service, image, raw, qcow2)
                try await eventually("fresh; log: \(service.log)") { try service.states(of: image) == [Self.node: "fresh"] }
            }
        }
        #expect(try Data(contentsOf: lab.baseFile(image, on: Self.node)) == raw)
        #expect(try lab.leftovers(of: image).isEmpty)
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    private func inAnotherHour(on node: String, _ sign: String, _ body: () async throws -> Void) async throws {
        try await lab.with("date", on: node, being: "exec /usr/bin/date -d '\(sign)1 hour' \"$@\"") {
            try await lab.with("touch", on: node, being: "exec /usr/bin/touch -d '\(sign)1 hour' \"$@\"", body)
        }
    }

    /// As a controller sees them that knows nothing of them yet.
    private func areSeen(_ image: String, on nodes: [String], by service: Service) async throws {
        let hosts = try service.json(["survey", "--site", "dcn2"])["hosts"] as? [[String: Any]] ?? []
        #expect(hosts.compactMap { $0["host"] as? String } == nodes)
        for (host, skew) in zip(hosts, [3600.0, -3600.0]) {
            #expect(abs((host["clock_skew_seconds"] as? Double ?? 0) - skew) < 5)
            let files = host["base_files"] as? [[String: Any]] ?? []
            let age = files.first { $0["image"] as? String == image }?["age_seconds"] as? Double
            #expect((0..<20).contains(age ?? -1), "\(host["host"] ?? ""): \(age ?? -1)")
        }
    }
}
