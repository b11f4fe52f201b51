/// A pattern as a tree.
indirect enum RegexNode: Hashable, Sendable {
    case scalar(LinearRegex.ScalarSet)
    case start
    case end
    case wordBoundary
    case sequence([RegexNode])
    case choice([RegexNode])
    /// `most` nil: without end.
    case repeated(RegexNode, least: Int, most: Int?)
}

/// Reads the text of a regular expression: literals, `.`, `^`, `$`, `\b`, `\d`, `\w`, `\s` and their opposites, `[…]`, groups, `|`, `*`, `+`, `?`, `{n,m}`,
/// and `(?i)` in front.
struct RegexReader {
    static let deepestGroups = 50
    static let mostRepeats = 500

    private(set) var ignoresCase = false
    private let source: [Unicode.Scalar]
    private var position = 0
    private var depth = 0

    init(_ source: String) { self.source = Array(source.unicodeScalars.prefix(Bounds.patternCharacters + 1)) }

    mutating func read() throws(PatternError) -> RegexNode {
        guard !source.isEmpty else { throw PatternError("is empty") }
        guard source.count <= Bounds.patternCharacters else { throw PatternError("is longer than \(Bounds.patternCharacters) characters") }
        try PatternError.refuseControls(in: String(String.UnicodeScalarView(source)))
        if source.starts(with: "(?i)".unicodeScalars) {
            ignoresCase = true
            position = 4
        }
        let node = try readChoice()
        guard position == source.count else { throw PatternError("has a ')' without its '('") }
        return node
    }

    private mutating func readChoice() throws(PatternError) -> RegexNode {
        var branches = [try readSequence()]
        while skip("|") { branches.append(try readSequence()) }
        return branches.count == 1 ? branches[0] : .choice(branches)
    }

    private mutating func readSequence() throws(PatternError) -> RegexNode {
        var nodes: [RegexNode] = []
        while let scalar = peek, scalar != "|", scalar != ")" { nodes.append(try readRepeated()) }
        return .sequence(nodes)
    }

    private mutating func readRepeated() throws(PatternError) -> RegexNode {
        let first = peek
        var node = try readAtom()
        var isRepeated = false
        while let (least, most) = try readCount() {
            guard !isRepeated, !["^", "$"].contains(first) else {
                throw PatternError("repeats a repeat or an end of the text; use a group")
            }
            // The lazy form finds the same texts.
            _ = skip("?")
            node = .repeated(node, least: least, most: most)
            isRepeated = true
        }
        return node
    }

    private mutating func readCount() throws(PatternError) -> (least: Int, most: Int?)? {
        if skip("*") { return (0, nil) }
        if skip("+") { return (1, nil) }
        if skip("?") { return (0, 1) }
        guard peek == "{", let close = source[position...].firstIndex(of: "}") else { return nil }
        let inside = String(String.UnicodeScalarView(source[(position + 1)..<close]))
        let parts = inside.split(separator: ",", omittingEmptySubsequences: false)
        guard let least = Int(parts[0]), least >= 0, parts.count <= 2 else {
            throw PatternError("has the repeat '{\(inside)}', which is not {n}, {n,} or {n,m}")
        }
        var most: Int? = least
        if parts.count == 2 {
            most = Int(parts[1])
            guard parts[1].isEmpty || most != nil else {
                throw PatternError("has the repeat '{\(inside)}', which is not {n}, {n,} or {n,m}")
            }
        }
        guard least <= Self.mostRepeats, most.map({ $0 >= least && $0 <= Self.mostRepeats }) ?? true else {
            throw PatternError("has the repeat '{\(inside)}', which is backwards or over \(Self.mostRepeats)")
        }
        position = close + 1
        return (least, most)
    }

    private mutating func readAtom() throws(PatternError) -> RegexNode {
        guard let scalar = peek else { throw PatternError("ends too early") }
        position += 1
        switch scalar {
        case ".": return .scalar(LinearRegex.notNewline)
        case "^": return .start
        case "$": return .end
        case "(": return try readGroup()
        case "[": return .scalar(try readSet())
        case "\\": return try readEscape()
        case "*", "+", "?": throw PatternError("has a '\(scalar)' with nothing to repeat before it")
        default: return .scalar(.init(ranges: [scalar.value...scalar.value]))
        }
    }

    private mutating func readGroup() throws(PatternError) -> RegexNode {
        if skip("?"), !skip(":") {
            throw PatternError("has a '(?…' group; only (?:…) and a leading (?i) are known, for patterns run in linear time")
        }
        depth += 1
        guard depth <= Self.deepestGroups else { throw PatternError("has groups nested deeper than \(Self.deepestGroups)") }
        let node = try readChoice()
        depth -= 1
        guard skip(")") else { throw PatternError("has a '(' without its ')'") }
        return node
    }

    private mutating func readEscape() throws(PatternError) -> RegexNode {
        if skip("b") { return .wordBoundary }
        return .scalar(try readEscapedSet())
    }

    private mutating func readEscapedSet() throws(PatternError) -> LinearRegex.ScalarSet {
        guard let scalar = peek else { throw PatternError("ends with a '\\'") }
        position += 1
        switch scalar {
        case "d": return LinearRegex.digit
        case "w": return LinearRegex.word
        case "s": return LinearRegex.space
        case "D": return .init(ranges: LinearRegex.digit.ranges, isNegated: true)
        case "W": return .init(ranges: LinearRegex.word.ranges, isNegated: true)
        case "S": return .init(ranges: LinearRegex.space.ranges, isNegated: true)
        case "t": return .init(ranges: [9...9])
        case "n": return .init(ranges: [10...10])
        case "r": return .init(ranges: [13...13])
        default:
            guard !scalar.isASCII || !LinearRegex.word.contains(scalar.value) else {
                throw PatternError("has the unknown escape '\\\(scalar)'")
            }
            return .init(ranges: [scalar.value...scalar.value])
        }
    }

    /// The inside of `[…]`; `]` counts as itself in the first place.
    private mutating func readSet() throws(PatternError) -> LinearRegex.ScalarSet {
        var set = LinearRegex.ScalarSet(ranges: [], isNegated: skip("^"))
        var isFirst = true
        while let scalar = peek, scalar != "]" || isFirst {
            isFirst = false
            if scalar == "[", position + 1 < source.count, source[position + 1] == ":" { throw PatternError.namedClass }
            guard let low = try readSetMember(into: &set) else { continue }
            guard peek == "-", position + 1 < source.count, source[position + 1] != "]" else {
                set.ranges.append(low...low)
                continue
            }
            position += 1
            guard let high = try readSetMember(into: &set), low <= high else { throw PatternError("has a range in […] that is backwards") }
            set.ranges.append(low...high)
        }
        guard skip("]") else { throw PatternError("has a '[' without its ']'") }
        return set
    }

    /// One scalar; nil where it was a class such as `\d`, which is added to the set at once.
    private mutating func readSetMember(into set: inout LinearRegex.ScalarSet) throws(PatternError) -> UInt32? {
        guard let scalar = peek else { throw PatternError("has a '[' without its ']'") }
        position += 1
        guard scalar == "\\" else { return scalar.value }
        let escaped = try readEscapedSet()
        guard !escaped.isNegated else { throw PatternError("has a negated class inside […]") }
        if escaped.ranges.count == 1, let range = escaped.ranges.first, range.count == 1 { return range.lowerBound }
        set.ranges += escaped.ranges
        return nil
    }

    private var peek: Unicode.Scalar? { position < source.count ? source[position] : nil }

    private mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == scalar else { return false }
        position += 1
        return true
    }
}
