import ForecacheModel
import Foundation
import StrictYAML
import Testing

@testable import Rules

/// The files of `rules/` at the root: they read, lint clean on the quickstart's lab, and decide what their comments say.
@Suite struct ExampleRulesTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "rules")

    private static let lab = Fleet(
        sites: ["dcn1", "dcn2"].map { site in
            Site(
                name: SiteName(site),
                hosts: (0..<2).map {
                    Host(name: HostName("\(site)-compute-\($0)"), site: SiteName(site), role: "Compute", address: "192.0.2.1")
                })
        })

    private func rules() throws -> RuleSet {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path).sorted()
        let files = try names.filter { $0.hasSuffix(".yaml") && !$0.hasSuffix(".test.yaml") }.map { name in
            (path: "rules/\(name)", text: try String(contentsOf: Self.folder.appending(path: name), encoding: .utf8))
        }
        let (rules, problems) = RuleSet.parse(files)
        #expect(problems.description == "")
        return rules
    }

    @Test func theyLintClean() throws {
        let rules = try rules()
        #expect(rules.rules.map(\.name) == ["golden", "by-tag", "by-role", "newest-per-distribution", "recent-distributions", "at-night"])
        #expect(RuleLint.problems(in: rules, fleet: Self.lab).description == "")
        #expect(RuleLint.warnings(in: rules, fleet: Self.lab).description == "")
    }

    private func decide(_ image: ImageFacts) throws -> String {
        Fixtures.text(try rules(), on: image, fleet: Self.lab)
    }

    @Test func goldenGoesEverywhere() throws {
        let image = try Fixtures.image(tags: ["golden"], properties: ["os_type": "linux"])
        #expect(
            try decide(image) == """
                + golden (4): tag "golden" matches glob "golden"; visibility "public" matches glob "public"; name "ubuntu-24.04" does not match glob "*-test"; targets every site
                - by-tag (0): no tag matches glob "precache:{site}"
                - by-role (0): image has no property "role"
                - newest-per-distribution (0): no tag matches glob "release"
                + recent-distributions (4): name "ubuntu-24.04" matches glob "ubuntu-*"; visibility "public" matches glob "public"; property "os_type" "linux" matches glob "linux"; size 524288000 is at most 20GiB; created 3 days ago, within 90d; targets sites "dcn*"
                - at-night (0): no tag matches glob "night"
                dcn1 Compute dcn1-compute-0: golden, also recent-distributions, enforce, priority 80
                dcn1 Compute dcn1-compute-1: golden, also recent-distributions, enforce, priority 80
                dcn2 Compute dcn2-compute-0: golden, also recent-distributions, enforce, priority 80
                dcn2 Compute dcn2-compute-1: golden, also recent-distributions, enforce, priority 80
                """)
    }

    @Test func aTenantsGoldenTagIsNotTrustedAndTestImagesAreLeftAlone() throws {
        #expect(
            try decide(try Fixtures.image("x", visibility: "shared", tags: ["golden", "precache:dcn1"])) == """
                - golden (0): visibility "shared" does not match glob "public"
                - by-tag (0): visibility "shared" does not match glob "public"
                - by-role (0): image has no property "role"
                - newest-per-distribution (0): no tag matches glob "release"
                - recent-distributions (0): name "x" does not match any of glob "ubuntu-*", glob "debian-*", regex "^rhel-(8|9)\\."
                - at-night (0): no tag matches glob "night"
                """)
        #expect(
            try decide(try Fixtures.image("x-test", tags: ["golden"])).hasPrefix(
                "- golden (0): name \"x-test\" matches excluded \"*-test\"\n"))
    }

    @Test func tagsNameSitesAndThePropertyNamesARole() throws {
        let image = try Fixtures.image("rhel-7", tags: ["precache:dcn2", "precache:mars"], properties: ["role": "Compute"])
        #expect(
            try decide(image) == """
                - golden (0): no tag matches glob "golden"
                + by-tag (2): tag "precache:dcn2" matches glob "precache:{site}"; tag "precache:mars" matches glob "precache:{site}"; visibility "public" matches glob "public"; targets sites "dcn2", "mars"
                + by-role (4): property "role" "Compute" matches glob "{role}"; visibility "public" matches glob "public"; targets roles "Compute"
                - newest-per-distribution (0): no tag matches glob "release"
                - recent-distributions (0): name "rhel-7" does not match any of glob "ubuntu-*", glob "debian-*", regex "^rhel-(8|9)\\."
                - at-night (0): no tag matches glob "night"
                dcn1 Compute dcn1-compute-0: by-role, enforce, priority 50, ttl 604800
                dcn1 Compute dcn1-compute-1: by-role, enforce, priority 50, ttl 604800
                dcn2 Compute dcn2-compute-0: by-tag, also by-role, enforce, priority 50
                dcn2 Compute dcn2-compute-1: by-tag, also by-role, enforce, priority 50
                """)
    }

    @Test func theDryRunIsOneByItself() throws {
        let image = try Fixtures.image("rhel-9.4", properties: ["os_type": "linux"])
        let decision = try rules().decide(image, fleet: Self.lab, now: Fixtures.now)
        #expect(decision.placements.count == 4)
        #expect(decision.placements.allSatisfy { $0.mode == .dryRun && $0.deliver.via == .proxy && $0.rule == "recent-distributions" })
    }
}
