import ForecacheModel
import Foundation
import StrictYAML
import Testing

@testable import Rules

/// Where images go: targets, captures, priorities, modes.
@Suite struct DecisionTests {
    private func hosts(_ more: String, match: String = "{always: true}", tags: [String] = [], properties: [String: String] = [:]) throws
        -> [String]
    {
        let image = try Fixtures.image(tags: tags, properties: properties)
        let rules = Fixtures.rules(Fixtures.file(match: match, more))
        return rules.decide(image, fleet: Fixtures.fleet, now: Fixtures.now).placements.map(\.host.rawValue)
    }

    static let all = ["dcn1-compute-0", "dcn1-compute-1", "dcn1-gpu-0", "dcn2-compute-0", "dcn2-compute-1", "edge-3-gpu-0"]

    @Test(arguments: [
        ("", all), ("targets: {}", all), ("targets: {sites: ['*']}", all),
        ("targets: {sites: dcn2}", ["dcn2-compute-0", "dcn2-compute-1"]),
        ("targets: {sites: ['dcn*']}", Array(all.prefix(5))), ("targets: {roles: [ComputeGPU]}", ["dcn1-gpu-0", "edge-3-gpu-0"]),
        ("targets: {sites: ['dcn[13]'], roles: ['*GPU']}", ["dcn1-gpu-0"]), ("targets: {hosts: ['*-0']}", [0, 2, 3, 5].map { all[$0] }),
        ("targets: {sites: [edge-3, dcn1], roles: [Compute, ComputeGPU], hosts: ['*gpu*']}", ["dcn1-gpu-0", "edge-3-gpu-0"]),
        ("targets: {sites: [nowhere]}", []), ("targets: {sites: [dcn1, dcn1, 'dcn1*'], hosts: [dcn1-gpu-0]}", ["dcn1-gpu-0"]),
    ])
    func targets(targets: String, wanted: [String]) throws {
        #expect(try hosts(targets) == wanted)
    }

    @Test func severalTagsCaptureSeveralSites() throws {
        let wanted = try hosts(
            "targets: {sites: ['{site}']}", match: "{tag: 'precache:{site}'}",
            tags: ["precache:edge-3", "precache:dcn2", "precache:mars", "x"])
        #expect(wanted == ["dcn2-compute-0", "dcn2-compute-1", "edge-3-gpu-0"])
    }

    @Test func capturesOfOneTagStayTogether() throws {
        let wanted = try hosts(
            "targets: {sites: ['{site}'], roles: ['{role}']}", match: "{tag: 'on:{site}:{role}'}",
            tags: ["on:dcn1:ComputeGPU", "on:dcn2:Compute"])
        #expect(wanted == ["dcn1-gpu-0", "dcn2-compute-0", "dcn2-compute-1"])
    }

    @Test func capturesOfTwoConditionsAreCombined() throws {
        let match = "{all: [{tag: 'site:{site}'}, {role: '{role}'}]}"
        let targets = "targets: {sites: ['{site}'], roles: ['{role}']}"
        #expect(
            try hosts(targets, match: match, tags: ["site:dcn1", "site:edge-3"], properties: ["role": "ComputeGPU"]) == [
                "dcn1-gpu-0", "edge-3-gpu-0",
            ])
        let twice = "{all: [{tag: 'a:{site}'}, {tag: 'b:{site}'}]}"
        #expect(
            try hosts("targets: {sites: ['{site}']}", match: twice, tags: ["a:dcn1", "a:dcn2", "b:dcn2"]) == [
                "dcn2-compute-0", "dcn2-compute-1",
            ])
        #expect(try hosts("targets: {sites: ['{site}']}", match: twice, tags: ["a:dcn1", "b:dcn2"]) == [])
    }

    @Test func capturesOfAllBranchesOfAnyCount() throws {
        let match = "{any: [{tag: 'a:{site}'}, {name: 'ubuntu-{site}'}, {tag: plain}]}"
        let targets = "targets: {sites: ['{site}', 'edge-*'], roles: ['*']}"
        #expect(try hosts(targets, match: match, tags: ["a:dcn2"]).contains("dcn2-compute-0"))
        #expect(try hosts(targets, match: match, tags: ["plain"]) == ["edge-3-gpu-0"])
        let inText = try hosts("targets: {sites: ['d{site}', 'd{site}*']}", match: "{tag: 'a:{site}'}", tags: ["a:cn"])
        #expect(inText == Array(Self.all.prefix(5)))
    }

    @Test func capturedTextIsNeverAWildcard() throws {
        #expect(
            try hosts(
                "targets: {sites: ['{site}']}", match: "{tag: 'precache:{site}'}",
                tags: ["precache:*", "precache:dcn[12]", "precache:?cn1"]) == [])
    }

    @Test func theBestRuleWinsAndTheOthersAreNamed() throws {
        let rules = Fixtures.rules(
            """
            apiVersion: forecache/v1
            rules:
              - { name: low, match: { always: true }, priority: 10, deliver: { via: direct }, ttl: 1d }
              - { name: first, match: { always: true }, priority: 60, deliver: { via: proxy }, ttl: 30d, targets: { sites: [dcn2] } }
              - { name: second, match: { always: true }, priority: 60, ttl: 2d, targets: { hosts: ["*-0"] } }
              - { name: trial, match: { always: true }, priority: 99, mode: dry-run, targets: { sites: ["dcn*"] } }
              - { name: other-trial, match: { always: true }, priority: 5, mode: dry-run }
              - { name: never, match: { tag: x } }
            """)
        #expect(
            Fixtures.text(rules, on: try Fixtures.image()) == """
                + trial (5): matches every image; targets sites "dcn*"
                + first (2): matches every image; targets sites "dcn2"
                + second (4): matches every image; targets hosts "*-0"
                - never (0): no tag matches glob "x"
                + low (6): matches every image; targets every site
                + other-trial (6): matches every image; targets every site
                dcn1 Compute dcn1-compute-0: second, also trial, low, other-trial, enforce, priority 60, ttl 172800
                dcn1 Compute dcn1-compute-1: low, also trial, other-trial, enforce, priority 10, via direct, ttl 86400
                dcn1 ComputeGPU dcn1-gpu-0: second, also trial, low, other-trial, enforce, priority 60, ttl 172800
                dcn2 Compute dcn2-compute-0: first, also trial, second, low, other-trial, enforce, priority 60, via proxy, ttl 2592000
                dcn2 Compute dcn2-compute-1: first, also trial, low, other-trial, enforce, priority 60, via proxy, ttl 2592000
                edge-3 ComputeGPU edge-3-gpu-0: second, also low, other-trial, enforce, priority 60, ttl 172800
                """)
    }

    /// Inventories have hosts in an order of their own, which decides who is a site's seed.
    @Test func placementsAreInOrderWhateverTheInventorysIs() throws {
        let hosts = ["c2", "c10", "c1", "c0"].map { Host(name: HostName($0), site: "s", role: "Compute", address: "192.0.2.1") }
        let rules = Fixtures.rules(
            """
            apiVersion: forecache/v1
            rules:
              - { name: all, match: { always: true } }
              - { name: some, match: { always: true }, targets: { hosts: [c10, c1] } }
            """)
        let placements = rules.decide(
            try Fixtures.image(), fleet: Fleet(sites: [Site(name: "s", hosts: hosts)]), now: Fixtures.now
        ).placements
        #expect(placements.map(\.host) == ["c0", "c1", "c10", "c2"])
        #expect(placements.map(\.alsoWantedBy) == [[], ["some"], ["some"], []])
    }

    @Test func onlyDryRunRulesMakeADryRunPlacement() throws {
        let rules = Fixtures.rules(Fixtures.file(match: "{always: true}", "mode: dry-run"))
        let decision = rules.decide(try Fixtures.image(), fleet: Fixtures.fleet, now: Fixtures.now)
        #expect(decision.placements.count == 6)
        #expect(decision.placements.allSatisfy { $0.mode == .dryRun })
    }

    @Test func aMatchWithoutHostsSaysSo() throws {
        let rules = Fixtures.rules(Fixtures.file(match: "{tag: 'precache:{site}'}", "targets: {sites: ['{site}']}"))
        let decision = rules.decide(try Fixtures.image(tags: ["precache:mars"]), fleet: Fixtures.fleet, now: Fixtures.now)
        #expect(
            Fixtures.text(decision) == """
                + r (0): tag "precache:mars" matches glob "precache:{site}"; targets sites "mars", where the fleet has no host
                """)
        #expect(RuleSet(rules: rules.rules).decide(try Fixtures.image(), fleet: Fleet(sites: []), now: Fixtures.now).placements.isEmpty)
    }

    @Test func byHandWantsEveryHost() throws {
        let decision = RuleSet.byHand(try Fixtures.image(hidden: true), fleet: Fixtures.fleet)
        #expect(decision.placements.map(\.host.rawValue) == Self.all)
        #expect(
            decision.placements.allSatisfy {
                $0.rule == "by hand" && $0.deliver == DeliverySettings() && $0.mode == .enforce && $0.reasons == ["named by hand"]
            })
        #expect(decision.refusal == nil)
    }

    @Test func decisionsAreTheSameEveryTime() throws {
        let rules = Fixtures.rules(
            Fixtures.file(match: "{any: [{tag: '*'}, {tag: 'precache:{site}'}]}", "targets: {sites: ['{site}', dcn1]}"))
        let image = try Fixtures.image(tags: (0..<100).map { "precache:dcn\($0)" })
        let first = rules.decide(image, fleet: Fixtures.fleet, now: Fixtures.now)
        for _ in 0..<20 { #expect(rules.decide(image, fleet: Fixtures.fleet, now: Fixtures.now) == first) }
    }
}
