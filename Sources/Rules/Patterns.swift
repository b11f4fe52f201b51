import ForecacheModel

/// A list of patterns of which one must match. A class for the same reason as `Rule`.
final class Patterns: Sendable {
    let list: [Pattern]
    let captures: Set<Capture>

    init(_ list: [Pattern]) {
        self.list = list
        self.captures = Set(list.flatMap(\.captures))
    }

    /// `glob "golden"`, or `any of …`.
    var said: String {
        let shown = list.prefix(5).map(\.said).joined(separator: ", ")
        return list.count == 1 ? shown : "any of \(shown)\(list.count > 5 ? " and \(list.count - 5) more" : "")"
    }

    /// How sentences go on where the pattern at `index` matches; `isExcluded`: under `not`.
    func verb(_ index: Int, isExcluded: Bool) -> String {
        isExcluded ? " matches excluded \(list[index].quoted)" : " matches \(list[index].said)"
    }

    /// Index of the first pattern that matches.
    func firstMatch(_ subject: Subject) -> Int? {
        for index in list.indices where list[index].matches(subject) { return index }
        return nil
    }
}

/// One pattern for a text.
enum Pattern: Sendable {
    /// Compared as a whole; `isGlob` only says how the operator wrote it.
    case literal(String, isGlob: Bool)
    case glob(Glob)
    case regex(LinearRegex)

    /// A glob, or a literal where the text has no wildcard.
    static func glob(reading text: String) throws(PatternError) -> Pattern {
        let glob = try Glob(text)
        return glob.literal.map { .literal($0, isGlob: true) } ?? .glob(glob)
    }

    var captures: [Capture] {
        switch self {
        case .glob(let glob): glob.captures
        case .literal, .regex: []
        }
    }

    /// What every ASCII text that matches begins or ends with, of ASCII bytes; empty where the pattern leaves both open.
    var edges: [Edge] {
        switch self {
        case .literal(let text, _): text.utf8.allSatisfy { $0 < 0x80 } ? Edge.list(beginning: Array(text.utf8), end: []) : []
        case .glob(let glob): glob.edges
        case .regex(let regex): regex.edges
        }
    }

    /// What every ASCII text that matches has; nothing where that is not known.
    var pairs: BytePairs {
        switch self {
        case .glob(let glob): glob.pairs
        case .literal, .regex: BytePairs([])
        }
    }

    private var source: String {
        switch self {
        case .literal(let text, _): text
        case .glob(let glob): glob.source
        case .regex(let regex): regex.source
        }
    }

    var quoted: String { Quoted.text(source) }

    var said: String { said(quoted) }

    /// Like `said`, and never cut: equal for equal patterns only.
    var written: String { said(Quoted.text(source, most: .max)) }

    private func said(_ quoted: String) -> String {
        switch self {
        case .literal(_, isGlob: false): quoted
        case .literal(_, isGlob: true), .glob: "glob \(quoted)"
        case .regex: "regex \(quoted)"
        }
    }

    /// A subject that is too long for patterns must not come here (`Subject.isTooLong`).
    func matches(_ subject: Subject) -> Bool {
        var steps = 0
        switch self {
        case .literal(let text, _): return text == subject.text
        case .glob(let glob):
            if glob.captures.isEmpty { return glob.matches(subject, steps: &steps) }
            return glob.capture(subject, steps: &steps) != nil
        case .regex(let regex): return regex.isFound(in: subject.text, steps: &steps)
        }
    }

    /// What it captures from a text; nil where the text does not match.
    func capture(_ subject: Subject) -> Binding? {
        var steps = 0
        if case .glob(let glob) = self, !glob.captures.isEmpty { return glob.capture(subject, steps: &steps) }
        return matches(subject) ? Binding() : nil
    }
}

/// What texts that match have at one of their ends.
enum Edge: Hashable, Sendable {
    case beginning(ArraySlice<UInt8>)
    case end(ArraySlice<UInt8>)

    static func list(beginning: [UInt8], end: [UInt8]) -> [Edge] {
        (beginning.isEmpty ? [] : [.beginning(beginning[...])]) + (end.isEmpty ? [] : [.end(end[...])])
    }
}

/// A text of an image, made ready for many comparisons.
struct Subject: Sendable {
    let text: String
    let bytes: [UInt8]
    let pairs: BytePairs
    let isASCII: Bool

    init(_ text: String) {
        self.text = text
        self.bytes = Array(text.utf8)
        self.pairs = BytePairs(bytes)
        self.isASCII = bytes.allSatisfy { $0 < 0x80 } && !bytes.contains(UInt8(ascii: "\r"))
    }

    var isTooLong: Bool { bytes.count > Bounds.subjectBytes }
}

/// Which two bytes stand side by side somewhere, roughly: a text without those of a pattern cannot match it, and nearly all texts are without.
struct BytePairs: Sendable {
    /// A bit for many pairs.
    private var bits: UInt64 = 0

    init(_ bytes: [UInt8]) {
        for (first, second) in zip(bytes, bytes.dropFirst()) { bits |= 1 << ((UInt64(first) &* 31 &+ UInt64(second)) & 63) }
    }

    mutating func formUnion(_ other: BytePairs) { bits |= other.bits }

    func isSubset(of other: BytePairs) -> Bool { bits & ~other.bits == 0 }
}

/// Texts that tenants chose, fit for a terminal and a log line: quoted, cut, and without control or direction characters.
enum Quoted {
    static let mostCharacters = 100

    static func text(_ text: String, most: Int = mostCharacters) -> String {
        if text.utf8.count <= most, text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") }) {
            return "\"\(text)\""
        }
        var shown = ""
        for scalar in text.unicodeScalars.prefix(most) {
            guard scalar.isPrintable else {
                shown += "\\u{\(String(scalar.value, radix: 16))}"
                continue
            }
            if scalar == "\"" { shown += "\\" }
            shown.unicodeScalars.append(scalar)
        }
        return "\"\(shown)\(text.unicodeScalars.count > most ? "…" : "")\""
    }
}
