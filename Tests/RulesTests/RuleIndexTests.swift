import ForecacheModel
import ForecacheTestSupport
import Foundation
import Testing

@testable import Rules

/// Rules are looked up rather than walked through: the same ones are found, and few others.
@Suite struct RuleIndexTests {
    /// Rules and images of few words, so that they often meet.
    private struct World {
        var random: SplitMix64

        mutating func pick<Element>(_ list: [Element]) -> Element { list[Int(random.next() % UInt64(list.count))] }
        mutating func isOneIn(_ number: UInt64) -> Bool { random.next() % number == 0 }

        private static let words = [
            "a", "ab", "ba", "bab", "", "é", "e\u{301}b", "K", "1", "9.4", "9.10", "v10", "1e3", "0.5", "-2", "b\r\nb",
        ]
        private static let tooLong = String(repeating: "ab", count: 2100)

        mutating func word() -> String { isOneIn(40) ? Self.tooLong : pick(Self.words) }

        private mutating func pattern() -> String {
            pick([
                "a", "'a*'", "'*b'", "'*a*'", "'a*b'", "'?'", "'[ab]*'", "'*'", "é", "'*é*'", "\"\\u212A\"", "'9*'", "{regex: '^a'}",
                "{regex: 'b$'}",
                "{regex: 'a.?b'}", "{regex: '(?i)B'}",
            ])
        }

        private mutating func patterns() -> String { isOneIn(3) ? "[\(pattern()), \(pattern())]" : pattern() }

        private mutating func comparison() -> String {
            pick(["'>=9.4'", "'<9.10'", "'>9, <10'", "'=9.4'", "'!=9.4'", "'>0.1, !=10'", "'<=1'"])
        }

        private mutating func operators() -> String {
            let number = pick(["-3", "0.5", "1", "9.4", "1000"])
            return pick([
                "exists: true", "exists: false", "eq: a", "eq: ''", "in: [a, é]", "min: \(number)", "max: \(number)",
                "min: 1, max: \(number)",
                "version: \(comparison())", "glob: \(pattern()), version: \(comparison())",
            ])
        }

        mutating func condition(depth: Int) -> String {
            if depth > 0, !isOneIn(3) {
                let branches = (0...random.next() % 2).map { _ in condition(depth: depth - 1) }.joined(separator: ", ")
                return pick(["{all: [\(branches)]}", "{any: [\(branches)]}", "{not: \(condition(depth: depth - 1))}"])
            }
            let age = pick(["1d", "3d", "5d"])
            return pick([
                "{tag: \(patterns())}", "{name: \(patterns())}", "{property: {p: \(patterns())}}", "{property: {p: {\(operators())}}}",
                "{property: {p: {\(operators())}, q: {\(operators())}}}", "{role: \(patterns())}", "{visibility: [public, shared]}",
                "{owner: \(patterns())}", "{min_size: 10}", "{max_size: 10}", "{created_within: \(age)}", "{hidden: \(isOneIn(2))}",
                "{always: true}",
            ])
        }

        mutating func image() throws -> ImageFacts {
            var properties: [String: String] = [:]
            for name in ["p", "q", "role"] where !isOneIn(3) { properties[name] = word() }
            return try Fixtures.image(
                word(), visibility: pick(["public", "private"]), owner: isOneIn(3) ? nil : word(), size: pick([nil, 9, 10, 11]),
                hidden: isOneIn(4), tags: (0..<random.next() % 3).map { _ in word() }, properties: properties, ageDays: pick([-1, 1, 3, 4]))
        }
    }

    @Test(arguments: 0..<30) func whatIsLookedUpIsWhatHolds(seed: UInt64) throws {
        var world = World(random: SplitMix64(seed: seed))
        let matches = (0..<40).map { _ in world.condition(depth: 3) }
        let list = matches.enumerated().map { "  - {name: r\($0.offset), match: \($0.element)}" }
        let rules = Fixtures.rules("apiVersion: forecache/v1\nrules:\n" + list.joined(separator: "\n"))
        for _ in 0..<30 {
            let image = try world.image()
            var evaluation = Evaluation(image, now: Fixtures.now)
            let held = rules.rules.filter { evaluation.word(on: $0.match).holds == true }.map(\.name)
            let decided = rules.decide(image, fleet: Fixtures.fleet, now: Fixtures.now).rules.map(\.rule)
            #expect(decided == held, "seed \(seed), image \(image)")
        }
    }

    /// Each asks for what the image has not, beside what it has.
    @Test(arguments: [
        "{tag: silver}", "{tag: 'silver*'}", "{tag: '*silver*'}", "{name: '*-test'}", "{name: {regex: '^rhel'}}", "{name: {regex: 'r.el'}}",
        "{tag: 'precache:{site}'}", "{owner: other}", "{visibility: private}", "{role: '*'}", "{min_size: 1GiB}", "{max_size: 1MiB}",
        "{created_within: 1d}", "{property: {os_distro: rhel}}", "{property: {os_distro: {in: [rhel, debian]}}}",
        "{property: {os_version: {version: '>=24.10'}}}", "{property: {os_version: {version: '<22, !=9'}}}",
        "{property: {os_version: {version: '=22.04'}}}", "{property: {os_distro: {version: '>1'}}}", "{property: {cores: {min: 9}}}",
        "{property: {cores: {max: 7.5}}}", "{property: {os_distro: {max: 3}}}", "{property: {missing: {exists: true}}}",
        "{any: [{tag: silver}, {all: [{visibility: public}, {name: 'rhel*'}]}]}", "{all: [{tag: '*l*'}, {name: '*e*l*'}]}",
    ])
    func whatAnImageLacksIsNotWalkedThrough(match: String) throws {
        let targets = match.contains("{site}") ? "targets: {sites: ['{site}']}" : ""
        let rules = Fixtures.rules(Fixtures.file(match: "{all: [{visibility: public}, \(match)]}", targets))
        let image = try Fixtures.image(
            tags: ["golden", "a"], properties: ["os_distro": "ubuntu", "os_version": "24.04", "cores": "8"])
        var evaluation = Evaluation(image, now: Fixtures.now)
        #expect(RuleIndex(rules.rules).candidates(for: &evaluation) == [])
    }

    @Test func aRuleOfMoreClausesThanAreToldApartIsFound() throws {
        let conditions = (0..<40).map { "{name: '*\($0 < 32 ? "" : "x")*'}" }.joined(separator: ", ")
        let rules = Fixtures.rules(Fixtures.file(match: "{all: [\(conditions)]}"))
        #expect(rules.decide(try Fixtures.image("xy"), fleet: Fixtures.fleet, now: Fixtures.now).placements.count == 6)
        #expect(rules.decide(try Fixtures.image("y"), fleet: Fixtures.fleet, now: Fixtures.now).placements.isEmpty)
    }
}
