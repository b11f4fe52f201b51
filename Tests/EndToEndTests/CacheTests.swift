import Foundation
import Testing

/// The playbook's job by hand, on the real nodes.
@Suite(.serialized) struct CacheTests {
    private struct Row: Decodable, Equatable {
        var host: String
        var outcome: String
        var via: String?
        var source: String?
        var bytes: Int64
    }

    private struct Report: Decodable {
        var outcomes: [Row]
        var summary: [String: Int]
    }

    private func report(_ text: String) throws -> Report { try JSONDecoder().decode(Report.self, from: Data(text.utf8)) }

    @Test func thePlaybooksArgumentsAreUnderstoodAsTheyAre() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        let image = try await glance.upload("e2e playbook", bytes: 2_000_000)
        try service.write(
            "dcn1_nova_cache_args.yml",
            """
            tripleo_nova_image_cache_use_proxy: true
            tripleo_nova_image_cache_proxy_hostname: dcn1-compute-1
            tripleo_nova_image_cache_images:
              - id: \(image)
            tripleo_nova_image_cache_plan: dcn1
            """)
        let arguments = "@" + service.folder.appending(path: "dcn1_nova_cache_args.yml").path
        let first = try report(try service.command(["cache", "-i", lab["INVENTORY"], "-e", arguments, "--output", "json"]))
        #expect(
            first.outcomes == [
                Row(host: "dcn1-compute-0", outcome: "cached", via: "proxy", source: "dcn1-compute-1", bytes: 2_000_000),
                Row(host: "dcn1-compute-1", outcome: "cached", via: "proxy", source: "glance", bytes: 2_000_000),
            ])
        #expect(try lab.holders(of: image) == ["dcn1-compute-0", "dcn1-compute-1"])

        // Again: nothing moves, and the age is 0 all the same.
        let before = try #require(try lab.modified(image, on: "dcn1-compute-0"))
        let second = try report(try service.command(["cache", "-e", arguments, "--output", "json"]))
        #expect(second.summary["existing"] == 2)
        #expect(second.outcomes.allSatisfy { $0.bytes == 0 })
        #expect(try #require(try lab.modified(image, on: "dcn1-compute-0")) > before)
    }

    @Test func directReachesEveryHostAndTheSurveySeesIt() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        let image = try await glance.upload("e2e direct \(UUID())", bytes: 1_000_000)
        let planned = try service.command(["cache", image, "--check"])
        #expect(planned.contains("4 changes planned"))
        #expect(try lab.holders(of: image).isEmpty)
        #expect(try report(try service.command(["cache", image, "--output", "json"])).summary["cached"] == 4)
        #expect(try service.command(["survey"]).components(separatedBy: image).count == 5)
    }

    @Test func bytesOfAnImageThatIsDeactivatedAreNotCached() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        let image = try await glance.upload("e2e deactivated", bytes: 1000)
        try await glance.deactivate(image)
        #expect(throws: CommandFailed.self) {
            try run(Service.binary, ["cache", image, "--config", service.folder.appending(path: "forecache.yaml").path])
        }
        #expect(try lab.holders(of: image).isEmpty)
    }
}
