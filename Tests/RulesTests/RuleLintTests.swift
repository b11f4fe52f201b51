import ForecacheModel
import StrictYAML
import Testing

@testable import Rules

@Suite struct RuleLintTests {
    private func lint(_ text: String) -> (problems: String, warnings: String) {
        let rules = Fixtures.rules(text)
        return (
            RuleLint.problems(in: rules, fleet: Fixtures.fleet).description, RuleLint.warnings(in: rules, fleet: Fixtures.fleet).description
        )
    }

    @Test func literalTargetsMustExist() {
        let (problems, _) = lint(
            """
            apiVersion: forecache/v1
            rules:
              - name: a
                match: { always: true }
                targets: { sites: [dcn1, dnc2, "mars*"], roles: [compute], hosts: [nobody] }
            """)
        #expect(
            problems == """
                rules/0.yaml:5:30: the inventory has no site 'dnc2'; did you mean 'dcn2'?
                rules/0.yaml:5:54: the inventory has no role 'compute'; did you mean 'Compute'?
                rules/0.yaml:5:72: the inventory has no host 'nobody'; it has dcn1-compute-0, dcn1-compute-1, dcn1-gpu-0, dcn2-compute-0, dcn2-compute-1, edge-3-gpu-0
                """)
    }

    @Test func withoutAFleetTargetsAreNotChecked() {
        let rules = Fixtures.rules(Fixtures.file(match: "{always: true}", "targets: {sites: [mars]}"))
        #expect(RuleLint.problems(in: rules, fleet: nil).isEmpty)
        #expect(RuleLint.warnings(in: rules, fleet: nil).isEmpty)
    }

    @Test(arguments: [
        ("{tag: golden}", true), ("{all: [{tag: golden}, {visibility: public}]}", false), ("{all: [{tag: golden}, {owner: 9f3a}]}", false),
        ("{all: [{tag: golden}, {visibility: [public, shared]}]}", true), ("{any: [{tag: golden}, {visibility: public}]}", true),
        ("{all: [{tag: golden}, {not: {visibility: public}}]}", true), ("{name: golden}", true),
        ("{property: {os_distro: rhel}}", true), ("{role: Compute}", true),
        ("{all: [{property: {os_distro: rhel}}, {owner: 9f3a}]}", false),
        ("{all: [{disk_format: raw}, {max_size: 1GiB}]}", false),
        ("{any: [{all: [{tag: golden}, {owner: 9f3a}]}, {id: '07*'}]}", false),
    ])
    func whatEveryProjectCanSetIsNotTrustedAlone(match: String, isWarned: Bool) {
        let warnings = lint(Fixtures.file(match: match)).warnings
        #expect(warnings.contains("every project can set on its own images") == isWarned)
    }

    @Test func rulesThatCanDoNothingAreNamed() {
        let (problems, warnings) = lint(
            """
            apiVersion: forecache/v1
            rules:
              - { name: a, match: { owner: x, }, priority: 40 }
              - { name: b, match: { owner: x }, priority: 60, ttl: 1d }
              - { name: c, match: { status: queued } }
              - { name: d, match: { always: true }, targets: { sites: [dcn2], roles: [ComputeGPU] } }
              - { name: e, match: { owner: x }, mode: dry-run, priority: 90 }
            """)
        #expect(problems == "")
        #expect(
            warnings == """
                rules/0.yaml:3:5: rule 'a' has the match and targets of 'b' (rules/0.yaml:4:5), which always comes first
                rules/0.yaml:5:5: rule 'c' asks for a status other than active, but only active images are ever cached
                rules/0.yaml:6:5: rule 'd' targets sites "dcn2", roles "ComputeGPU", where the fleet has no host
                """)
    }

    @Test(arguments: [
        ("{all: [{name: a}, {name: b}]}", true), ("{all: [{name: a}, {name: 'a*'}]}", false),
        ("{all: [{name: [a, b]}, {name: 'c*'}]}", true),
        ("{all: [{visibility: public}, {not: {visibility: [public, shared]}}]}", true),
        ("{all: [{min_size: 2GiB}, {max_size: 1GiB}]}", true),
        ("{all: [{owner: x}, {all: [{owner: y}]}]}", true), ("{all: [{owner: x}, {any: [{name: a}, {name: b}]}]}", false),
        ("{property: {p: {exists: false, eq: a}}}", true), ("{property: {p: {min: 4, max: 2}}}", true),
        ("{property: {p: {eq: a, glob: 'b*'}}}", true),
        ("{all: [{hidden: true}, {hidden: false}]}", true), ("{all: [{name: 'a*'}, {not: {name: 'a*'}}]}", true),
        ("{all: [{owner: x}, {tag: [a, b]}, {not: {tag: a}}]}", false), ("{all: [{owner: x}, {tag: a}, {not: {tag: 'a*'}}]}", true),
        ("{any: [{all: [{name: a}, {name: b}]}, {name: c}]}", false), ("{all: [{name: 'a*'}, {name: 'b*'}]}", false),
    ])
    func rulesThatCanNeverMatchAreNamed(match: String, isWarned: Bool) {
        let warnings = lint(Fixtures.file(match: match)).warnings
        #expect(warnings.contains("can never match") == isWarned, "\(warnings)")
    }

    /// A second rule, after one that takes golden public images to every host.
    @Test(arguments: [
        ("match: {all: [{visibility: public}, {tag: golden}, {name: x}]}", true),
        ("match: {all: [{tag: golden}, {all: [{visibility: public}]}]}, targets: {sites: [dcn1]}", true),
        ("match: {all: [{tag: golden}, {owner: x}]}", false), ("match: {all: [{visibility: public}, {tag: golden}]}, priority: 60", false),
        ("match: {all: [{visibility: public}, {tag: golden}, {hidden: true}]}", false),
        ("match: {all: [{visibility: public}, {tag: golden}]}, mode: dry-run", true),
    ])
    func rulesThatNeverDecideAreNamed(rule: String, isWarned: Bool) {
        let (_, warnings) = lint(
            """
            apiVersion: forecache/v1
            rules:
              - { name: first, match: { all: [{tag: golden}, {visibility: public}] } }
              - { name: second, \(rule) }
            """)
        #expect(warnings.contains("rule 'second'") == isWarned, "\(warnings)")
    }

    @Test func whatTakesSomeImagesOnlyShadowsNothing() {
        for more in ["for: 1d", "select: {newest: 1}", "targets: {sites: [dcn1]}", "mode: dry-run"] {
            let (_, warnings) = lint(
                """
                apiVersion: forecache/v1
                rules:
                  - { name: first, match: { owner: x }, \(more) }
                  - { name: second, match: { all: [{ owner: x }, { name: y }] } }
                """)
            #expect(warnings == "", "\(more)")
        }
    }

    /// With sites `edge` and `edge-3`, the tag `golden-edge-3-v1` would go to `edge`.
    @Test(arguments: [
        ("golden-{site}-*", true), ("*-{site}", true), ("{site}-x-*", true), ("{site}.v*", true), ("{site}-?*", true),
        ("precache:{site}", false), ("golden-{site}-v1", false), ("golden-{site}-v[0-9]", false), ("{site}:*", false),
        ("*:{site}", false), ("{site}-:*", false), ("a*b*-:{site}", false),
    ])
    func capturesThatMayEndAnywhereAreNamed(glob: String, isWarned: Bool) {
        let (_, warnings) = lint(Fixtures.file(match: "{all: [{owner: x}, {tag: '\(glob)'}]}", "targets: {sites: ['{site}']}"))
        let said = "rule 'r' captures the shortest {site} that fits glob \"\(glob)\", and names may hold what stands beside it"
        #expect(warnings.contains(said) == isWarned && warnings.isEmpty != isWarned, "\(warnings)")
    }

    @Test func twoCapturesNeedASeparator() {
        func rule(_ glob: String) -> String {
            Fixtures.file(match: "{all: [{owner: x}, {tag: '\(glob)'}]}", "targets: {sites: ['{site}'], roles: ['{role}']}")
        }
        #expect(lint(rule("{site}-{role}")).warnings.contains("captures the shortest {role} that fits"))
        #expect(lint(rule("{site}:{role}")).warnings == "")
    }

    /// They differ behind what messages show.
    @Test func longTextsAreComparedWhole() {
        let long = String(repeating: "a", count: 120)
        let (_, warnings) = lint(
            """
            apiVersion: forecache/v1
            rules:
              - { name: first, match: { all: [ { owner: x }, { name: '\(long)1' } ] } }
              - { name: second, match: { all: [ { owner: x }, { name: '\(long)2' } ] } }
              - { name: third, match: { all: [ { owner: x }, { name: '\(long)*' }, { not: { name: '\(long)?' } } ] } }
            """)
        #expect(warnings == "")
        let impossible = lint(Fixtures.file(match: "{all: [{owner: x}, {name: '\(long)\(long)'}, {name: b}]}")).warnings
        #expect(
            impossible.hasSuffix(
                "can never match: 'name: glob \"\(long)\(String(repeating: "a", count: 68))…' and 'name: glob \"b\"' exclude each other"))
    }

    @Test func globsThatReachNothingAreNamed() {
        let (_, warnings) = lint(Fixtures.file(match: "{owner: x}", "targets: {sites: ['dcn*', 'mars*'], roles: ['*']}"))
        #expect(warnings == "rules/0.yaml:5:31: no site of the inventory matches 'mars*'")
    }

    private func timing(_ more: String, resync: Int = 600, ttl: Int? = 86400) -> String {
        let rules = Fixtures.rules(Fixtures.file(match: "{owner: x}", more))
        let context = LintContext(refreshFraction: 0.6, resyncSeconds: resync, configuration: Place(file: "forecache.yaml")) { _ in ttl }
        return RuleLint.warnings(in: rules, fleet: Fixtures.fleet, context: context).description
    }

    @Test func timesThatDoNotFitTogether() {
        #expect(timing("ttl: 1h") == "")
        #expect(
            timing("ttl: 20m")
                == "rules/0.yaml:3:5: rule 'r': a ttl of 20m leaves 8m after the refresh, less than one resync (10m); lengthen it, or lower refresh.at or resync"
        )
        #expect(timing("ttl: 30d", ttl: nil) == "")
        #expect(
            timing("ttl: 30d")
                == "rules/0.yaml:3:5: rule 'r' has a ttl of 30d, longer than the 1d of host dcn1-compute-0 and of 5 more hosts; the host's own counts there, for Nova removes the file after it"
        )
        #expect(
            timing("priority: 1", resync: 40_000)
                == "forecache.yaml:1:1: host dcn1-compute-0: a ttl of 1d leaves 576m after the refresh, less than one resync (40000s); lengthen it, or lower refresh.at or resync"
        )
        #expect(
            timing("deliver: {window: 23:00-03:00, rate_limit: 20MiB/s, max_size: 500GiB}")
                == "rules/0.yaml:3:5: rule 'r': the window 23:00-03:00 UTC is open for 4h, in which 281.3 GiB cross the link at its rate; an image of 500.0 GiB takes more than one window"
        )
        #expect(timing("deliver: {window: 23:00-03:00, rate_limit: 20MiB/s, max_size: 200GiB}") == "")
    }

    /// Ten thousand rules are the most that are read.
    @Test func manyRulesAreLintedSoon() {
        let items = (0..<2000).map { "  - { name: r\($0), match: { all: [{ tag: t\($0) }, { visibility: public }] } }" }
        let rules = Fixtures.rules("apiVersion: forecache/v1\nrules:\n" + items.joined(separator: "\n"))
        #expect(RuleLint.warnings(in: rules, fleet: Fixtures.fleet).isEmpty)
    }
}
