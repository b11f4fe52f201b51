import ForecacheTestSupport
import Foundation
import Testing

/// `doctor`, `plan` with its totals, and recorded notifications, on the real thing.
@Suite(.serialized) struct DoctorTests {
    private func findings(_ service: Service) throws -> [[String: Any]] {
        try service.json(["doctor"])["findings"] as? [[String: Any]] ?? []
    }

    private func texts(_ findings: [[String: Any]], _ level: String) -> [String] {
        findings.filter { $0["level"] as? String == level }.map {
            "\($0["check"] ?? "") \($0["host"] as? String ?? "") \($0["text"] ?? "")"
        }
    }

    @Test func aSoundCloudHasNoFailuresAndHostsCanCopyFromEachOther() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab, more: "sites: { dcn1: { via: proxy }, dcn2: { via: relay } }"))
        _ = try await glance.upload("e2e doctor", bytes: 1000)
        try await service.start()
        let findings = try findings(service)
        #expect(texts(findings, "fail").isEmpty)
        for check in ["configuration", "inventory", "rules", "ssh", "state", "keystone", "glance", "rabbitmq", "host", "peer"] {
            #expect(findings.contains { $0["check"] as? String == check && $0["level"] as? String == "ok" }, "\(check)")
        }
        #expect(findings.filter { $0["check"] as? String == "peer" }.compactMap { $0["host"] as? String } == lab.nodes)
        #expect(texts(findings, "ok").contains { $0.contains("is read, 0 messages wait") })
        try await eventually("nothing is left on the nodes") { try lab.nodes.allSatisfy { try lab.temporaries(on: $0).isEmpty } }
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    /// ssh's word on the key, "No such file", is none on the file that was asked for.
    @Test func aNodeThatIsAwayAndAPeerAccountThatIsWrongAreNamed() async throws {
        let lab = try Lab()
        let service = try Service(
            lab,
            more: "peer: { user: nobody-there, identity: /etc/nova/migration/nothing-there }\nsites: { dcn1: { via: proxy }, dcn2: {} }")
        try lab.lab("node", "stop", "dcn2-compute-1")
        defer { try? lab.lab("node", "start", "dcn2-compute-1") }  // the suite's next test would say so
        let failed = texts(try findings(service), "fail")
        #expect(failed.contains { $0.hasPrefix("host dcn2-compute-1 ") })
        #expect(failed.contains { $0.hasPrefix("peer dcn1-compute-0 cannot copy from dcn1-compute-1") })
        #expect(failed.count == 3, "\(failed)")
    }

    @Test func aPlanTellsWhatItComesTo() async throws {
        let lab = try Lab()
        let service = try Service(lab, more: "sites: { dcn1: { via: proxy, rate_limit: 1MiB/s }, dcn2: { via: direct } }")
        let image = try await Glance(lab).upload("e2e totals", bytes: 3_000_000)
        let report = try service.json(["plan", image])
        let totals = try #require(report["totals"] as? [String: Any])
        let sites = try #require(totals["sites"] as? [[String: Any]])
        #expect(sites.map { $0["wan_bytes"] as? Int } == [3_000_000, 6_000_000])
        #expect(sites.map { $0["lan_bytes"] as? Int } == [3_000_000, 0])
        #expect(sites.map { $0["seconds"] as? Int } == [3, nil])
        let hosts = try #require(totals["hosts"] as? [[String: Any]])
        #expect(hosts.map { $0["host"] as? String } == lab.nodes)
        for host in hosts {
            #expect(host["needed_bytes"] as? Int == 3_000_000)
            #expect(host["fits"] as? Bool == true)
            #expect((host["free_bytes"] as? Int ?? 0) - (host["left_bytes"] as? Int ?? 0) == 3_000_000)
        }
    }

    @Test func recordedNotificationsAreReplayedAgainstNow() async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab))
        let file = service.folder.appending(path: "events.jsonl").path
        let listener = try service.beside(["events", "--record", file], errors: "events.log")
        defer { listener.terminate() }
        try await eventually("listening: \(try service.text("events.log"))") { try service.text("events.log").contains("listening") }
        let image = try await glance.upload("e2e replay", bytes: 1000)
        try await glance.addTag("e2e-precache:dcn1", to: image)
        try await eventually("recorded") { try service.text("events.jsonl").contains("e2e-precache:dcn1") }
        listener.terminate()
        try await eventually("the listener ends") { !listener.isRunning }
        try await glance.removeTag("e2e-precache:dcn1", from: image)
        try await glance.addTag("e2e-precache:dcn2", to: image)

        let report = try service.json(["replay", file])
        #expect((report["summary"] as? [String: Any])?["compared_with"] as? String == "glance")
        let events = try #require(report["events"] as? [[String: Any]]).filter { $0["image"] as? String == image }
        let last = try #require(events.last)
        #expect((last["then"] as? [String: Any])?["hosts"] as? [String] == ["dcn1-compute-0", "dcn1-compute-1"])
        #expect((last["now"] as? [String: Any])?["hosts"] as? [String] == ["dcn2-compute-0", "dcn2-compute-1"])
        let difference = try #require(last["difference"] as? [String: Any])
        #expect(difference["added"] as? [String] == ["dcn2-compute-0", "dcn2-compute-1"])
        #expect(difference["removed"] as? [String] == ["dcn1-compute-0", "dcn1-compute-1"])
        // Before it had its bytes it was no image to cache.
        #expect(((events.first?["then"] as? [String: Any])?["refusal"] as? String)?.contains("queued") == true)
        #expect(try service.command(["replay", file, "--offline"]).contains("2 hosts by rule by-tag"))
    }
}
