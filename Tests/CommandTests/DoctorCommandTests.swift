import Foundation
import Testing

/// `doctor` where nothing answers: everything is looked at, and every finding has its remedy.
@Suite(.timeLimit(.minutes(4))) struct DoctorCommandTests {
    private let program: Program

    init() throws {
        program = try Program()
        _ = try program.writeInventory()
    }

    private func findings(_ ended: Program.Ended) throws -> [[String: Any]] {
        try #require(try ended.json()["findings"] as? [[String: Any]])
    }

    @Test func everythingThatIsMissingIsToldWithItsRemedy() async throws {
        var program = program
        program.environment.merge(Program.overcloudrc) { $1 }
        try program.write("id", "not a key")
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: program.path("id"))
        try program.write(
            "f.yaml",
            """
            notifications: { url: "rabbit://guest:s3cret@\(Program.nowhere)/" }
            inventory: [inventories]
            ssh: { identity: [id, missing], known_hosts: [nowhere] }
            state: nowhere/ledger.sqlite
            limits: { catalog_tries: 1 }
            status: { listen: "0.0.0.0:9797" }
            """)
        let ended = try await program.run("doctor", "--config", "f.yaml", "--output", "json")
        #expect(ended.code == 1)
        #expect(!ended.output.contains("s3cret"))
        let findings = try findings(ended)
        let levels = Dictionary(grouping: findings) { $0["check"] as? String ?? "" }.mapValues { $0.map { $0["level"] as? String ?? "" } }
        #expect(levels["configuration"] == ["ok"])
        #expect(levels["inventory"] == ["ok"])
        #expect(levels["rules"] == ["warn"])
        #expect(levels["status"] == ["warn"])
        #expect(levels["ssh"]?.sorted() == ["fail", "fail", "warn"])
        #expect(levels["state"] == ["ok"])
        #expect(levels["glance"] == ["fail"])
        #expect(levels["rabbitmq"] == ["fail"])
        #expect(levels["host"] == ["fail", "fail"])
        for finding in findings where finding["level"] as? String != "ok" {
            #expect((finding["remedy"] as? String)?.isEmpty == false, "\(finding)")
        }
        #expect(findings.compactMap { $0["host"] as? String } == ["dcn1-compute-0", "dcn1-compute-1"])
        let summary = try #require(try ended.json()["summary"] as? [String: Int])
        #expect(summary["fail"] == findings.count { $0["level"] as? String == "fail" })
    }

    @Test(arguments: [("[nowhere, hosts]", 0), ("[nowhere, elsewhere]", 1)])
    func oneOfSeveralKnownHostsFilesIsEnough(files: String, failures: Int) async throws {
        try program.write("hosts", "")
        try program.write("f.yaml", "inventory: [inventories]\nssh: { known_hosts: \(files) }\nstate: ledger.sqlite\n")
        let findings = try findings(try await program.run("doctor", "--config", "f.yaml", "--output", "json"))
        #expect(findings.count { ($0["text"] as? String)?.hasPrefix("known hosts ") == true } == failures)
    }

    @Test func notesOnRulesAreNotTheInventorys() async throws {
        try program.write("rules/a.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: a, match: { tag: a } }\n")
        try program.write("rules/below/b.yaml", "")
        try program.write("f.yaml", "inventory: [inventories]\nrules: [rules]\nstate: ledger.sqlite\n")
        let findings = try findings(try await program.run("doctor", "--config", "f.yaml", "--output", "json"))
        let notes = findings.filter { ($0["text"] as? String)?.contains("rules/below:1:1: not read: ") == true }
        #expect(notes.map { $0["check"] as? String } == ["rules"])
        #expect(notes.map { $0["remedy"] as? String } == ["correct the rules where it is not meant so"])
    }

    @Test func rulesAreHeldAgainstTheConfigurationAsLintDoes() async throws {
        try program.write("rules/a.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: a, match: { owner: x }, ttl: 20m }\n")
        try program.write("f.yaml", "inventory: [inventories]\nrules: [rules]\nstate: ledger.sqlite\nttl: { default: 10m }\n")
        let findings = try findings(try await program.run("doctor", "--config", "f.yaml", "--output", "json"))
        let doubts = findings.filter { $0["check"] as? String == "rules" && $0["level"] as? String == "warn" }.compactMap {
            $0["text"] as? String
        }
        #expect(doubts.contains { $0.contains("a ttl of 20m leaves 8m after the refresh, less than one resync (10m)") }, "\(doubts)")
    }

    @Test func aSecretThatCannotBeReadIsAFindingOfTheBroker() async throws {
        try program.write("f.yaml", "notifications: { url_file: secret }\ninventory: [inventories]\nstate: ledger.sqlite\n")
        let findings = try findings(try await program.run("doctor", "--config", "f.yaml", "--output", "json"))
        let broker = findings.filter { $0["check"] as? String == "rabbitmq" }
        #expect(broker.map { $0["level"] as? String } == ["fail"])
        #expect((broker.first?["text"] as? String)?.contains("f.yaml:1:28: cannot read ") == true)
    }

    @Test func filesWithProblemsAreFindingsAndNothingElseIsLookedAt() async throws {
        try program.write("rules/a.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: a, mach: 1 }\n")
        try program.write("f.yaml", "inventory: [missing]\nrules: [rules]\n")
        let json = try await program.run("doctor", "--config", "f.yaml", "--output", "json")
        #expect(json.code == 78)
        let findings = try findings(json)
        #expect(findings.allSatisfy { $0["check"] as? String == "configuration" && $0["level"] as? String == "fail" })
        #expect(findings.contains { ($0["text"] as? String)?.contains("rules/a.yaml:3:") == true })
        let text = try await program.run("doctor", "--config", "f.yaml")
        #expect(text.code == 78)
        #expect(text.output.hasPrefix("FAIL  configuration: "))
        #expect(text.output.contains("\n      → "))
        #expect(text.output.hasSuffix(" failed\n"))
    }

    @Test func aSiteThatThereIsNotIsAUsageErrorAndAFinding() async throws {
        let ended = try await program.run("doctor", "-i", "inventories", "--site", "dcn2", "--output", "json")
        #expect(ended.code == 64)
        let findings = try findings(ended)
        #expect(findings.count == 1)
        #expect((findings.first?["text"] as? String)?.contains("the inventory has no site 'dcn2'; did you mean 'dcn1'?") == true)
    }

    @Test func hostsThatAreLeftToNovaAreNotLoggedInTo() async throws {
        try program.write(
            "f.yaml",
            """
            notifications: { url: "rabbit://guest:s3cret@\(Program.nowhere)/" }
            inventory: [inventories]
            sites: { dcn1: { via: nova-api } }
            ssh: { identity: [missing], known_hosts: [nowhere] }
            state: ledger.sqlite
            """)
        let findings = try findings(try await program.run("doctor", "--config", "f.yaml", "--output", "json"))
        #expect(findings.filter { $0["check"] as? String == "ssh" }.isEmpty, "nobody needs a key")
        let hosts = findings.filter { $0["host"] is String }
        #expect(hosts.map { $0["level"] as? String } == ["ok", "ok"])
        #expect(hosts.map { $0["text"] as? String } == Array(repeating: "left to Nova, so it is not logged in to", count: 2))
    }
}
