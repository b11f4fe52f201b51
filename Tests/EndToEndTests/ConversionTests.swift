import Foundation
import Testing

/// An image that Nova would convert: each node gets the base file that its own nova.conf asks for.
@Suite(.serialized) struct ConversionTests {
    private struct Report: Decodable {
        struct Row: Decodable {
            var host: String
            var outcome: String
            var via: String?
            var source: String?
            var bytes: Int64
            var reason: String?
        }
        var outcomes: [Row]
        var summary: [String: Int]
    }

    /// A disk with some bytes and many holes, and the same as qcow2.
    static func disk(mebibytes: Int = 64, filled: Int = 2) throws -> (raw: Data, qcow2: Data) {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }  // a leftover in the temporary directory harms nobody
        let (raw, image) = (folder.appending(path: "raw"), folder.appending(path: "image"))
        try (Glance.random(filled << 20) + Data(count: (mebibytes - filled) << 20)).write(to: raw)
        try run("/usr/bin/qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw.path, image.path])
        return (try Data(contentsOf: raw), try Data(contentsOf: image))
    }

    @Test(arguments: ["direct", "proxy"]) func aBaseFileIsWhatTheNodesOwnNovaWouldMake(via: String) async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        let (raw, qcow2) = try Self.disk()
        let image = try await glance.upload("e2e qcow2 \(via)", content: qcow2, properties: ["disk_format": "qcow2"])
        try await lab.forcingRaw(on: ["dcn1-compute-0", "dcn1-compute-1"]) {
            let text = try service.command(["cache", image, "--via", via, "--output", "json"])
            let report = try JSONDecoder().decode(Report.self, from: Data(text.utf8))
            #expect(report.summary["cached"] == 4, "\(report.outcomes)")
            #expect(report.outcomes.allSatisfy { $0.bytes == Int64(qcow2.count) }, "the image's own bytes travel")
            for node in lab.nodes {
                let file = try lab.baseFile(image, on: node)
                #expect(try Data(contentsOf: file) == (node.hasPrefix("dcn1") ? raw : qcow2), "\(node)")
                #expect(try lab.temporaries(on: node).isEmpty)
            }
            let file = try lab.baseFile(image, on: "dcn1-compute-0")
            #expect(try run("/usr/bin/stat", ["-c", "%u:%g %a %h", file.path]) == "42436:42436 644 1\n")
            let blocks = try #require(Int(try run("/usr/bin/stat", ["-c", "%b", file.path]).trimmingCharacters(in: .newlines)))
            #expect(blocks * 512 < 8 << 20, "the raw file is sparse")
        }
    }

    @Test func aRelayedImageCrossesTheWANOnceAndEachHostConvertsItsOwn() async throws {
        let lab = try Lab()
        let glance = try await Glance(lab)
        let (raw, qcow2) = try Self.disk(mebibytes: 96, filled: 24)
        let image = try await glance.upload("e2e qcow2 relay", content: qcow2, properties: ["disk_format": "qcow2"])
        // At this rate it takes long enough that the others copy while it still arrives.
        try await lab.withSite(of: 5, wan: "100mbit") { edge in
            let service = try Service(edge, rules: "apiVersion: forecache/v1\nrules: []")
            let converting = Array(edge.nodes.dropLast())
            try await edge.forcingRaw(on: converting) {
                let before = try edge.wanBytes(to: edge.nodes[0])
                let text = try service.command(["cache", image, "--via", "relay", "--output", "json"])
                let crossed = try edge.wanBytes(to: edge.nodes[0]) - before
                let report = try JSONDecoder().decode(Report.self, from: Data(text.utf8))
                #expect(report.summary["cached"] == 5, "\(report.outcomes)")
                #expect(report.outcomes.allSatisfy { $0.via == "relay" && $0.bytes == Int64(qcow2.count) }, "\(report.outcomes)")
                #expect(report.outcomes.count { $0.source == "glance" } == 1)
                // Headers are a twentieth; the rest is room for the commands.
                #expect(crossed >= qcow2.count && crossed < qcow2.count * 115 / 100, "\(crossed) for \(qcow2.count)")
                for node in edge.nodes {
                    let file = try edge.baseFile(image, on: node)
                    #expect(try Data(contentsOf: file) == (converting.contains(node) ? raw : qcow2), "\(node)")
                    #expect(try run("/usr/bin/stat", ["-c", "%u:%g %a %h", file.path]) == "42436:42436 644 1\n")
                }
                #expect(try edge.leftovers(of: image).isEmpty)
            }
        }
    }

    @Test func anImageWhoseDiskIsTooLargeMovesNothing() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        let image = try await glance.upload(
            "e2e too large", content: try Self.disk().qcow2, tags: ["small-only"], properties: ["disk_format": "qcow2"])
        try service.write(
            "rules.yaml",
            """
            apiVersion: forecache/v1
            rules:
              - name: small
                match: { tag: small-only }
                deliver: { max_size: 32MiB }
            """)
        let plan = try service.command(["plan", "--output", "json"])
        #expect(plan.contains("deliver.max_size is 33554432"), "\(plan.suffix(2000))")
        #expect(!plan.contains(": \"fetch\""))
        #expect(try lab.holders(of: image).isEmpty)
    }
}
