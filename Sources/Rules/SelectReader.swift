import ForecacheModel
import StrictYAML

/// Reads `select: {newest: 2, group_by: {property: os_distro}, order_by: created_at}`.
enum SelectReader {
    static let counts = 1...1000
    /// The words of `group_by`; a property is `{property: NAME}`.
    static let groupWords = ["name", "visibility", "owner", "disk_format", "container_format", "role"]
    static let orderWords = ["created_at", "updated_at"]

    static func read(_ value: Value, _ problems: inout Problems) -> Select? {
        let before = problems.list.count
        guard var mapping = Mapping(value, "select", &problems) else { return nil }
        mapping.refuseKeysWithoutValue(required: ["newest"], &problems)
        let newest = mapping.require("newest", &problems)?.integer("select.newest", in: counts, &problems)
        let groupBy = mapping.take("group_by").map { groups($0, &problems) } ?? []
        let orderBy = mapping.take("order_by").flatMap { order($0, &problems) } ?? .createdAt
        mapping.finish(&problems)
        guard problems.list.count == before, let newest else { return nil }
        return Select(newest: newest, groupBy: groupBy, orderBy: orderBy)
    }

    /// One key, or a list of keys that make a group together.
    private static func groups(_ value: Value, _ problems: inout Problems) -> [Select.GroupKey] {
        guard case .sequence(let values) = value.content else { return group(value, &problems).map { [$0] } ?? [] }
        if values.isEmpty { problems.add(value.place, "select.group_by is an empty list; leave it out where all images are one group") }
        return values.compactMap { group($0, &problems) }
    }

    private static func group(_ value: Value, _ problems: inout Problems) -> Select.GroupKey? {
        if case .mapping = value.content { return property(of: value, "select.group_by", groupWords, &problems).map { .property($0) } }
        return word(value, "select.group_by", groupWords, &problems).flatMap(TextField.init(rawValue:)).map { .field($0) }
    }

    private static func order(_ value: Value, _ problems: inout Problems) -> Select.Order? {
        if case .mapping = value.content { return property(of: value, "select.order_by", orderWords, &problems).map { .property($0) } }
        return word(value, "select.order_by", orderWords, &problems).map { $0 == "updated_at" ? .updatedAt : .createdAt }
    }

    private static func property(of value: Value, _ what: String, _ words: [String], _ problems: inout Problems) -> String? {
        guard var mapping = Mapping(value, what, &problems) else { return nil }
        let value = mapping.require("property", &problems)
        mapping.finish(&problems)
        guard let value, let name = value.string("\(what).property", &problems) else { return nil }
        let remedy = "write one of \(words.joined(separator: ", ")), or the name of a property"
        return MatchReader.mayBeProperty(name, at: value.place, remedy: remedy, &problems) ? name : nil
    }

    private static func word(_ value: Value, _ what: String, _ words: [String], _ problems: inout Problems) -> String? {
        if case .scalar(let text, _) = value.content, words.contains(text) { return text }
        var hint = ""
        if case .scalar(let text, _) = value.content, let near = Nearest.word(to: text, among: words) { hint = "; did you mean '\(near)'?" }
        problems.add(
            value.place, "\(what) must be one of \(words.joined(separator: ", ")) or {property: NAME}, not \(value.kind)\(hint)")
        return nil
    }
}
