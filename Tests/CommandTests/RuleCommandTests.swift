import Foundation
import FoundationXML
import Testing

/// `explain` and `rules test` as operators call them, without any server.
@Suite(.timeLimit(.minutes(4))) struct RuleCommandTests {
    private let program: Program

    init() throws {
        program = try Program()
        try program.write(
            "rules/golden.yaml",
            """
            apiVersion: forecache/v1
            rules:
              - name: golden
                match: { all: [{ tag: golden }, { visibility: public }] }
              - name: never-tried
                match: { tag: other }
            """)
    }

    // MARK: - explain

    private func explain(_ image: String, _ more: String...) async throws -> Program.Ended {
        let configuration = try program.write("forecache.yaml", "rules: [rules]\ninventory: [\(try program.writeInventory())]\n")
        let file = try program.write("image.json", image)
        return try await program.run(["explain", "--config", configuration, "--image-file", file] + more)
    }

    private func image(status: String = "active", tags: String = "") -> String {
        """
        {"id": "07bc2424-753b-4f65-9da5-5a99d8383fe6", "name": "noble", "status": "\(status)", "visibility": "public", "tags": [\(tags)],
         "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "osType": "linux"}
        """
    }

    @Test func explainNamesTheOneChange() async throws {
        let ended = try await explain(image())
        #expect(ended.code == 0)
        #expect(ended.output.contains("wanted nowhere: no rule matches"))
        #expect(ended.output.contains("one change would make it match: add tag \"golden\""))
        #expect(ended.output.contains("dcn1, role Compute: on none of 2"))
        // Condition by condition, those that hold as well.
        let tree = """
            rules/golden.yaml:3): did not match
            │  ✗ all
            │     ✗ no tag matches glob "golden"
            │     ✓ visibility "public" matches glob "public"
            │  one change would make it match: add tag "golden"
            """
        #expect(ended.output.contains(tree), "\(ended.output)")
    }

    @Test func explainInJSONHasTheContractsKeys() async throws {
        let json = try await explain(image(tags: "\"golden\""), "--output", "json").json()
        #expect(Set(json.keys) == ["image", "rules", "placements"])
        let record = try #require(json["image"] as? [String: Any])
        #expect(record["properties"] as? [String: String] == ["osType": "linux"])
        #expect(record["created_at"] as? String == "2026-01-01T00:00:00Z")
        let rules = try #require(json["rules"] as? [[String: Any]])
        #expect(Set(rules[0].keys) == ["rule", "file", "line", "matched", "reasons", "placements", "conditions", "changes"])
        #expect((rules[0]["matched"] as? Bool, rules[0]["placements"] as? Int, rules[0]["line"] as? Int) == (true, 2, 3))
        let placements = try #require(json["placements"] as? [[String: Any]])
        #expect(placements.map { $0["host"] as? String } == ["dcn1-compute-0", "dcn1-compute-1"])
        #expect(placements.allSatisfy { $0["rule"] as? String == "golden" && $0["site"] as? String == "dcn1" })
    }

    @Test func anImageThatMayNotBeCachedHasItsRefusalAndItsVerdicts() async throws {
        let ended = try await explain(image(status: "deactivated", tags: "\"golden\""))
        #expect(ended.output.contains("wanted nowhere: image is deactivated; only active images are cached"))
        #expect(ended.output.contains("rule golden"))
        #expect(ended.output.contains("matched, 0 hosts"))
    }

    @Test func explainNeedsOneImage() async throws {
        #expect(try await program.run("explain").code == 64)
        #expect(try await program.run("explain", "x", "--image-file", "y").code == 64)
        let ended = try await explain("[]")
        #expect((ended.code, ended.output) == (1, ""))
        #expect(ended.errors.contains("image.json is not an image as Glance's v2 API has it"))
    }

    // MARK: - rules test

    private func writeTests(expect: String, image: String = "{ tags: [golden] }") throws {
        try program.write(
            "rules/golden.test.yaml",
            """
            apiVersion: forecache/v1
            fleet: { dcn1: { Compute: [a, b] } }
            tests:
              - { name: golden goes everywhere, image: \(image), expect: \(expect) }
              - { name: others stay away, image: {}, expect: none }
            """)
    }

    @Test func testsThatPassEndWithZeroAndNameUntriedRules() async throws {
        try writeTests(expect: "all")
        for path in ["rules", "./rules/", "rules/golden.yaml", "rules/golden.test.yaml"] {
            let ended = try await program.run("rules", "test", path)
            #expect(ended.code == 0, "\(ended.errors)")
            #expect(ended.output.hasSuffix("2 passed, 0 failed\n"))
            let untried = ended.output.split(separator: "\n").filter { $0.hasPrefix("never matched by a test") }
            #expect(untried.count == 1 && untried[0].contains("rule never-tried"), "\(path): \(untried)")
        }
    }

    @Test func whatEndsInYMLIsReadOnlyWhereItIsNamed() async throws {
        try writeTests(expect: "all")
        try program.write("rules/nova_cache_args.yml", "tripleo_nova_image_cache_images: []\n")
        try program.write("rules/golden.test.yml", "no tests")
        try program.write("rules/below/x.yaml", "")
        let lint = try await program.run("rules", "lint", "rules")
        #expect((lint.code, lint.output.contains("2 rules, ")) == (0, true), "\(lint.output)")
        for name in ["below", "golden.test.yml", "nova_cache_args.yml"] {
            #expect(lint.errors.contains("note: rules/\(name):1:1: not read: "), "\(lint.errors)")
        }
        let test = try await program.run("rules", "test", "rules")
        #expect((test.code, test.output.contains("2 passed, 0 failed\n")) == (0, true), "\(test.errors)")
        try FileManager.default.moveItem(atPath: program.path("rules/golden.yaml"), toPath: program.path("golden.yml"))
        let named = try await program.run("rules", "lint", "golden.yml")
        #expect((named.code, named.output.contains("2 rules, "), named.errors) == (0, true, ""), "\(named.output)")
    }

    @Test func aDifferenceFailsAndIsShown() async throws {
        try writeTests(expect: "{ dcn1: [a] }")
        let ended = try await program.run("rules", "test", "rules")
        #expect(ended.code == 1)
        #expect(ended.output.contains("FAIL  rules/golden.test.yaml:4  golden goes everywhere"))
        #expect(ended.output.contains("unexpected dcn1 Compute b, by rule 'golden'"))
        let json = try await program.run("rules", "test", "rules", "--output", "json").json()
        #expect(json["summary"] as? [String: Int] == ["passed": 1, "failed": 1])
        let some = try await program.run("rules", "test", "rules", "--run", "^others")
        #expect((some.code, some.output.hasSuffix("1 passed, 0 failed\n")) == (0, true))
    }

    @Test func junitIsXMLForCI() async throws {
        try writeTests(expect: "{ dcn1: [a] }")
        let ended = try await program.run("rules", "test", "rules", "--output", "junit")
        #expect(ended.code == 1)
        #expect(
            ended.output.hasPrefix(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"forecache rules\" tests=\"2\" failures=\"1\" errors=\"0\">")
        )
        #expect(ended.output.contains("<failure message=\"unexpected dcn1 Compute b, by rule 'golden'\">"))
        #expect(XMLParser(data: Data(ended.output.utf8)).parse())
        try writeTests(expect: "{ dcn2: all }")
        let invalid = try await program.run("rules", "test", "rules", "--output", "junit")
        #expect(invalid.code == 78)
        #expect(invalid.output.contains("<error message=\"the fleet has no site 'dcn2'"))
        #expect(XMLParser(data: Data(invalid.output.utf8)).parse())
    }

    @Test func lintHoldsRulesAgainstTheConfiguration() async throws {
        try program.write(
            "rules/golden.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: a, match: { owner: x }, ttl: 20m }\n")
        let configuration = try program.write(
            "forecache.yaml", "rules: [rules]\ninventory: [\(try program.writeInventory())]\nttl: { default: 10m }\n")
        let ended = try await program.run("rules", "lint", "--config", configuration)
        #expect(ended.code == 0)
        #expect(ended.output.contains("a ttl of 20m leaves 8m after the refresh, less than one resync (10m)"))
        #expect(ended.output.contains("longer than the 10m of host dcn1-compute-0"))
        #expect(ended.output.contains("forecache.yaml:1:1: host dcn1-compute-0: a ttl of 10m leaves 4m"))
        #expect(try await program.run("rules", "lint", "--config", configuration, "--strict").code == 78)
    }

    /// What the call selects is no smaller fleet for rules.
    @Test func lintHoldsRulesAgainstAllOfTheInventory() async throws {
        _ = try program.writeInventory()
        try program.write("inventories/central.yaml", "nova_compute: { hosts: { c0: } }\ncentral: { children: { nova_compute: } }\n")
        let rule = "{ name: a, match: { owner: x }, targets: { sites: [central], roles: [Compute] } }"
        try program.write("new.yaml", "apiVersion: forecache/v1\nrules:\n  - \(rule)\n")
        try program.write("f.yaml", "inventory: [inventories]\nrules: [new.yaml]\nstate: ledger.sqlite\n")
        for path in [["new.yaml"], []] {
            let whole = try await program.run(["rules", "lint"] + path + ["--config", "f.yaml"])
            let cut = try await program.run(["rules", "lint"] + path + ["--config", "f.yaml", "--site", "dcn1"])
            #expect((cut.code, cut.output) == (whole.code, whole.output), "\(cut.errors)")
            #expect(whole.output.hasPrefix("warning: "), "\(whole.output)\(whole.errors)")
        }
    }

    @Test(arguments: [([], "forecache/v1/rules"), (["--tests"], "forecache/v1/rule-tests")])
    func theSchemaIsJSON(options: [String], id: String) async throws {
        let ended = try await program.run(["rules", "schema"] + options)
        #expect(ended.code == 0)
        #expect(try ended.json()["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
        #expect(try ended.json()["$id"] as? String == id)
        let common = [
            "rules", "--config", "nowhere.yaml", "-i", "nowhere", "--site", "x", "--role", "y", "--output", "json", "--log-level", "debug",
        ]
        let more = try await program.run(["rules", "schema"] + options + common)
        #expect((more.code, more.output) == (0, ended.output))
    }

    @Test func testsTakeTheCommonOptions() async throws {
        try writeTests(expect: "all")
        let ended = try await program.run(
            "rules", "test", "rules", "-i", "nowhere", "--site", "x", "--role", "y", "--log-level", "debug", "--output", "text")
        #expect((ended.code, ended.output.hasSuffix("2 passed, 0 failed\n")) == (0, true), "\(ended.errors)")
    }

    @Test func aFileThatIsWrongIsInvalid() async throws {
        try writeTests(expect: "{ dcn2: all }", image: "{ tag: [golden] }")
        let ended = try await program.run("rules", "test", "rules")
        #expect((ended.code, ended.output) == (78, ""))
        #expect(ended.errors.contains("golden.test.yaml:4:46: unknown key 'tag' in image; did you mean 'tags'?"))
        let inJSON = try await program.run("rules", "test", "rules", "--output", "json")
        #expect(inJSON.code == 78)
        #expect((try inJSON.json()["problems"] as? [Any])?.count == 1)
    }

    @Test func testsMayNameAnInventory() async throws {
        _ = try program.writeInventory()
        try program.write(
            "rules/golden.test.yaml",
            """
            apiVersion: forecache/v1
            inventory: ../inventories
            tests: [{ name: t, image: { tags: [golden] }, expect: { dcn1: [dcn1-compute-0, dcn1-compute-1] } }]
            """)
        #expect(try await program.run("rules", "test", "rules").code == 0)
        // The configuration's sites are those of its own inventory.
        try program.write("f.yaml", "sites: { elsewhere: { forks: 3 }, dcn1: { seed: dcn1-compute-9 } }\n")
        let ended = try await program.run("rules", "test", "rules", "--config", "f.yaml")
        #expect(ended.code == 0, "\(ended.errors)")
    }

    @Test func nothingToRunIsAUsageError() async throws {
        try writeTests(expect: "all")
        #expect(try await program.run("rules", "test").code == 64)
        #expect(try await program.run("rules", "test", "rules", "--run", "nothing is called this").code == 64)
        #expect(try await program.run("rules", "test", "rules", "--run", "(").code == 64)
        #expect(try await program.run("rules", "test", "nowhere").code == 78)
    }
}
