import Foundation
import StrictYAML
import Testing

@testable import Rules

/// One table of keys, held against what reads rule files, against the schema and against the reference.
@Suite struct GrammarTests {
    static let reference = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "rules/README.md")

    /// A whole file with one key of a group in it.
    private static func file(with key: Grammar.Key, of group: Grammar.Group) -> String {
        let entry = "\(key.name): \(key.example)"
        let captures = key.example.contains("{site}") ? ", targets: {sites: ['{site}']}" : ""
        func rule(_ text: String) -> String { "apiVersion: forecache/v1\nrules: [{\(text)\(captures)}]" }
        switch group.name {
        case "file": return key.name == "rules" ? "apiVersion: forecache/v1\n\(entry)" : "\(entry)\nrules: []"
        case "rule":
            let others = ["name": "name: r", "match": "match: {tag: a}"].filter { $0.key != key.name }.map(\.value)
            return rule(([entry] + others).joined(separator: ", "))
        case "match": return rule("name: r, match: {\(entry)}")
        case "operators": return rule("name: r, match: {property: {p: {\(entry)}}}")
        case "select": return rule("name: r, match: {tag: a}, select: {\(key.name == "newest" ? "" : "newest: 1, ")\(entry)}")
        default: return rule("name: r, match: {tag: a}, \(group.name): {\(entry)}")
        }
    }

    /// The same file with a key that there is not.
    private static func fileWithUnknownKey(in group: Grammar.Group) -> String {
        let stranger = Grammar.Key(name: "zzzzzzzz", shape: .text, about: "", example: "1")
        return file(with: stranger, of: group)
    }

    @Test(arguments: Grammar.groups.map(\.name)) func everyKeyOfTheTableIsReadWithItsExample(name: String) throws {
        let group = try #require(Grammar.groups.first { $0.name == name })
        for key in group.keys { #expect(Fixtures.problems(Self.file(with: key, of: group)) == [], "\(key.name)") }
    }

    /// The reader names all keys that it knows where it meets one that it does not.
    @Test(arguments: Grammar.groups.map(\.name)) func theReaderKnowsNoOtherKey(name: String) throws {
        let group = try #require(Grammar.groups.first { $0.name == name })
        let problem = try #require(Fixtures.problems(Self.fileWithUnknownKey(in: group)).first { $0.contains("zzzzzzzz") })
        let known = try #require(problem.components(separatedBy: "known are ").last).components(separatedBy: ", ")
        #expect(known == group.keys.map(\.name).sorted())
    }

    /// A whole test file with one key of a group in it.
    private static func testFile(with key: Grammar.Key, of group: Grammar.Group) -> String {
        let entry = "\(key.name): \(key.example)"
        func file(_ test: String, _ more: String = "fleet: {dcn1: {Compute: [dcn1-compute-0]}}") -> String {
            "apiVersion: forecache/v1\n\(more)\ntests: [{name: t, \(test)}]"
        }
        switch group.name {
        case "test file":
            let others = [
                "apiVersion": "apiVersion: forecache/v1", "fleet": key.name == "inventory" ? "" : "fleet: {a: {R: [h]}}",
                "tests": "tests: [{name: t, image: {}, expect: none}]",
            ].filter { $0.key != key.name }.sorted { $0.key < $1.key }.map(\.value)
            return ([entry] + others).joined(separator: "\n")
        case "test":
            let others = ["name": "name: t", "image": "image: {}", "expect": "expect: all"].filter { $0.key != key.name }.map(\.value)
            return "apiVersion: forecache/v1\nfleet: {a: {R: [h]}}\ntests: [{\(([entry] + others).joined(separator: ", "))}]"
        case "image": return file("image: {\(entry)}, expect: all")
        default: return file("image: {}, expect: all, \(group.name): {\(entry)}")
        }
    }

    private static func testProblems(_ text: String) -> [String] {
        var problems = Problems()
        _ = RuleTestFile.parse(text, path: "r.test.yaml", &problems)
        return problems.list.sorted().map(\.description)
    }

    @Test(arguments: Grammar.testGroups.map(\.name)) func everyKeyOfATestIsReadWithItsExample(name: String) throws {
        let group = try #require(Grammar.testGroups.first { $0.name == name })
        for key in group.keys { #expect(Self.testProblems(Self.testFile(with: key, of: group)) == [], "\(key.name)") }
    }

    @Test(arguments: Grammar.testGroups.map(\.name)) func theReaderOfTestsKnowsNoOtherKey(name: String) throws {
        let group = try #require(Grammar.testGroups.first { $0.name == name })
        let stranger = Grammar.Key(name: "zzzzzzzz", shape: .text, about: "", example: "1")
        let problem = try #require(Self.testProblems(Self.testFile(with: stranger, of: group)).first { $0.contains("zzzzzzzz") })
        let known = try #require(problem.components(separatedBy: "known are ").last).components(separatedBy: ", ")
        #expect(known == group.keys.map(\.name).sorted())
    }

    @Test(arguments: [false, true]) func theSchemaIsJSONAndHasEveryKey(ofTests: Bool) throws {
        let (text, groups) = ofTests ? (RuleSchema.ofTests, Grammar.testGroups) : (RuleSchema.ofRules, Grammar.groups)
        let schema = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let definitions = try #require(schema["$defs"] as? [String: Any])
        for (index, group) in groups.enumerated() {
            let object = index == 0 ? schema : try #require(definitions[group.name] as? [String: Any])
            let properties = try #require(object["properties"] as? [String: Any])
            #expect(properties.keys.sorted() == group.keys.map(\.name).sorted())
        }
    }

    @Test func theReferenceHasEveryKeyWithAnExample() throws {
        let text = try String(contentsOf: Self.reference, encoding: .utf8)
        for group in Grammar.groups + Grammar.testGroups {
            for key in group.keys {
                #expect(text.contains("`\(key.name)`"), "rules/README.md does not explain \(group.name).\(key.name)")
                #expect(
                    Self.blocks(text).contains { $0.contains("\(key.name):") },
                    "rules/README.md has no example of \(group.name).\(key.name)")
            }
        }
    }

    @Test func everyExampleOfTheReferenceReads() throws {
        let blocks = Self.blocks(try String(contentsOf: Self.reference, encoding: .utf8))
        #expect(blocks.count >= 9)
        for block in blocks {
            guard !block.contains("tests:") else {
                var problems = Problems()
                _ = RuleTestFile.parse(block, path: "rules/README.test.yaml", &problems)
                #expect(problems.description == "")
                continue
            }
            let file = block.hasPrefix("apiVersion") ? block : "apiVersion: forecache/v1\nrules:\n" + block
            #expect(Fixtures.problems(file) == [], "in:\n\(block)")
            #expect(RuleLint.warnings(in: Fixtures.rules(file), fleet: nil).description == "", "in:\n\(block)")
        }
    }

    /// What stands between "```yaml" and "```".
    private static func blocks(_ text: String) -> [String] {
        text.components(separatedBy: "```yaml\n").dropFirst().compactMap { $0.components(separatedBy: "```").first }
    }
}
