/// A version as distributions write it, compared number by number: `22.04` < `22.10` < `24.04.1`, and `9` = `9.0`.
struct Version: Comparable, Sendable {
    /// Part by part: a run of digits (without leading zeros, as text: they may be longer than any integer) or a run of letters.
    private let parts: [Part]

    private enum Part: Comparable {
        /// `1.0rc1` comes before `1.0`: letters mark what is not finished yet.
        case letters(String)
        case number(String)

        static func < (left: Part, right: Part) -> Bool {
            switch (left, right) {
            case (.letters(let left), .letters(let right)): left < right
            case (.letters, .number): true
            case (.number, .letters): false
            case (.number(let left), .number(let right)): (left.utf8.count, left) < (right.utf8.count, right)
            }
        }

        static let zero = Part.number("")
    }

    /// Nil where the text does not begin with a number; a `v` before it is passed over. What is neither digit nor letter separates.
    init?(_ text: String) {
        var parts: [Part] = []
        let trimmed = text.hasPrefix("v") || text.hasPrefix("V") ? text.dropFirst() : text[...]
        var rest = trimmed.utf8[...]
        guard let first = rest.first, Self.isDigit(first) else { return nil }
        while let byte = rest.first {
            let isNumber = Self.isDigit(byte)
            guard isNumber || Self.isLetter(byte) else {
                rest = rest.dropFirst()
                continue
            }
            let run = rest.prefix { isNumber ? Self.isDigit($0) : Self.isLetter($0) }
            let text = String(decoding: isNumber ? run.drop { $0 == UInt8(ascii: "0") } : run, as: UTF8.self)
            parts.append(isNumber ? .number(text) : .letters(text.lowercased()))
            rest = rest[run.endIndex...]
        }
        self.parts = parts
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
    private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) >= UInt8(ascii: "a") && (byte | 0x20) <= UInt8(ascii: "z") }

    /// What one has and the other has not counts as 0.
    static func < (left: Version, right: Version) -> Bool {
        for index in 0..<max(left.parts.count, right.parts.count) {
            let (one, other) = (left.part(index), right.part(index))
            if one != other { return one < other }
        }
        return false
    }

    static func == (left: Version, right: Version) -> Bool { !(left < right) && !(right < left) }

    private func part(_ index: Int) -> Part { index < parts.count ? parts[index] : .zero }
}

/// `>=22.04, <24`: comparisons that must all hold.
struct VersionRange: Sendable {
    let written: String
    private let bounds: [(comparison: Comparison, version: Version)]

    private enum Comparison: String, CaseIterable {
        // Longer ones first: they are tried in this order.
        case atLeast = ">="
        case atMost = "<="
        case not = "!="
        case same = "=="
        case more = ">"
        case less = "<"
        case equal = "="
    }

    init(_ text: String) throws(PatternError) {
        guard text.count <= Bounds.patternCharacters else {
            throw PatternError("is longer than \(Bounds.patternCharacters) characters")
        }
        var bounds: [(Comparison, Version)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let trimmed = part.drop { $0 == " " }
            let comparison = Comparison.allCases.first { trimmed.hasPrefix($0.rawValue) }
            var number = trimmed.dropFirst(comparison?.rawValue.count ?? 0).drop { $0 == " " }
            while number.last == " " { number.removeLast() }
            guard let version = Version(String(number)), !number.contains(" ") else {
                throw PatternError("must be comparisons such as \">=22.04\" or \">=22.04, <24\"")
            }
            bounds.append((comparison ?? .equal, version))
        }
        self.written = text
        self.bounds = bounds
    }

    func contains(_ version: Version) -> Bool {
        bounds.allSatisfy { bound in
            switch bound.comparison {
            case .atLeast: version >= bound.version
            case .atMost: version <= bound.version
            case .more: version > bound.version
            case .less: version < bound.version
            case .same, .equal: version == bound.version
            case .not: version != bound.version
            }
        }
    }
}
