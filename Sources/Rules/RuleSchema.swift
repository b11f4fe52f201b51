/// The JSON Schemas of rule files and of rule test files (draft 2020-12), for editors and for checks without forecache. They know the shape of a file; what
/// only holds between keys, such as captures that targets use, is for `rules lint` and `rules test`.
public enum RuleSchema {
    public static let ofRules = document("rules", "forecache rules", Grammar.groups)
    public static let ofTests = document("rule-tests", "forecache rule tests", Grammar.testGroups)

    /// The first group is the file.
    private static func document(_ id: String, _ title: String, _ groups: [Grammar.Group]) -> String {
        var parts = [
            ("$schema", JSON.string("https://json-schema.org/draft/2020-12/schema")), ("$id", .string("forecache/v1/\(id)")),
            ("title", .string(title)),
        ]
        parts += schema(of: groups[0]).entries
        let definitions = groups.dropFirst().map { ($0.name, schema(of: $0)) }
        return JSON.object(parts + [("$defs", .object(definitions + common))]).text + "\n"
    }

    private static func schema(of group: Grammar.Group) -> JSON {
        let properties = group.keys.map { key in
            (key.name, JSON.object([("description", .string(key.about))] + schema(of: key.shape).entries))
        }
        var parts: [(String, JSON)] = [
            ("description", .string(group.about)), ("type", .string("object")), ("properties", .object(properties)),
            ("additionalProperties", .bool(false)),
        ]
        let required = group.keys.filter(\.isRequired).map { JSON.string($0.name) }
        if !required.isEmpty { parts.append(("required", .array(required))) }
        if group.hasExactlyOneKey || !group.mayBeEmpty { parts.append(("minProperties", .integer(1))) }
        if group.hasExactlyOneKey { parts.append(("maxProperties", .integer(1))) }
        for (word, keys) in [("oneOf", group.oneOf), ("anyOf", group.anyOf)] where !keys.isEmpty {
            parts.append((word, .array(keys.map { .object([("required", .array([.string($0)]))]) })))
        }
        return .object(parts)
    }

    private static func schema(of shape: Grammar.Shape) -> JSON {
        switch shape {
        case .text: reference("text")
        case .anyText: .object([("type", scalar)])
        case .patterns: oneOrMore(reference("pattern"))
        case .globs: oneOrMore(reference("text"))
        case .texts(let least): oneOrMore(reference("text"), atLeast: least)
        case .regex: .object([("type", .string("string"))])
        case .version: quantity("^\(comparison)(,\(comparison))*$")
        case .word(let words): .object([("enum", .array(words.map { .string($0) }))])
        case .constant(let text): .object([("const", .string(text))])
        case .bool: .object([("type", .string("boolean"))])
        case .always: .object([("const", .bool(true))])
        case .integer(let range):
            .object(
                [("type", .string("integer")), ("minimum", .integer(range.lowerBound))]
                    + (range.upperBound == .max ? [] : [("maximum", .integer(range.upperBound))]))
        case .number: .object([("type", .array([.string("number"), .string("string")]))])
        case .size: quantity(#"^[0-9]+(\.[0-9]+)? *(B|KiB|MiB|GiB|TiB)?$"#)
        case .rate: quantity(#"^[0-9]+(\.[0-9]+)? *(B|KiB|MiB|GiB|TiB)?(/s)?$"#)
        case .duration: quantity(#"^[0-9]+(\.[0-9]+)? *[smhd]?$"#)
        case .window: text(#"^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)( [!-~]+)?$"#)
        case .group(let name): reference(name)
        case .list(let element, let least): list(of: schema(of: element), atLeast: least)
        case .wordOrProperty(let words, let isList):
            if isList { oneOrMore(wordOrProperty(words)) } else { wordOrProperty(words) }
        case .properties:
            .object([
                ("type", .string("object")), ("minProperties", .integer(1)),
                (
                    "additionalProperties",
                    .object([("anyOf", .array([reference("pattern"), list(of: reference("pattern")), reference(Grammar.operators.name)]))])
                ),
            ])
        case .id: text(#"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"#)
        case .moment: text(#"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:?[0-9]{2}))?$"#)
        case .named(let value, let least):
            .object([("type", .string("object")), ("minProperties", .integer(least)), ("additionalProperties", schema(of: value))])
        case .noneOrAll(let others):
            .object([("anyOf", .array([.object([("enum", .array([.string("none"), .string("all")]))])] + others.map(schema(of:))))])
        }
    }

    /// As `VersionRange` reads one. An `x` that is a whole part of the number would stand for any.
    private static let comparison =
        #" *(>=|<=|!=|==|>|<|=)? *[vV]?[0-9][0-9A-Za-z_+~-]*(\.([0-9A-WYZa-wyz_+~-]|[0-9A-Za-z_+~-]{2,})?)* *"#

    private static func reference(_ name: String) -> JSON { .object([("$ref", .string("#/$defs/\(name)"))]) }

    private static func list(of element: JSON, atLeast least: Int = 1) -> JSON {
        .object([("type", .string("array")), ("items", element)] + (least == 0 ? [] : [("minItems", .integer(least))]))
    }

    private static func oneOrMore(_ element: JSON, atLeast least: Int = 1) -> JSON {
        .object([("anyOf", .array([element, list(of: element, atLeast: least)]))])
    }

    private static func text(_ pattern: String) -> JSON { .object([("type", .string("string")), ("pattern", .string(pattern))]) }

    /// A number with a unit, or a plain number.
    private static func quantity(_ pattern: String) -> JSON {
        .object([("type", .array([.string("string"), .string("number")])), ("pattern", .string(pattern)), ("minimum", .integer(0))])
    }

    private static func wordOrProperty(_ words: [String]) -> JSON {
        let property = JSON.object([
            ("type", .string("object")), ("properties", .object([("property", reference("text"))])),
            ("required", .array([.string("property")])),
            ("additionalProperties", .bool(false)),
        ])
        return .object([("anyOf", .array([.object([("enum", .array(words.map { .string($0) }))]), property]))])
    }

    /// YAML reads `24.04` as a number and `yes` as a boolean; both are texts to us.
    private static let scalar = JSON.array([.string("string"), .string("number"), .string("boolean")])

    private static let common: [(String, JSON)] = [
        ("text", .object([("type", scalar), ("minLength", .integer(1))])),
        (
            "pattern",
            .object([
                ("description", .string("A glob, or {regex: …}.")),
                (
                    "anyOf",
                    .array([
                        reference("text"),
                        .object([
                            ("type", .string("object")), ("properties", .object([("regex", .object([("type", .string("string"))]))])),
                            ("required", .array([.string("regex")])), ("additionalProperties", .bool(false)),
                        ]),
                    ])
                ),
            ])
        ),
    ]
}

/// JSON whose keys keep their order, so that the schema reads like the reference.
private enum JSON: Sendable {
    case object([(String, JSON)])
    case array([JSON])
    case string(String)
    case integer(Int)
    case bool(Bool)

    var entries: [(String, JSON)] { if case .object(let entries) = self { entries } else { [] } }

    var text: String { text(indent: "") }

    private func text(indent: String) -> String {
        let inner = indent + "  "
        switch self {
        case .object(let entries) where entries.isEmpty: return "{}"
        case .object(let entries):
            let lines = entries.map { "\(inner)\(Self.quoted($0.0)): \($0.1.text(indent: inner))" }
            return "{\n\(lines.joined(separator: ",\n"))\n\(indent)}"
        case .array(let values):
            let parts = values.map { $0.text(indent: inner) }
            let line = "[\(parts.joined(separator: ", "))]"
            if !line.contains("\n"), line.utf8.count <= 120 { return line }
            return "[\n\(parts.map { inner + $0 }.joined(separator: ",\n"))\n\(indent)]"
        case .string(let text): return Self.quoted(text)
        case .integer(let number): return "\(number)"
        case .bool(let value): return value ? "true" : "false"
        }
    }

    /// Our own texts: printable, so that only two characters need an escape.
    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for character in text {
            if character == "\"" || character == "\\" { quoted.append("\\") }
            quoted.append(character)
        }
        return quoted + "\""
    }
}
