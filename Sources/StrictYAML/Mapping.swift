/// A mapping that is read key by key. Every key that was asked for is a known key; `finish` reports all others, each with the nearest known one.
public struct Mapping: Sendable {
    public let place: Place
    private let what: String
    private var remaining: [Value.Entry]
    private var known: [String] = []

    /// Nil, with a problem noted, where `value` is not a mapping. `what` names it in messages: "a rule", "ssh".
    public init?(_ value: Value, _ what: String, _ problems: inout Problems) {
        guard case .mapping(let entries) = value.content else {
            problems.add(value.place, "\(what) must be a mapping of keys and values, not \(value.kind)")
            return nil
        }
        self.place = value.place
        self.what = what
        self.remaining = entries
    }

    /// All keys that are left, for mappings whose keys are names that the operator chose.
    public var entries: [Value.Entry] { remaining }

    /// The value of `key`, which counts as read and known from now on. A key without a value (`key:`) counts as absent.
    public mutating func take(_ key: String) -> Value? {
        known.append(key)
        guard let index = remaining.firstIndex(where: { $0.key == key }) else { return nil }
        let value = remaining.remove(at: index).value
        return value.content == .null ? nil : value
    }

    /// Like `take`, with a problem noted where the key is missing.
    public mutating func require(_ key: String, _ problems: inout Problems) -> Value? {
        let value = take(key)
        if value == nil { problems.add(place, "\(what) needs the key '\(key)'") }
        return value
    }

    /// Reports keys without a value, where one that counts as absent would change what is meant: of all keys, or of `some`. `required` ones have their own
    /// message.
    public func refuseKeysWithoutValue(of some: [String]? = nil, required: [String] = [], _ problems: inout Problems) {
        for entry in remaining where entry.value.content == .null && !required.contains(entry.key) && some?.contains(entry.key) ?? true {
            problems.add(entry.keyPlace, "key '\(entry.key.shown)' in \(what) has no value; give one or leave the key out")
        }
    }

    /// Reports every key that nobody asked for.
    public func finish(_ problems: inout Problems) {
        for entry in remaining {
            let hint =
                Nearest.word(to: entry.key, among: known).map { "; did you mean '\($0)'?" }
                ?? "; known are \(known.sorted().joined(separator: ", "))"
            problems.add(entry.keyPlace, "unknown key '\(entry.key.shown)' in \(what)\(hint)")
        }
    }
}

/// Finds the word that was probably meant.
public enum Nearest {
    /// The nearest of `words` within two edits (one for words of up to three letters), or nil. Upper and lower case count as the same.
    public static func word(to wrong: String, among words: [String]) -> String? {
        let most = wrong.count <= 3 ? 1 : 2
        return
            words
            .map { (word: $0, edits: edits(from: Array(wrong.lowercased().prefix(64)), to: Array($0.lowercased().prefix(64)))) }
            .filter { $0.edits <= most }
            .min { ($0.edits, $0.word) < ($1.edits, $1.word) }?
            .word
    }

    /// Levenshtein distance, with a swap of two neighbours counted as one edit.
    private static func edits(from left: [Character], to right: [Character]) -> Int {
        guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
        var rows = [Array(0...right.count)]
        for i in 1...left.count {
            var row = [i]
            for j in 1...right.count {
                var best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1))
                if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] { best = min(best, rows[i - 2][j - 2] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[left.count][right.count]
    }
}
