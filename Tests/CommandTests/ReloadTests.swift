import Foundation
import Testing

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Changed files under a running service, without its servers.
@Suite(.timeLimit(.minutes(4))) struct ReloadTests {
    private let program: Program

    init() throws { program = try Program() }

    private static func rules(_ match: String) -> String { "apiVersion: forecache/v1\nrules:\n  - { name: one, match: \(match) }\n" }

    @Test func aSignalAndAChangeAreTakenAndABadSetLeavesTheOldOneWorking() async throws {
        _ = try program.writeInventory()
        try program.write("rules/a.yaml", Self.rules("{ tag: one }"))
        try program.write(
            "f.yaml",
            """
            notifications: { url: "rabbit://guest:guest@\(Program.nowhere)/" }
            inventory: [inventories]
            rules: [rules]
            state: ledger.sqlite
            status: { listen: "127.0.0.1:0" }
            """)
        var program = program
        program.environment.merge(Program.overcloudrc) { $1 }
        let other = program
        let ended = try await program.run(["watch", "--config", "f.yaml"], until: "status server listens") { process, errors in
            let port = try #require(errors.firstMatch(of: /port=(\d+)/)?.1)
            let first = try await policy(other) { $0["state"] as? String == "applied" }
            // Asked by systemd's reload.
            try other.write("rules/a.yaml", Self.rules("{ tag: two, tags: 1 }"))
            #expect(kill(process, SIGHUP) == 0)
            let refused = try await policy(other) { $0["state"] as? String == "refused" }
            #expect(refused["set"] as? String == first["set"] as? String)
            #expect((refused["problems"] as? [String])?.first?.contains("rules/a.yaml:3:") == true)
            let text = try await other.run("status", "--config", "f.yaml").output
            #expect(text.hasPrefix("changed files have problems, the set before them is in force since "))
            let metrics = try await get("http://127.0.0.1:\(port)/metrics")
            #expect(metrics.contains("forecache_reload_failures_total 1\n"))
            #expect(metrics.contains("forecache_reload_pending 1\n"))
            #expect(try await get("http://127.0.0.1:\(port)/api/v1/status").contains(#""policy":{"at_restart":[],"#))
            #expect(try await get("http://127.0.0.1:\(port)/").contains("changed files have problems"))
            // Found by itself.
            try other.write("rules/a.yaml", Self.rules("{ tag: two }"))
            let applied = try await policy(other) { $0["state"] as? String == "applied" }
            #expect(applied["set"] as? String != first["set"] as? String)
            #expect(try await get("http://127.0.0.1:\(port)/metrics").contains("forecache_reloads_total 1\n"))
            let nothing = try await other.run("approve", "--config", "f.yaml", "--output", "json").json()
            #expect(nothing["approved"] as? Bool == false)
            #expect(nothing["state"] as? String == "applied")
            kill(process, SIGTERM)
        }
        #expect(ended.code == 0)
        #expect(ended.errors.contains("changed files are not in force"))
        #expect(ended.errors.contains("changed files are in force"))
    }

    /// `policy` of `status`, once it is so.
    private func policy(_ program: Program, _ isSo: ([String: Any]) -> Bool) async throws -> [String: Any] {
        let deadline = ContinuousClock.now.advanced(by: .seconds(120))
        var last: [String: Any] = [:]
        while ContinuousClock.now < deadline {
            let ended = try await program.run("status", "--config", "f.yaml", "--output", "json")
            // Until the service has made the ledger there is no answer.
            if ended.code == 0 { last = try #require(try ended.json()["policy"] as? [String: Any]) }
            if isSo(last) { return last }
            try await Task.sleep(for: .milliseconds(100))
        }
        Issue.record("policy is not so: \(last)")
        return last
    }

    private func get(_ url: String) async throws -> String {
        let (data, _) = try await URLSession.shared.data(from: try #require(URL(string: url)))
        return String(decoding: data, as: UTF8.self)
    }
}
