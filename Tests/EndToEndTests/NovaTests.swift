import ForecacheTestSupport
import Foundation
import Testing

/// `via: nova-api` on the lab's real Nova: nova-api, conductor and a nova-compute on every node, which caches as libvirt's driver does.
@Suite(.serialized) struct NovaTests {
    /// A service that leaves both sites to Nova and could not log in anywhere.
    private func service(_ lab: Lab, limits: [String: Int] = [:]) throws -> Service {
        try #require(!lab["NOVA_URL"].isEmpty, "the lab runs without its part nova")
        let service = try Service(lab, more: "sites: { dcn1: { via: nova-api }, dcn2: { via: nova-api, aggregate: dcn2 } }", limits: limits)
        let file = service.folder.appending(path: "forecache.yaml")
        let text = try String(contentsOf: file, encoding: .utf8)
        let lines = text.components(separatedBy: "\n").map { line in
            line.hasPrefix("ssh:") ? "ssh: { user: nobody, identity: [/nonexistent], known_hosts: /nonexistent }" : line
        }
        try service.write("forecache.yaml", lines.joined(separator: "\n"))
        return service
    }

    @Test func anUploadEndsInBaseFilesThatNovaMadeAndKeepsYoung() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try service(lab))
        try await service.start()
        let image = try await glance.upload("e2e nova", tags: ["e2e-everywhere"])
        let short = try await glance.upload("e2e nova short", tags: ["e2e-short"])
        try await eventually("base files on all nodes; log: \(service.log)") { try lab.holders(of: image) == lab.nodes }
        try await eventually("the ledger says so; log: \(service.log)") { try Set(service.states(of: image).values) == ["fresh"] }
        let wanted = try await glance.record(image)["os_hash_value"] as? String
        for node in lab.nodes {
            #expect(try lab.sha512(image, on: node) == wanted)
            let owner = try FileManager.default.attributesOfItem(atPath: lab.baseFile(image, on: node).path)[.ownerAccountID] as? Int
            #expect(owner == 42436)
        }
        // What is due is touched by asking Nova again: its mtime moves ahead of the 20 s.
        try await eventually("cached") { try lab.holders(of: short) == ["dcn2-compute-0", "dcn2-compute-1"] }
        for _ in 0..<2 {
            let before = try #require(try lab.modified(short, on: "dcn2-compute-1"))
            try await eventually("touched ahead of 20 s", within: 19) { try lab.modified(short, on: "dcn2-compute-1") != before }
        }
        #expect(try service.states(of: short) == ["dcn2-compute-0": "fresh", "dcn2-compute-1": "fresh"])
        #expect(try await service.stop(SIGTERM) == 0)
        // The queue of Nova's notifications went with the program.
        #expect(try !run(lab["RABBITMQCTL"], ["list_queues", "--vhost", lab["RABBITMQ_VHOST"], "-q", "name"]).contains("temporary"))
        try service.removeQueue()
    }

    @Test func aComputeThatDoesNotAnswerFailsAloneAtTheDeadlineAndIsDoneWhenItIsBack() async throws {
        let lab = try Lab()
        let (glance, service) = (
            try await Glance(lab), try service(lab, limits: ["precache_silence_seconds": 8, "backoff_max_seconds": 5])
        )
        try await service.start()
        try lab.lab("compute", "stop", "dcn1-compute-1")
        defer { try? lab.lab("compute", "start", "dcn1-compute-1") }  // started below already where the test succeeds
        let image = try await glance.upload("e2e nova away", tags: ["e2e-precache:dcn1"])
        try await eventually("the other is done") { try service.states(of: image)["dcn1-compute-0"] == "fresh" }
        try await eventually("it failed at the deadline; log: \(service.log)") {
            try service.states(of: image)["dcn1-compute-1"] == "failed"
        }
        #expect(try service.error(of: image, on: "dcn1-compute-1").contains("did not report within 8 s"))
        #expect(try lab.holders(of: image) == ["dcn1-compute-0"])
        try lab.lab("compute", "start", "dcn1-compute-1")
        try await eventually("done in a later round; log: \(service.log)", within: 120) {
            try lab.holders(of: image) == ["dcn1-compute-0", "dcn1-compute-1"]
        }
        try await eventually("the ledger says so") { try Set(service.states(of: image).values) == ["fresh"] }
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func byHandItIsTheSame() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try service(lab))
        let image = try await glance.upload("e2e nova by hand", bytes: 1_000_000)
        let said = try service.command(["cache", image, "--site", "dcn2"])
        #expect(said.contains("2 cached, 0 existing, 0 unsupported, 0 failed"))
        #expect(try lab.holders(of: image) == ["dcn2-compute-0", "dcn2-compute-1"])
        let before = try #require(try lab.modified(image, on: "dcn2-compute-0"))
        _ = try service.command(["cache", image, "--site", "dcn2"])
        #expect(try #require(try lab.modified(image, on: "dcn2-compute-0")) > before)

        // Bytes that are not what Glance says are refused before Nova hears of them.
        let qcow2 = Data([0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3] + Array(repeating: 0, count: 4096))
        let hostile = try await glance.upload("e2e nova hostile", content: qcow2)
        #expect(try service.command(["cache", hostile, "--site", "dcn2"]).contains("0 cached, 0 existing, 0 unsupported, 2 failed"))
        #expect(try lab.holders(of: hostile).isEmpty)
    }
}
