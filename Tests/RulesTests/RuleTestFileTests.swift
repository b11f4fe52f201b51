import ForecacheModel
import Foundation
import StrictYAML
import Testing

@testable import Rules

/// Rule tests as operators write them, and the tests of `rules/` at the root.
@Suite struct RuleTestFileTests {
    private static let head = """
        apiVersion: forecache/v1
        fleet: { dcn1: { Compute: [c0, c1], GPU: [g0] }, dcn2: { Compute: [c2] } }
        tests:

        """
    private static let golden = Fixtures.file(match: "{tag: golden}", "targets: {sites: [dcn1]}")

    /// The differences of one test against the rule above, or its problems.
    private func outcome(_ test: String, rules: String = golden) -> [String] {
        var problems = Problems()
        let file = RuleTestFile.parse(Self.head + "  - { name: t, \(test) }\n", path: "r.test.yaml", &problems)
        guard let file, case .literal(let fleet) = file.fleet else { return problems.list.map(\.message) }
        let set = Fixtures.rules(rules)
        let unknown = file.tests.flatMap { $0.problems(set, fleet: fleet).list }
        guard unknown.isEmpty else { return unknown.map(\.message) }
        return file.tests.flatMap { $0.run(set, fleet: fleet).differences }
    }

    @Test(arguments: [
        "image: {tags: [golden]}, expect: {dcn1: all}", "image: {tags: [golden]}, expect: {dcn1: [c0, c1, g0]}, rule: r",
        "image: {tags: [golden]}, expect: {dcn1: {Compute: all, GPU: [g0]}, dcn2: none}", "image: {}, expect: none",
        "image: {tags: [golden], status: queued}, expect: none", "image: {tags: [golden], os_hidden: true}, expect: none",
    ])
    func whatIsExpectedPasses(test: String) { #expect(outcome(test) == []) }

    @Test func everyHostThatDiffersIsNamedWithTheReasons() {
        #expect(
            outcome("image: {tags: [golden]}, expect: {dcn1: {Compute: [c0]}, dcn2: all}") == [
                "missing    dcn2 Compute c2", "unexpected dcn1 Compute c1, by rule 'r'", "unexpected dcn1 GPU g0, by rule 'r'",
                "because rule 'r' matched: tag \"golden\" matches glob \"golden\"; targets sites \"dcn1\"",
            ])
        #expect(
            outcome("image: {}, expect: {dcn2: all}") == [
                "missing    dcn2 Compute c2", "because rule 'r' did not match: no tag matches glob \"golden\"",
            ])
        #expect(
            outcome("image: {tags: [golden], status: saving}, expect: {dcn1: [g0]}").contains { $0.hasPrefix("because image is saving") })
    }

    @Test func dryRunPlacementsAreExpectedByThemselves() {
        let rules = Fixtures.file(match: "{always: true}", "mode: dry-run")
        #expect(outcome("image: {}, expect_dry_run: all", rules: rules) == [])
        #expect(outcome("image: {}, expect: all", rules: rules).count == 4 + 4 + 1)
    }

    @Test func theWinningRuleIsCompared() {
        let two = """
            apiVersion: forecache/v1
            rules:
              - { name: low, match: { always: true }, priority: 10 }
              - { name: high, match: { always: true }, priority: 60, targets: { sites: [dcn1] } }
            """
        #expect(
            outcome("image: {}, expect: all, rule: high", rules: two).first == "wrong rule dcn2 Compute c2: won by 'low', expected 'high'")
    }

    @Test(arguments: [
        ("image: {}", "a test needs the key 'expect' (none, all, or sites with their hosts)"),
        ("image: {tag: [x]}, expect: none", "unknown key 'tag' in image; did you mean 'tags'?"),
        ("image: {}, expct: none, expect: none", "unknown key 'expct' in a test; did you mean 'expect'?"),
        ("image: {}, expect: nowhere", "expect must be 'none', 'all' or a mapping of sites to their hosts, not 'nowhere'"),
        ("image: {}, expect: {dcn3: all}", "the fleet has no site 'dcn3'; did you mean 'dcn1'?"),
        ("image: {}, expect: {dcn1: [c9]}", "site 'dcn1' of the fleet has no host 'c9'; did you mean 'c0'?"),
        ("image: {}, expect: {dcn1: {GPUs: all}}", "site 'dcn1' of the fleet has no role 'GPUs'; did you mean 'GPU'?"),
        ("image: {}, expect: all, rule: rr", "the rule files have no rule 'rr'; did you mean 'r'?"),
        ("image: {}, expect: none, rule: r", "a test that expects no placement cannot name the rule that wins"),
        ("now: yesterday, image: {}, expect: none", "now must be a time such as 2026-01-01T00:00:00Z, not 'yesterday'"),
        ("image: {status: ready}, expect: none", "image.status is none of Glance's words: 'ready'"),
        ("image: {id: 7}, expect: none", "image.id must be a UUID, not '7'"),
        ("expect: none", "a test needs the key 'image'"),
        ("image: {tags: [golden]}, expect: {dcn1: all}, rule: ", "key 'rule' in a test has no value; give one or leave the key out"),
        ("image: {tags: [golden]}, expect: {dcn1: all}, window: ", "key 'window' in a test has no value; give one or leave the key out"),
        ("image: {visibility: }, expect: none", "key 'visibility' in image has no value; give one or leave the key out"),
        ("image: {}, expect: all, deliver: {via: }", "key 'via' in deliver has no value; give one or leave the key out"),
        (
            "image: {properties: {disk_format: raw}}, expect: none",
            "'disk_format' is an attribute of every image, not a property; write it beside 'properties'"
        ),
    ])
    func whatIsWrongIsAProblem(test: String, problem: String) { #expect(outcome(test) == [problem]) }

    @Test(arguments: [
        ("all", "r.test.yaml:3:10: the fleet has no host, so 'all' expects nothing; give the fleet hosts or write 'none'"),
        (
            "{a: all}",
            "r.test.yaml:3:41: site 'a' of the fleet has no host, so 'all' expects nothing; give it hosts or write 'none'"
        ),
        ("{a: none}", ""),
    ])
    func whatExpectsHostsNamesSome(expected: String, problem: String) throws {
        var problems = Problems()
        let text = "apiVersion: forecache/v1\nfleet: { a: { R: [] } }\ntests: [ { name: t, image: {}, expect: \(expected) } ]\n"
        let file = try #require(RuleTestFile.parse(text, path: "r.test.yaml", &problems), "\(problems)")
        guard case .literal(let fleet) = file.fleet else { return #expect(Bool(false)) }
        #expect(file.tests[0].problems(Fixtures.rules(Self.golden), fleet: fleet).description == problem)
    }

    @Test(arguments: [
        ("apiVersion: forecache/v1\ntests: []\n", "r.test.yaml:1:1: 'tests' is an empty list; give it at least one test"),
        ("apiVersion: forecache/v1\ntests: []\n", "r.test.yaml:1:1: a rule test file needs the key 'fleet'"),
        ("fleet: {a: {R: [h, h]}}\n", "r.test.yaml:1:20: host 'h' stands in the fleet already at r.test.yaml:1:17"),
        ("fleet: {a: [h]}\n", "r.test.yaml:1:12: fleet.a must be a mapping {role: [host, …]}, not a list"),
        ("- x\n", "r.test.yaml:1:1: a rule test file must be a mapping of keys and values, not a list"),
        ("now:\n", "r.test.yaml:1:1: key 'now' in a rule test file has no value; give one or leave the key out"),
        ("flet: {}\n", "r.test.yaml:1:1: unknown key 'flet' in a rule test file; did you mean 'fleet'?"),
    ])
    func aFileThatIsWrongSaysWhere(text: String, problem: String) {
        var problems = Problems()
        #expect(RuleTestFile.parse(text, path: "r.test.yaml", &problems) == nil)
        #expect(problems.description.contains(problem), "\(problems)")
    }

    @Test func rulesAreThoseOfTheSameNameUnlessTold() throws {
        var problems = Problems()
        let test = Self.head + "  - { name: t, image: {}, expect: none }\n"
        #expect(RuleTestFile.parse(test, path: "a/golden.test.yaml", &problems)?.rules.map(\.text) == ["golden.yaml"])
        let told = RuleTestFile.parse("rules: [x.yaml, ../y]\n" + test, path: "a/golden.test.yaml", &problems)
        #expect(told?.rules.map(\.text) == ["x.yaml", "../y"])
        #expect(problems.isEmpty)
    }

    @Test func aFilterIsARegularExpressionOnNames() throws {
        var problems = Problems()
        let file = try #require(
            RuleTestFile.parse(Self.head + "  - { name: goes to dcn1, image: {}, expect: none }\n", path: "r", &problems))
        #expect(try RuleTestFilter("dcn[0-9]$").admits(file.tests[0]))
        #expect(try !RuleTestFilter("^dcn").admits(file.tests[0]))
        #expect(throws: Problem.self) { try RuleTestFilter("(") }
    }

    /// Every rule file of `rules/` has tests; they pass, and each rule matches in at least one of them.
    @Test func theTestsOfTheExampleRulesPass() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let folder = root.appending(path: "rules")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".yaml") }.sorted()
        let ruleFiles = names.filter { !$0.hasSuffix(".test.yaml") }
        #expect(!ruleFiles.isEmpty)
        for name in ruleFiles {
            let path = "\(name.dropLast(".yaml".count)).test.yaml"
            var problems = Problems()
            let text = try String(contentsOf: folder.appending(path: path), encoding: .utf8)
            let file = try #require(RuleTestFile.parse(text, path: path, &problems), "\(problems)")
            guard case .literal(let fleet) = file.fleet else { return #expect(Bool(false), "\(path) has no fleet of its own") }
            let rules = Fixtures.rules(try String(contentsOf: folder.appending(path: name), encoding: .utf8))
            let results = file.tests.map { $0.run(rules, fleet: fleet) }
            for result in results { #expect(result.differences == [], "\(path): \(result.test.name)") }
            #expect(file.tests.flatMap { $0.problems(rules, fleet: fleet).list } == [])
            #expect(Set(results.flatMap(\.matched)) == Set(rules.rules.map(\.name)), "\(path) never matches some rule")
        }
    }
}
