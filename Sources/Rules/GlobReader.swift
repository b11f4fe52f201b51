import StrictYAML

/// Reads the text of a glob.
struct GlobReader {
    private let source: [Character]
    private let isFilledIn: Bool
    private var position = 0
    private var program = GlobProgram<Character>()
    private var seen: Set<Capture> = []

    init(_ source: String, isFilledIn: Bool) {
        self.source = Array(source.prefix(Bounds.patternCharacters + 1))
        self.isFilledIn = isFilledIn
    }

    consuming func read() throws(PatternError) -> GlobProgram<Character> {
        guard !source.isEmpty else { throw PatternError("is empty") }
        guard source.count <= Bounds.patternCharacters else { throw PatternError("is longer than \(Bounds.patternCharacters) characters") }
        try PatternError.refuseControls(in: String(source))
        while position < source.count {
            switch source[position] {
            case "*": addStar()
            case "?": program.tokens.append(.one)
            case "[": try readSet()
            case "{": try readBrace()
            case "\\": throw PatternError("has a '\\', which escapes nothing; write [*] for a literal '*' and [\\] for a literal '\\'")
            default: program.tokens.append(.literal(source[position]))
            }
            position += 1
        }
        if !isFilledIn { try checkCapturesEnd() }
        return program
    }

    private mutating func addStar() {
        if case .many = program.tokens.last { return }
        program.tokens.append(.many)
    }

    /// `[abc]`, `[a-z]`, `[!abc]` or `[^abc]`; `]` counts as itself in the first place.
    private mutating func readSet() throws(PatternError) {
        var next = position + 1
        var isNegated = false
        if next < source.count, source[next] == "!" || source[next] == "^" {
            isNegated = true
            next += 1
        }
        guard next < source.count, let close = source[(next + 1)...].firstIndex(of: "]") else {
            throw PatternError("has a '[' without its ']'; write [[] for a literal '['")
        }
        let inside = source[next..<close]
        if zip(inside, inside.dropFirst()).contains(where: { $0 == "[" && $1 == ":" }) { throw PatternError.namedClass }
        guard inside.count == 1 || !inside.contains("\\") else {
            throw PatternError("has a '\\' among others in […], which escapes nothing; write [\\] for a literal '\\'")
        }
        var ranges: [ClosedRange<Character>] = []
        while next < close {
            let low = source[next]
            if next + 2 < close, source[next + 1] == "-" {
                guard low <= source[next + 2] else { throw PatternError("has the range '\(low)-\(source[next + 2])', which is backwards") }
                ranges.append(low...source[next + 2])
                next += 3
            } else {
                ranges.append(low...low)
                next += 1
            }
        }
        program.tokens.append(.set(program.sets.count))
        program.sets.append(.init(ranges: ranges, isNegated: isNegated))
        position = close
    }

    /// `{site}` and `{role}` capture; other words in braces are refused, because they are misspelt captures, and so are the alternatives of shells and the
    /// braces of templates; any other brace is itself.
    private mutating func readBrace() throws(PatternError) {
        let rest = source[(position + 1)...]
        if rest.first == "{" { throw PatternError("has '{{'; write {site} or {role}, and [{] for a literal '{'") }
        let end = rest.firstIndex(of: "}")
        if let end, rest[..<end].contains(",") {
            throw PatternError("has '{\(String(rest[..<end]))}', but there are no alternatives in braces; write a list of globs")
        }
        guard let close = end, close > position + 1,
            rest[..<close].allSatisfy({ $0.isLowercase && $0.isASCII || $0 == "_" })
        else {
            program.tokens.append(.literal("{"))
            return
        }
        let word = String(rest[..<close])
        guard let capture = Capture(rawValue: word) else {
            let hint = Nearest.word(to: word, among: Capture.allCases.map(\.rawValue)).map { "; did you mean '{\($0)}'?" } ?? ""
            throw PatternError("has '{\(word)}', but only {site} and {role} are known\(hint)")
        }
        guard seen.insert(capture).inserted || isFilledIn else { throw PatternError("has '{\(word)}' twice") }
        program.tokens.append(.capture(capture))
        position = close
    }

    /// A capture beside `*`, `?`, a set or another capture would end anywhere.
    private func checkCapturesEnd() throws(PatternError) {
        for (index, token) in program.tokens.enumerated() {
            guard case .capture(let capture) = token else { continue }
            for neighbour in [index - 1, index + 1] where program.tokens.indices.contains(neighbour) {
                guard case .literal = program.tokens[neighbour] else {
                    throw PatternError(
                        "has '\(capture.token)' beside a wildcard, so nobody can tell where the name ends; put a fixed text between them")
                }
            }
        }
    }
}

extension GlobProgram<Character> {
    var isLiteral: Bool { tokens.allSatisfy { if case .literal = $0 { true } else { false } } }

    /// The same program over bytes; nil where it is not ASCII throughout.
    var onBytes: GlobProgram<UInt8>? {
        var bytes = GlobProgram<UInt8>()
        for token in tokens {
            switch token {
            case .literal(let character):
                guard character != "\r\n", let byte = character.asciiValue else { return nil }
                bytes.tokens.append(.literal(byte))
            case .one: bytes.tokens.append(.one)
            case .many: bytes.tokens.append(.many)
            case .set(let index): bytes.tokens.append(.set(index))
            case .capture(let capture): bytes.tokens.append(.capture(capture))
            }
        }
        for set in sets {
            var ranges: [ClosedRange<UInt8>] = []
            for range in set.ranges {
                guard range.lowerBound != "\r\n", range.upperBound != "\r\n", let low = range.lowerBound.asciiValue,
                    let high = range.upperBound.asciiValue, low <= high
                else { return nil }
                ranges.append(low...high)
            }
            bytes.sets.append(.init(ranges: ranges, isNegated: set.isNegated))
        }
        return bytes
    }
}
