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
        ("{all: [{tag: golden}, {not: {visibility: public}}]}", true), ("{name: golden}", false),
        ("{any: [{all: [{tag: golden}, {owner: 9f3a}]}, {id: '07*'}]}", false),
    ])
    func tagsAloneAreNotTrusted(match: String, isWarned: Bool) {
        let warnings = lint(Fixtures.file(match: match)).warnings
        #expect(warnings.contains("every project can tag its own images") == isWarned)
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
}
