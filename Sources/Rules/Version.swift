/// A version as distributions write it, compared number by number: `22.04` < `22.10` < `24.04.1`, and `9` = `9.0`.
struct Version: Hashable, Comparable, Sendable {
    /// The parts one after the other, so that bytes are ordered as versions are. A number is the count of its digits above `zero` (leading zeros do not count)
    /// and its digits: it may be longer than any integer. Letters are below `zero` and end with a 0: `1.0rc1` comes before `1.0`, for it is not finished yet.
    /// Zeros at the end are left out.
    private let parts: [UInt8]

    private static let zero: UInt8 = 0x80

    /// Nil where the text does not begin with a number; a `v` before it is passed over. What is neither digit nor letter separates.
    init?(_ text: String) {
        var rest = text.hasPrefix("v") || text.hasPrefix("V") ? text.dropFirst().utf8[...] : text.utf8[...]
        guard let first = rest.first, Self.isDigit(first) else { return nil }
        var parts: [UInt8] = []
        while let byte = rest.first {
            if Self.isDigit(byte) {
                let digits = rest.prefix(while: Self.isDigit)
                parts += Self.number(digits.drop { $0 == UInt8(ascii: "0") })
                rest = rest[digits.endIndex...]
            } else if Self.isLetter(byte) {
                let letters = rest.prefix(while: Self.isLetter)
                parts += letters.map { $0 | 0x20 } + [0]
                rest = rest[letters.endIndex...]
            } else {
                rest = rest.dropFirst()
            }
        }
        while parts.last == Self.zero { parts.removeLast() }
        self.parts = parts
    }

    private static func number(_ digits: Substring.UTF8View) -> [UInt8] {
        let (many, few) = digits.count.quotientAndRemainder(dividingBy: 0x7f)
        return Array(repeating: .max, count: many) + [zero + UInt8(few)] + digits
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
    /// Whether versions of distributions are written with it: what else a bound has was meant to do something.
    static func isWritten(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) || ".+_~-".utf8.contains(byte) }
    private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) >= UInt8(ascii: "a") && (byte | 0x20) <= UInt8(ascii: "z") }

    /// What one has and the other has not counts as 0.
    static func < (left: Version, right: Version) -> Bool {
        for index in 0..<max(left.parts.count, right.parts.count) {
            let (one, other) = (left.part(index), right.part(index))
            if one != other { return one < other }
        }
        return false
    }

    private func part(_ index: Int) -> UInt8 { index < parts.count ? parts[index] : Self.zero }
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
            guard !number.split(separator: ".").contains(where: { ["*", "x", "X"].contains($0) }) else {
                throw PatternError("has a part that stands for any number; write both ends, such as \">=22, <23\"")
            }
            guard let version = Version(String(number)), number.utf8.allSatisfy(Version.isWritten) else {
                throw PatternError("must be comparisons such as \">=22.04\" or \">=22.04, <24\"")
            }
            bounds.append((comparison ?? .equal, version))
        }
        self.written = text
        self.bounds = bounds
    }

    /// What every version of the range is at least, and at most; nil where that is open.
    var least: Version? { ends([.atLeast, .more, .same, .equal]).max() }
    var most: Version? { ends([.atMost, .less, .same, .equal]).min() }

    private func ends(_ comparisons: Set<Comparison>) -> [Version] {
        bounds.filter { comparisons.contains($0.comparison) }.map(\.version)
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
