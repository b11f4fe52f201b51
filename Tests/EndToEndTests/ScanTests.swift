import Foundation
import Testing

/// Base files that lie on real nodes already, however they came there.
@Suite(.serialized) struct ScanTests {
    @Test func whatIsUnsafeOrOddOnANodeIsFound() async throws {
        let lab = try Lab()
        let service = try Service(lab, more: "node: { format: raw }")
        let node = "dcn1-compute-0"
        let glance = try await Glance(lab)
        let good = try await glance.upload("e2e scan good", bytes: 1_500_000)
        _ = try service.command(["cache", good, "--site", "dcn1"])
        // What came by other ways than ours: a qcow2 with a backing file, one that is only in the wrong place, and half an image.
        let odd = ["backing": UUID(), "qcow2": UUID(), "half": UUID()].mapValues(\.uuidString).mapValues { $0.lowercased() }
        let (backing, plain) = (
            try lab.baseFile(try #require(odd["backing"]), on: node), try lab.baseFile(try #require(odd["qcow2"]), on: node)
        )
        try run("/usr/bin/qemu-img", ["create", "-f", "qcow2", "-F", "raw", "-b", "/etc/shadow", "-u", backing.path, "1M"])
        try run("/usr/bin/qemu-img", ["create", "-f", "qcow2", plain.path, "1M"])
        let declared = try await glance.upload("e2e scan half", bytes: 2_000_000)
        let half = try lab.baseFile(declared, on: node)
        try Data(repeating: 1, count: 1_000_000).write(to: half)
        defer { for file in [backing, plain, half] { try? FileManager.default.removeItem(at: file) } }  // other tests look at the node, too

        let report = try service.json(["scan", "--site", "dcn1"])
        let hosts = try #require(report["hosts"] as? [[String: Any]])
        #expect(hosts.map { $0["host"] as? String } == ["dcn1-compute-0", "dcn1-compute-1"])
        let files = try #require(hosts[0]["files"] as? [[String: Any]])
        func file(_ url: URL) -> [String: Any] { files.first { $0["name"] as? String == url.lastPathComponent } ?? [:] }
        #expect(file(backing)["verdict"] as? String == "unsafe")
        #expect((file(backing)["reason"] as? String)?.contains("backing") == true)
        #expect(file(plain)["verdict"] as? String == "odd")
        #expect(file(plain)["format"] as? String == "qcow2")
        #expect(file(half)["verdict"] as? String == "odd")
        #expect(file(half)["image"] as? String == declared)
        let sound = file(try lab.baseFile(good, on: node))
        #expect([sound["verdict"], sound["format"], sound["image_name"]].map { $0 as? String } == ["safe", "raw", "e2e scan good"])
        #expect((report["summary"] as? [String: Int])?["unsafe"] == 1)
        let text = try service.command(["scan", "--site", "dcn1"])
        #expect(text.contains("unsafe  dcn1/\(node): \(backing.lastPathComponent) unknown image"))
        #expect(!text.contains("e2e scan good"))
    }
}
