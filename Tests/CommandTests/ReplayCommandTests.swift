import Foundation
import Testing

/// `replay` without any server.
@Suite(.timeLimit(.minutes(4))) struct ReplayCommandTests {
    private let program: Program

    init() throws {
        program = try Program()
        _ = try program.writeInventory()
        try program.write(
            "rules/golden.yaml",
            "apiVersion: forecache/v1\nrules:\n  - { name: golden, match: { all: [{ tag: golden }, { owner: tenant }] } }\n")
        try program.write("f.yaml", "inventory: [inventories]\nrules: [rules]\nstate: ledger.sqlite\n")
    }

    private func event(_ type: String, _ payload: String, id: String = "m", envelope: Bool = true) throws -> String {
        let message = #"{"message_id":"\#(id)","publisher_id":"image.c0","event_type":"\#(type)","payload":\#(payload)}"#
        let body = envelope ? try json(["oslo.version": "2.0", "oslo.message": message]) : message
        return try json([
            "received_at": "2026-11-22T16:10:07Z", "exchange": "glance", "routing_key": "notifications.info", "body": body,
        ])
    }

    private func json(_ object: [String: String]) throws -> String {
        String(decoding: try JSONSerialization.data(withJSONObject: object), as: UTF8.self)
    }

    private static let record = """
        {"id":"00000000-0000-4000-8000-000000000001","name":"ubuntu","status":"active","created_at":"2026-11-22T16:10:06Z","updated_at":"2026-11-22T16:10:07Z",\
        "min_disk":0,"min_ram":0,"protected":false,"checksum":null,"owner":"tenant","disk_format":"qcow2","container_format":"bare","size":7,\
        "virtual_size":null,"visibility":"shared","properties":{"os":"x","odd":{"a":[1]}},"tags":["golden"],"deleted":false}
        """

    @Test func recordedEventsAreDecidedOffline() async throws {
        let base64 = Data([0xff, 0xfe]).base64EncodedString()
        try program.write(
            "events.jsonl",
            [
                try event("image.update", Self.record), try event("image.update", Self.record),
                try event("image.update", #"{"id":"00000000-0000-4000-8000-000000000002","tags":[]}"#, id: "n", envelope: false),
                try event("image.delete", Self.record.replacingOccurrences(of: "active", with: "deleted"), id: "o"),
                try event("image.upload", #""Failed to upload image 00000000-0000-4000-8000-000000000003""#, id: "p"),
                try event("compute.instance.create", "{}", id: "q"), "{}", "nonsense", "",
                #"{"received_at":"2026-11-22T16:10:07Z","exchange":"e","routing_key":"r","body_base64":"\#(base64)"}"#,
            ].joined(separator: "\n"))
        let ended = try await program.run("replay", "events.jsonl", "--config", "f.yaml", "--offline", "--output", "json")
        #expect(ended.code == 0, "\(ended.errors)")
        #expect(ended.errors.contains("there is no ledger at"))
        let report = try ended.json()
        let events = try #require(report["events"] as? [[String: Any]])
        #expect(events.map { $0["line"] as? Int } == [1, 2, 3, 4, 5, 6, 7, 8, 10])
        let hosts = events.map { ($0["then"] as? [String: Any])?["hosts"] as? [String] }
        #expect(hosts == [["dcn1-compute-0", "dcn1-compute-1"], ["dcn1-compute-0", "dcn1-compute-1"], [], [], nil, nil, nil, nil, nil])
        #expect(events[0]["unknown_fields"] as? [String] == ["os_hidden", "os_hash_algo", "os_hash_value"])
        #expect((events[2]["unknown_fields"] as? [String])?.contains("visibility") == true)
        #expect(events[1]["is_duplicate"] as? Bool == true)
        #expect(((events[3]["then"] as? [String: Any])?["refusal"] as? String)?.contains("deleted") == true)
        #expect(events[0]["now"] is NSNull)
        let summary = try #require(report["summary"] as? [String: Any])
        #expect(["events", "images", "duplicates", "irrelevant", "odd"].map { summary[$0] as? Int } == [9, 3, 1, 1, 3])
        #expect(summary["compared_with"] is NSNull)
    }

    @Test func textHasALineAnEventAndGlanceAwayIsNoEnd() async throws {
        var program = program
        program.environment.merge(Program.overcloudrc) { $1 }
        try program.write("events.jsonl", try event("image.update", Self.record) + "\n")
        try program.write("f.yaml", "inventory: [inventories]\nrules: [rules]\nstate: ledger.sqlite\nlimits: { catalog_tries: 1 }\n")
        let ended = try await program.run("replay", "events.jsonl", "--config", "f.yaml")
        #expect(ended.code == 0)
        #expect(ended.errors.contains(Program.nowhere))
        #expect(
            ended.output == """
                1  2026-11-22T16:10:07Z  image.update  00000000-0000-4000-8000-000000000001 (ubuntu): 2 hosts by rule golden
                1 event of 1 image, 0 placed otherwise now, 0 doubled, 0 of no concern, 0 not understood

                """)
    }

    @Test func aFileThatIsNotThereFails() async throws {
        let ended = try await program.run("replay", "nowhere.jsonl", "--config", "f.yaml", "--offline")
        #expect((ended.code, ended.output) == (1, ""))
        #expect(ended.errors.contains("nowhere.jsonl"))

        try program.write("f.yaml", "inventory: [inventories]\n")
        let other = try await program.run("replay", "f.yaml", "--config", "f.yaml", "--offline")
        #expect(other.code == 1)
        #expect(other.errors.contains("no line of f.yaml could be understood; 'forecache events --record FILE' writes such files"))
    }
}
