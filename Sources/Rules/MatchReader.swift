import ForecacheModel
import StrictYAML

/// Reads a `match` tree: exactly one condition, `all`, `any`, `not` or `always` at each level.
struct MatchReader {
    private static let words = Grammar.match.keys.map(\.name)
    /// On attributes of Glance that conditions have another word for.
    private static let conditions = ["tags": "tag", "size": "min_size", "created_at": "created_within", "os_hidden": "hidden"]

    private var depthOfNot = 0

    mutating func read(_ value: Value, _ problems: inout Problems, what: String = "match") -> Match? {
        guard case .mapping(let entries) = value.content else {
            problems.add(value.place, "\(what) must be a mapping with one condition, not \(value.kind)")
            return nil
        }
        guard !entries.isEmpty else {
            problems.add(value.place, "\(what) is empty; write 'always: true' where every image is meant")
            return nil
        }
        if entries.count > 1 {
            let keys = entries.map(\.key).joined(separator: ", ")
            problems.add(
                entries[1].keyPlace,
                "\(what) holds \(entries.count) conditions (\(keys)) where one belongs; put them in a list under 'all' or 'any'")
        }
        let branches = entries.map { read($0, &problems) }
        return branches.count == 1 ? branches[0] : nil
    }

    private mutating func read(_ entry: Value.Entry, _ problems: inout Problems) -> Match? {
        guard Self.words.contains(entry.key) else {
            let hint =
                Nearest.word(to: entry.key, among: Self.words).map { "did you mean '\($0)'?" }
                ?? "known are \(Self.words.sorted().joined(separator: ", "))"
            problems.add(entry.keyPlace, "unknown condition '\(entry.key)'; \(hint)")
            return nil
        }
        guard entry.value.content != .null else {
            problems.add(entry.keyPlace, "condition '\(entry.key)' has no value")
            return nil
        }
        switch entry.key {
        case "all": return readBranches(entry, &problems).map { .all($0) }
        case "any":
            return readBranches(entry, &problems).map { branches in .any(branches, captures: branches.contains { !$0.captures.isEmpty }) }
        case "not":
            depthOfNot += 1
            defer { depthOfNot -= 1 }
            return read(entry.value, &problems, what: "not").map { .not($0) }
        case "always":
            guard let isAlways = entry.value.bool("always", &problems) else { return nil }
            guard isAlways else {
                problems.add(entry.value.place, "always can only be true; take the rule out to match nothing")
                return nil
            }
            return .always
        default: return readCondition(entry, &problems)
        }
    }

    private mutating func readBranches(_ entry: Value.Entry, _ problems: inout Problems) -> [Match]? {
        guard let values = entry.value.sequence(entry.key, &problems) else { return nil }
        guard !values.isEmpty else {
            problems.add(entry.value.place, "'\(entry.key)' is an empty list; give it at least one condition")
            return nil
        }
        let branches = values.map { read($0, &problems, what: "each item of '\(entry.key)'") }
        return branches.contains { $0 == nil } ? nil : branches.compactMap { $0 }
    }

    private func readCondition(_ entry: Value.Entry, _ problems: inout Problems) -> Match? {
        let value = entry.value
        if let field = TextField(rawValue: entry.key) { return readText(field, value, &problems).map { .condition(.text(field, $0)) } }
        switch entry.key {
        case "tag": return readPatterns(value, "tag", mayCapture: true, &problems).map { .condition(.tag($0)) }
        case "property": return readProperties(value, &problems)
        case "min_size": return value.bytes("min_size", &problems).map { .condition(.minSize($0, written: value.written)) }
        case "max_size": return value.bytes("max_size", &problems).map { .condition(.maxSize($0, written: value.written)) }
        case "created_within":
            return value.seconds("created_within", &problems).map { .condition(.createdWithin(seconds: $0, written: value.written)) }
        default: return value.bool("hidden", &problems).map { .condition(.hidden($0)) }
        }
    }

    private func readText(_ field: TextField, _ value: Value, _ problems: inout Problems) -> Patterns? {
        let before = problems.list.count
        let mayCapture = field == .name || field == .role
        guard let patterns = readPatterns(value, field.rawValue, mayCapture: mayCapture, &problems) else { return nil }
        for (text, place) in Self.texts(value, field.rawValue, isQuiet: true, &problems) ?? [] {
            guard let literal = (try? Glob(text))?.literal else { continue }  // a glob that does not read has its problem already
            check(field, literal, at: place, &problems)
        }
        return problems.list.count == before ? patterns : nil
    }

    /// Words of Glance that an operator can only have misspelt.
    private func check(_ field: TextField, _ literal: String, at place: Place, _ problems: inout Problems) {
        let known: [String]
        switch field {
        case .visibility: known = Grammar.visibilities
        case .status: known = Grammar.statuses
        case .id:
            if ImageID(literal)?.text != literal {
                problems.add(place, "id '\(literal.prefix(60))' is not an image id (a UUID in lower case)")
            }
            return
        case .name, .owner, .diskFormat, .containerFormat, .role: return
        }
        guard !known.contains(literal) else { return }
        let hint = Nearest.word(to: literal, among: known).map { "; did you mean '\($0)'?" } ?? ""
        problems.add(place, "\(field.rawValue) must be one of \(known.joined(separator: ", ")), not '\(literal.prefix(60))'\(hint)")
    }

    /// Globs and `{regex: …}`, one or a list.
    private func readPatterns(_ value: Value, _ what: String, mayCapture: Bool, _ problems: inout Problems) -> Patterns? {
        let values: [Value]
        switch value.content {
        case .sequence(let list): values = list
        case .scalar, .mapping, .null: values = [value]
        }
        guard !values.isEmpty else {
            problems.add(value.place, "\(what) is an empty list, which would match nothing")
            return nil
        }
        let patterns = values.compactMap { readPattern($0, what, mayCapture: mayCapture, &problems) }
        return patterns.count == values.count ? Patterns(patterns) : nil
    }

    private func readPattern(_ value: Value, _ what: String, mayCapture: Bool, _ problems: inout Problems) -> Pattern? {
        if case .mapping = value.content {
            guard var mapping = Mapping(value, "a pattern of \(what)", &problems) else { return nil }
            let regex = mapping.require("regex", &problems)
            mapping.finish(&problems)
            return regex.flatMap { readRegex($0, what, &problems) }
        }
        guard let text = value.string("each of \(what)", &problems) else { return nil }
        return readGlob(text, at: value.place, what, mayCapture: mayCapture, &problems)
    }

    private func readGlob(_ text: String, at place: Place, _ what: String, mayCapture: Bool, _ problems: inout Problems) -> Pattern? {
        do {
            let pattern = try Pattern.glob(reading: text)
            if let capture = pattern.captures.first {
                guard mayCapture else {
                    throw PatternError("has \(capture.token), but names are captured from tag, name, role and property only")
                }
                guard depthOfNot == 0 else { throw PatternError("has \(capture.token), but nothing is captured under 'not'") }
            }
            return pattern
        } catch {
            let message = (error as? PatternError)?.message ?? "\(error)"
            problems.add(place, "glob '\(text.prefix(60))' of \(what) \(message)")
            return nil
        }
    }

    private func readRegex(_ value: Value, _ what: String, _ problems: inout Problems) -> Pattern? {
        guard let text = value.string("regex", &problems) else { return nil }
        do {
            return .regex(try LinearRegex(text))
        } catch {
            problems.add(value.place, "regex '\(text.prefix(60))' of \(what) \(error.message)")
            return nil
        }
    }

    /// `{os_distro: ubuntu, hw_firmware_type: {exists: true}}`: all must hold.
    private func readProperties(_ value: Value, _ problems: inout Problems) -> Match? {
        guard case .mapping(let entries) = value.content else {
            problems.add(value.place, "property must be a mapping of property names, not \(value.kind)")
            return nil
        }
        guard !entries.isEmpty else {
            problems.add(value.place, "property is empty; name at least one property")
            return nil
        }
        let parts = entries.map { readProperty($0, &problems) }
        guard !parts.contains(where: { $0 == nil }) else { return nil }
        let conditions = parts.compactMap { $0 }.joined().map(Match.condition)
        return conditions.count == 1 ? conditions[0] : .all(conditions)
    }

    private func readProperty(_ entry: Value.Entry, _ problems: inout Problems) -> [Condition]? {
        let name = entry.key
        let condition = Self.words.contains(name) ? name : Self.conditions[name]
        let remedy = condition.map { "write '\($0): …'" } ?? "rules cannot go by it"
        guard Self.mayBeProperty(name, at: entry.keyPlace, remedy: remedy, &problems) else { return nil }
        guard entry.value.content != .null else {
            problems.add(entry.keyPlace, "property '\(name)' has no value; write {exists: true} where any value will do")
            return nil
        }
        guard case .mapping(let operators) = entry.value.content else {
            return readPatterns(entry.value, "property '\(name)'", mayCapture: true, &problems).map {
                [.property(PropertyTest(name: name, test: .patterns($0)))]
            }
        }
        let before = problems.list.count
        guard var mapping = Mapping(entry.value, "property '\(name)'", &problems) else { return nil }
        let what = "property '\(name)'"
        for entry in operators where entry.value.content == .null {
            problems.add(entry.keyPlace, "operator '\(entry.key)' of \(what) has no value")
        }
        var tests: [PropertyTest.Test] = []
        if let value = mapping.take("exists"), let wanted = value.bool("exists", &problems) { tests.append(.exists(wanted)) }
        if let text = mapping.take("eq")?.string("eq", mayBeEmpty: true, &problems) {
            tests.append(.patterns(Patterns([.literal(text, isGlob: false)])))
        }
        if let value = mapping.take("in"), let texts = Self.texts(value, "in", &problems) {
            tests.append(.patterns(Patterns(texts.map { .literal($0.text, isGlob: false) })))
        }
        if let value = mapping.take("glob"), let globs = readPatterns(value, what, mayCapture: true, &problems) {
            tests.append(.patterns(globs))
        }
        if let regex = mapping.take("regex").flatMap({ readRegex($0, what, &problems) }) { tests.append(.patterns(Patterns([regex]))) }
        if let value = mapping.take("min"), let least = readNumber(value, "min", &problems) {
            tests.append(.min(least, written: value.written))
        }
        if let value = mapping.take("max"), let most = readNumber(value, "max", &problems) {
            tests.append(.max(most, written: value.written))
        }
        if let range = mapping.take("version").flatMap({ readVersion($0, what, &problems) }) { tests.append(.version(range)) }
        mapping.finish(&problems)
        if tests.isEmpty, problems.list.count == before {
            problems.add(entry.value.place, "\(what) needs an operator: exists, eq, in, glob, regex, min, max or version")
        }
        guard problems.list.count == before, tests.count == operators.count else { return nil }
        return tests.map { .property(PropertyTest(name: name, test: $0)) }
    }

    /// False, with a problem noted, for Glance's own attributes: no image has a property of such a name.
    static func mayBeProperty(_ name: String, at place: Place, remedy: String, _ problems: inout Problems) -> Bool {
        guard ImageAttribute.has(name) else { return true }
        problems.add(place, "'\(name.prefix(60))' is an attribute of every image, not a property; \(remedy)")
        return false
    }

    private func readVersion(_ value: Value, _ what: String, _ problems: inout Problems) -> VersionRange? {
        guard let text = value.string("version", &problems) else { return nil }
        do {
            return try VersionRange(text)
        } catch {
            problems.add(value.place, "version '\(text.prefix(60))' of \(what) \(error.message)")
            return nil
        }
    }

    private func readNumber(_ value: Value, _ what: String, _ problems: inout Problems) -> Double? {
        if case .scalar(let text, _) = value.content, let number = Double(text), number.isFinite { return number }
        problems.add(value.place, "\(what) must be a number, not \(value.kind)")
        return nil
    }

    /// A text or a list of texts, each with its place; an empty list is a problem. `isQuiet` passes over what is not a text, where that was said before.
    static func texts(
        _ value: Value, _ what: String, isQuiet: Bool = false, _ problems: inout Problems
    ) -> [(text: String, place: Place)]? {
        switch value.content {
        case .scalar: return value.string(what, &problems).map { [($0, value.place)] }
        case .sequence(let values):
            if values.isEmpty, !isQuiet {
                problems.add(value.place, "\(what) is an empty list; give it at least one value")
                return nil
            }
            return values.compactMap { item in
                if isQuiet, case .mapping = item.content { return nil }
                return item.string("each of \(what)", &problems).map { ($0, item.place) }
            }
        case .null, .mapping:
            if !isQuiet { problems.add(value.place, "\(what) must be text or a list of texts, not \(value.kind)") }
            return nil
        }
    }
}

extension Value {
    /// A scalar as the operator wrote it, for reasons.
    fileprivate var written: String { if case .scalar(let text, _) = content { text } else { kind } }
}
