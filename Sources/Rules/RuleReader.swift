import ForecacheModel
import StrictYAML

/// Reads rule files one after the other, gathering all problems. A rule with a problem is left out.
struct RuleReader {
    private(set) var rules: [Rule] = []
    private(set) var problems = Problems()
    private var places: [String: Place] = [:]

    mutating func read(_ text: String, path: String) {
        guard let root = Value.parse(text, file: path, problems: &problems), var file = Mapping(root, "a rule file", &problems) else {
            return
        }
        file.refuseKeysWithoutValue(required: ["apiVersion", "rules"], &problems)
        if let value = file.require("apiVersion", &problems), let version = value.string("apiVersion", &problems), version != "forecache/v1"
        {
            problems.add(value.place, "apiVersion must be 'forecache/v1', not \(value.kind)")
        }
        if let list = file.require("rules", &problems)?.sequence("rules", &problems) {
            for value in list { readRule(value) }
        }
        file.finish(&problems)
    }

    private mutating func readRule(_ value: Value) {
        let before = problems.list.count
        guard var mapping = Mapping(value, "a rule", &problems) else { return }
        mapping.refuseKeysWithoutValue(required: ["name", "match"], &problems)
        let nameValue = mapping.require("name", &problems)
        let name = nameValue.flatMap { readName($0) }
        let mode = mapping.take("mode")?.word("mode", as: ModeWord.self, &problems)
        let priority = mapping.take("priority")?.integer("priority", in: 0...100, &problems)
        let matchValue = mapping.require("match", &problems)
        var matchReader = MatchReader()
        let match = matchValue.flatMap { matchReader.read($0, &problems) }
        let targetsValue = mapping.take("targets")
        let targets = targetsValue.flatMap { readTargets($0) } ?? Targets()
        let deliver = mapping.take("deliver").flatMap { readDeliver($0) } ?? DeliverySettings()
        let ttlSeconds = mapping.take("ttl").flatMap { readSeconds($0, "ttl") }
        let forSeconds = mapping.take("for").flatMap { readSeconds($0, "for") }
        let select = mapping.take("select").flatMap { SelectReader.read($0, &problems) }
        mapping.finish(&problems)

        if let match, problems.list.count == before { checkCaptures(match, targets, at: targetsValue?.place ?? value.place) }
        guard problems.list.count == before, let name, let match, let matchValue else { return }
        guard rules.count < Bounds.rules else { return problems.add(value.place, "more than \(Bounds.rules) rules") }
        rules.append(
            Rule(
                name: name, mode: mode?.mode ?? .enforce, priority: priority ?? 50, deliver: deliver, ttlSeconds: ttlSeconds,
                forSeconds: forSeconds, select: select, place: value.place, match: match, targets: targets,
                matchText: matchValue.plainText, targetsText: targetsValue?.plainText ?? ""))
    }

    private mutating func readName(_ value: Value) -> String? {
        guard let name = value.string("name", &problems) else { return nil }
        guard !name.isEmpty, name.count <= 100, Quoted.text(name) == "\"\(name)\"" else {
            problems.add(value.place, "a rule's name must have 1 to 100 printable characters")
            return nil
        }
        guard name != RuleSet.byHandName else {
            problems.add(value.place, "the name '\(name)' is taken: it marks what an operator caches without a rule")
            return nil
        }
        if let other = places[name] {
            problems.add(value.place, "rule name '\(name)' is used already at \(other)")
            return nil
        }
        places[name] = value.place
        return name
    }

    private mutating func readTargets(_ value: Value) -> Targets? {
        guard var mapping = Mapping(value, "targets", &problems) else { return nil }
        // `sites:` with nothing behind it would else widen the rule to every site.
        mapping.refuseKeysWithoutValue(&problems)
        let targets = Targets(
            sites: mapping.take("sites").flatMap { readPatterns($0, "targets.sites") },
            roles: mapping.take("roles").flatMap { readPatterns($0, "targets.roles") },
            hosts: mapping.take("hosts").flatMap { readPatterns($0, "targets.hosts") })
        mapping.finish(&problems)
        return targets
    }

    private mutating func readPatterns(_ value: Value, _ what: String) -> [TargetPattern]? {
        guard let texts = MatchReader.texts(value, what, &problems) else { return nil }
        var patterns: [TargetPattern] = []
        for (text, place) in texts {
            do {
                patterns.append(try TargetPattern(text, at: place))
            } catch {
                problems.add(place, "glob '\(text.prefix(60))' of \(what) \(error.message)")
            }
        }
        return patterns
    }

    private mutating func readDeliver(_ value: Value) -> DeliverySettings? {
        guard var mapping = Mapping(value, "deliver", &problems) else { return nil }
        mapping.refuseKeysWithoutValue(&problems)
        let settings = DeliveryReader.read(&mapping, "deliver", &problems)
        mapping.finish(&problems)
        return settings
    }

    private mutating func readSeconds(_ value: Value, _ key: String) -> Int? {
        guard let seconds = value.seconds(key, &problems) else { return nil }
        if seconds < 1 { problems.add(value.place, "\(key) must be at least 1s") }
        return seconds
    }

    /// What is captured must be used, or the rule would go further than it reads; what is used must be captured.
    private mutating func checkCaptures(_ match: Match, _ targets: Targets, at place: Place) {
        for capture in Capture.allCases {
            switch (match.captures.contains(capture), targets.captures.contains(capture)) {
            case (true, false):
                problems.add(place, "match captures \(capture.token) but targets do not use it; add it to targets or write '*' in match")
            case (false, true):
                problems.add(place, "targets use \(capture.token) but no condition of match captures it")
            case (true, true), (false, false): break
            }
        }
    }

    private enum ModeWord: String, CaseIterable {
        case enforce
        case dryRun = "dry-run"

        var mode: RuleMode {
            switch self {
            case .enforce: .enforce
            case .dryRun: .dryRun
            }
        }
    }
}

extension Value {
    /// The whole content on one line, whatever its layout.
    fileprivate var plainText: String {
        switch content {
        case .null: "null"
        case .scalar(let text, _): Quoted.text(text, most: .max)
        case .sequence(let values): "[\(values.map(\.plainText).joined(separator: ","))]"
        case .mapping(let entries):
            "{\(entries.map { "\(Quoted.text($0.key, most: .max)):\($0.value.plainText)" }.sorted().joined(separator: ","))}"
        }
    }
}
