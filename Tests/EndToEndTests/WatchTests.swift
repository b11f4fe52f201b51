import ForecacheTestSupport
import Foundation
import Testing

/// The main job on the real thing: RabbitMQ, Keystone, Glance, sshd on the lab's nodes, and the built program.
@Suite(.serialized) struct WatchTests {
    @Test func anUploadEndsInBaseFilesOnExactlyTheHostsThatTheRulesName() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        try await service.start()
        let everywhere = try await glance.upload("e2e everywhere", tags: ["e2e-everywhere"])
        let untagged = try await glance.upload("e2e untagged")
        try await eventually("base files on all nodes; log: \(service.log)") { try lab.holders(of: everywhere) == lab.nodes }
        let wanted = try await glance.record(everywhere)["os_hash_value"] as? String
        for node in lab.nodes { #expect(try lab.sha512(everywhere, on: node) == wanted) }
        #expect(try lab.holders(of: untagged).isEmpty)

        // A tag that an existing image gets is a decision of its own.
        try await glance.addTag("e2e-precache:dcn1", to: untagged)
        try await eventually("base files on dcn1 only") { try lab.holders(of: untagged) == ["dcn1-compute-0", "dcn1-compute-1"] }
        try await eventually("the ledger says so") { try Set(service.states(of: untagged).values) == ["fresh"] }

        // The tag is taken away: nothing is deleted, nothing is refreshed any longer.
        try await glance.removeTag("e2e-precache:dcn1", from: untagged)
        try await eventually("unwanted") { try Set(service.states(of: untagged).values) == ["unwanted"] }
        #expect(try lab.holders(of: untagged) == ["dcn1-compute-0", "dcn1-compute-1"])
        try await eventually("no temporaries are left") { try lab.nodes.allSatisfy { try lab.temporaries(on: $0).isEmpty } }
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func theAgeIsSetBackBeforeTheTTLEndsUntilTheTagIsTakenAway() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        try await service.start()
        let image = try await glance.upload("e2e short", tags: ["e2e-short"])
        let node = "dcn2-compute-0"
        try await eventually("cached") { try lab.holders(of: image) == ["dcn2-compute-0", "dcn2-compute-1"] }
        for _ in 0..<2 {
            let before = try #require(try lab.modified(image, on: node))
            try await eventually("touched ahead of 20 s", within: 19) { try lab.modified(image, on: node) != before }
        }
        try await glance.removeTag("e2e-short", from: image)
        try await eventually("unwanted") { try Set(service.states(of: image).values) == ["unwanted"] }
        let last = try lab.modified(image, on: node)
        try await Task.sleep(for: .seconds(14))  // longer than the refresh interval of 12 s: time is what is tested here
        #expect(try lab.modified(image, on: node) == last)
        #expect(try await service.stop(SIGINT) == 0)
        try service.removeQueue()
    }

    @Test func aBrokerRestartLosesNothing() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        try await service.start()
        let before = try await glance.upload("e2e before restart", tags: ["e2e-precache:dcn1"])
        try lab.lab("rabbitmq", "restart")
        let after = try await glance.upload("e2e after restart", tags: ["e2e-precache:dcn2"])
        try await eventually("both are cached; log: \(service.log)", within: 120) {
            try lab.holders(of: before).count == 2 && lab.holders(of: after).count == 2
        }
        try await eventually("subscribed again") { try await service.status(of: "/readyz") == 200 }
        // The bindings went with the exchange: they were made again.
        let third = try await glance.upload("e2e third", tags: ["e2e-precache:dcn2"])
        try await eventually("events flow again", within: 90) { try lab.holders(of: third).count == 2 }
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func killedAndStartedAgainItConverges() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        try await service.start()
        let image = try await glance.upload("e2e killed", bytes: 60_000_000, tags: ["e2e-everywhere"])
        try await eventually("it is being worked on") { service.log.contains("decided") }
        #expect(try await service.stop(SIGKILL) == -SIGKILL)
        // What happens while nobody listens waits in the queue or is found by the resync.
        let missed = try await glance.upload("e2e missed", tags: ["e2e-precache:dcn1"])
        try await service.start()
        try await eventually("both are there; log: \(service.log)", within: 90) {
            try lab.holders(of: image) == lab.nodes && lab.holders(of: missed).count == 2
        }
        let wanted = try await glance.record(image)["os_hash_value"] as? String
        for node in lab.nodes { #expect(try lab.sha512(image, on: node) == wanted) }
        try await eventually("the ledger says so") { try Set(service.states(of: image).values) == ["fresh"] }
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func aNodeThatIsAwayFailsAloneAndIsDoneWhenItIsBack() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        try await service.start()
        try lab.lab("node", "stop", "dcn1-compute-1")
        defer { try? lab.lab("node", "start", "dcn1-compute-1") }  // started below already where the test succeeds
        let image = try await glance.upload("e2e away", tags: ["e2e-everywhere"])
        try await eventually("the others are done", within: 90) { try lab.holders(of: image).count == 3 }
        try await eventually("the ledger names the host that is not") { try service.states(of: image)["dcn1-compute-1"] == "failed" }
        #expect(try service.error(of: image, on: "dcn1-compute-1").contains("dcn1-compute-1"))
        try lab.lab("node", "start", "dcn1-compute-1")
        try await eventually("done in a later round", within: 120) { try lab.holders(of: image) == lab.nodes }
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func noRoomIsSaidAndNothingIsLeftBehind() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab, more: "sites: { dcn1: { keep_free: 1TiB }, dcn2: {} }"))
        try await service.start()
        let image = try await glance.upload("e2e no room", tags: ["e2e-everywhere"])
        try await eventually("dcn2 is done") { try lab.holders(of: image) == ["dcn2-compute-0", "dcn2-compute-1"] }
        try await eventually("dcn1 failed") { try service.states(of: image)["dcn1-compute-0"] == "failed" }
        #expect(try service.error(of: image, on: "dcn1-compute-0").contains("space"))
        try await eventually("no temporaries are left") { try lab.nodes.allSatisfy { try lab.temporaries(on: $0).isEmpty } }
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func anImageThatIsNotWhatItSaysReachesNoNode() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        try await service.start()
        let file = service.folder.appending(path: "hostile.qcow2").path
        try run("/usr/bin/qemu-img", ["create", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", file, "1M"])
        let image = try await glance.upload("e2e hostile", content: try Data(contentsOf: URL(filePath: file)), tags: ["e2e-everywhere"])
        try await eventually("refused") { try Set(service.states(of: image).values) == ["failed"] }
        #expect(try service.error(of: image, on: lab.nodes[0]).contains("refused"))
        #expect(try lab.holders(of: image).isEmpty)
        try await eventually("no temporaries are left") { try lab.nodes.allSatisfy { try lab.temporaries(on: $0).isEmpty } }
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func aDeletedImageIsLeftToNova() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        try await service.start()
        let image = try await glance.upload("e2e deleted", tags: ["e2e-precache:dcn2"])
        try await eventually("cached") { try lab.holders(of: image).count == 2 }
        try await eventually("recorded") { try Set(service.states(of: image).values) == ["fresh"] }
        try await glance.delete(image)
        try await eventually("unwanted") { try Set(service.states(of: image).values) == ["unwanted"] }
        #expect(try lab.holders(of: image).count == 2)
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }
}
