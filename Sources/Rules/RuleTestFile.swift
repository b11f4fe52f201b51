public import ForecacheModel
import FoundationEssentials
public import StrictYAML

/// A `*.test.yaml` file: rules, a fleet, and tests of where images must go.
public struct RuleTestFile: Sendable {
    public let path: String
    public let tests: [RuleTest]
    /// Paths of rule files, relative to this file's directory.
    public let rules: [(text: String, place: Place)]
    public let fleet: FleetSource

    public enum FleetSource: Sendable {
        case literal(Fleet)
        /// Ansible inventories, relative to this file's directory.
        case inventory([String], at: Place)
    }

    /// All problems come at once; nil where there are any.
    public static func parse(_ text: String, path: String, _ problems: inout Problems) -> RuleTestFile? {
        let before = problems.list.count
        guard let root = Value.parse(text, file: path, problems: &problems), var file = Mapping(root, "a rule test file", &problems) else {
            return nil
        }
        file.refuseKeysWithoutValue(required: ["apiVersion", "tests", "fleet", "inventory"], &problems)
        if let value = file.require("apiVersion", &problems), let version = value.string("apiVersion", &problems), version != "forecache/v1"
        {
            problems.add(value.place, "apiVersion must be 'forecache/v1', not \(value.kind)")
        }
        let rules =
            file.take("rules").map { RuleTestReader.texts($0, "rules", &problems) } ?? [(text: ruleFile(testedBy: path), place: root.place)]
        let fleet = readFleet(&file, &problems)
        let now = file.take("now").flatMap { RuleTestReader.moment($0, "now", &problems) }
        let defaultNow = now ?? RuleTestReader.defaultNow
        let images = file.take("images").map { RuleTestReader.images($0, now: defaultNow, &problems) } ?? []
        var reader = RuleTestReader(defaultNow: defaultNow, others: images)
        let list = file.require("tests", &problems)?.sequence("tests", &problems)
        if let list, list.isEmpty { problems.add(file.place, "'tests' is an empty list; give it at least one test") }
        let tests = (list ?? []).compactMap { reader.read($0, &problems) }
        file.finish(&problems)
        guard problems.list.count == before, let fleet else { return nil }
        return RuleTestFile(path: path, tests: tests, rules: rules, fleet: fleet)
    }

    /// `golden.yaml` for `rules/golden.test.yaml`: what is tested where the file does not say. Relative to the file's directory.
    private static func ruleFile(testedBy path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return RuleFileName.rules(testedBy: name) ?? name
    }

    private static func readFleet(_ file: inout Mapping, _ problems: inout Problems) -> FleetSource? {
        switch (file.take("fleet"), file.take("inventory")) {
        case (let fleet?, nil): return RuleTestReader.fleet(fleet, &problems).map { .literal($0) }
        case (nil, let inventory?):
            return .inventory(RuleTestReader.texts(inventory, "inventory", &problems).map(\.text), at: inventory.place)
        case (let fleet?, _?):
            problems.add(fleet.place, "a rule test file has a fleet or an inventory, not both")
            return nil
        case (nil, nil):
            problems.add(file.place, "a rule test file needs the key 'fleet' (site: {role: [host, …]}) or 'inventory' (a path)")
            return nil
        }
    }
}
