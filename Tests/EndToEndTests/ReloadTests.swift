import ForecacheTestSupport
import Foundation
import Testing

/// Rules that change under the running service.
@Suite(.serialized) struct ReloadTests {
    private static func rules(_ more: String) -> String { Service.rules + "\n" + more }

    private func policy(_ service: Service) throws -> [String: Any] {
        try service.json(["status"])["policy"] as? [String: Any] ?? [:]
    }

    @Test func changedRulesActWithoutARestartAndABadSetLeavesTheOldOneWorking() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        try await service.start()
        let tag = "e2e-reload-\(UUID().uuidString.prefix(8))"
        let image = try await glance.upload("e2e reload", tags: [tag])
        try service.write("rules.yaml", Self.rules("  - { name: reloaded, match: { tga: x } }"))
        try await eventually("refused; log: \(service.log)") { try policy(service)["state"] as? String == "refused" }
        let problems = try #require(try policy(service)["problems"] as? [String])
        #expect(problems.contains { $0.contains("rules.yaml:") && $0.contains("tga") })
        // The set before goes on working.
        let other = try await glance.upload("e2e meanwhile", tags: ["e2e-precache:dcn1"])
        try await eventually("cached by the old set") { try lab.holders(of: other) == ["dcn1-compute-0", "dcn1-compute-1"] }

        try service.write(
            "rules.yaml",
            Self.rules("  - { name: reloaded, match: { all: [{ tag: \(tag) }, { visibility: public }] }, targets: { sites: [dcn2] } }"))
        service.signal(SIGHUP)
        try await eventually("cached by the new set; log: \(service.log)") {
            try lab.holders(of: image) == ["dcn2-compute-0", "dcn2-compute-1"]
        }
        #expect(try policy(service)["state"] as? String == "applied")
        #expect(try policy(service)["new_placements"] as? Int == 2)
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    @Test func tooManyNewPlacementsWaitUntilSomebodyApproves() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab, more: "reload: { max_new_placements: 3 }"))
        try await service.start()
        let tag = "e2e-held-\(UUID().uuidString.prefix(8))"
        let image = try await glance.upload("e2e held", tags: [tag])
        try service.write("rules.yaml", Self.rules("  - { name: wide, match: { all: [{ tag: \(tag) }, { visibility: public }] } }"))
        try await eventually("held; log: \(service.log)") { try policy(service)["state"] as? String == "held" }
        let waiting = try service.json(["approve", "--check"])
        #expect(waiting["new_placements"] as? Int == 4)
        #expect(waiting["max_new_placements"] as? Int == 3)
        #expect(waiting["approved"] as? Bool == false)
        #expect((waiting["rows"] as? [[String: Any]])?.map { $0["image"] as? String } == [image, image])
        #expect(try service.command(["approve", "--check"]).contains("4 new placements (reload.max_new_placements is 3)"))
        #expect(try lab.holders(of: image).isEmpty)
        // Not what was looked at: nothing is released.
        #expect(try service.command(["approve", "0000"]).isEmpty)
        #expect(try service.json(["approve"])["approved"] as? Bool == true)
        try await eventually("cached once approved; log: \(service.log)") { try lab.holders(of: image) == lab.nodes }
        #expect(try policy(service)["state"] as? String == "applied")
        #expect(try service.json(["approve"])["set"] is NSNull)
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }
}
