/// A shell pattern that a whole text must match: `*`, `?`, `[abc]`, `[a-z]`, `[!abc]`, and `{site}` or `{role}`, which capture a name.
/// Case counts. `[*]` is a literal star. Takes at most subject length × longest stretch between stars steps, whatever the text is.
final class Glob: Sendable {
    let source: String
    /// What `{…}` it holds, in order.
    let captures: [Capture]
    /// The text that it stands for where it has no wildcard and no capture.
    let literal: String?
    /// Nil where the pattern is not ASCII. Texts that are ASCII, nearly all, are compared as bytes; others as characters, so that `é` is one `?` and
    /// equal however it is encoded.
    private let onBytes: GlobProgram<UInt8>?
    private let onCharacters: GlobProgram<Character>
    /// What the bytes of every text that matches have.
    let pairs: BytePairs

    /// `isFilledIn`: the pattern captures nothing itself but has captured names put in place, so they may stand anywhere.
    init(_ source: String, isFilledIn: Bool = false) throws(PatternError) {
        let program = try GlobReader(source, isFilledIn: isFilledIn).read()
        self.source = source
        self.captures = program.tokens.compactMap { if case .capture(let capture) = $0 { capture } else { nil } }
        self.literal = program.isLiteral ? source : nil
        self.onBytes = program.onBytes
        self.onCharacters = program
        self.pairs = onBytes.map { $0.stretches.reduce(into: BytePairs([])) { $0.formUnion(BytePairs($1)) } } ?? BytePairs([])
    }

    /// The bytes before the first wildcard or capture, and after the last one.
    var edges: [Edge] { onBytes.map { Edge.list(beginning: $0.beginning, end: $0.end) } ?? [] }

    /// A capture whose name may end or begin at several places of one text.
    var unclearCapture: Capture? { onCharacters.unclearCapture }

    func matches(_ subject: Subject, steps: inout Int) -> Bool {
        if subject.isASCII, let onBytes { return pairs.isSubset(of: subject.pairs) && onBytes.matches(subject.bytes, steps: &steps) }
        return onCharacters.matches(Array(subject.text), steps: &steps)
    }

    /// The captured names, each the shortest possible from left to right; nil where the text does not match.
    func capture(_ subject: Subject, steps: inout Int) -> Binding? {
        guard subject.bytes.count <= Bounds.capturedSubjectBytes else { return nil }
        if subject.isASCII, let onBytes { return onBytes.capture(subject.bytes, steps: &steps) }
        return onCharacters.capture(Array(subject.text), steps: &steps)
    }
}

/// What a glob is compared with one by one.
protocol GlobElement: Comparable, Sendable {
    /// Letters, digits, `.`, `_` and `-`: what names of sites and roles are made of.
    var isNameElement: Bool { get }
    static func text(of elements: ArraySlice<Self>) -> String
}

extension UInt8: GlobElement {
    var isNameElement: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    static func text(of elements: ArraySlice<UInt8>) -> String { String(decoding: elements, as: UTF8.self) }
}

extension Character: GlobElement {
    var isNameElement: Bool { asciiValue?.isNameElement ?? false }

    static func text(of elements: ArraySlice<Character>) -> String { String(elements) }
}

/// A glob's tokens over bytes or characters.
struct GlobProgram<Element: GlobElement>: Sendable {
    enum Token: Sendable {
        case literal(Element)
        case one
        case many
        /// Index into `sets`.
        case set(Int)
        case capture(Capture)

        var isLiteral: Bool { if case .literal = self { true } else { false } }
    }

    struct ElementSet: Sendable {
        var ranges: [ClosedRange<Element>]
        var isNegated: Bool

        func contains(_ element: Element) -> Bool { ranges.contains { $0.contains(element) } != isNegated }
    }

    var tokens: [Token] = []
    var sets: [ElementSet] = []

    var beginning: [Element] {
        tokens.prefix { $0.isLiteral }.compactMap { if case .literal(let element) = $0 { element } else { nil } }
    }

    /// All that stands between wildcards and captures.
    var stretches: [[Element]] {
        tokens.split { !$0.isLiteral }.map { $0.compactMap { if case .literal(let element) = $0 { element } else { nil } } }
    }

    var end: [Element] {
        tokens.reversed().prefix { $0.isLiteral }.reversed().compactMap { if case .literal(let element) = $0 { element } else { nil } }
    }

    /// A capture that only characters which names may hold part from a star or from another capture.
    var unclearCapture: Capture? {
        var before: (token: Token, isParted: Bool)?
        for token in tokens {
            switch (token, before?.token) {
            case (.literal(let element), _): if !element.isNameElement { before?.isParted = true }
            case (.one, _), (.set, _): break
            case (.capture(let capture), _?), (.many, .capture(let capture)?):
                if before?.isParted == false { return capture }
                before = (token, false)
            case (.capture, nil), (.many, _): before = (token, false)
            }
        }
        return nil
    }

    /// Goes back to the last star only: what an earlier star took can never help a later one.
    func matches(_ subject: [Element], steps: inout Int) -> Bool {
        // Most texts that begin right end wrong, and the end is what a star would look for longest.
        if let last = tokens.last, last.isLiteral, let end = subject.last, !accepts(last, end) { return false }
        var token = 0
        var position = 0
        var star: (token: Int, position: Int)?
        while position < subject.count {
            steps += 1
            if token < tokens.count {
                if case .many = tokens[token] {
                    token += 1
                    if token == tokens.count { return true }
                    star = (token, position)
                    continue
                }
                if accepts(tokens[token], subject[position]) {
                    token += 1
                    position += 1
                    continue
                }
            }
            guard let last = star else { return false }
            var next = last.position + 1
            if case .literal(let wanted) = tokens[last.token] {
                while next < subject.count, subject[next] != wanted {
                    next += 1
                    steps += 1
                }
            }
            star = (last.token, next)
            (token, position) = (last.token, next)
        }
        while token < tokens.count, case .many = tokens[token] { token += 1 }
        return token == tokens.count
    }

    func capture(_ subject: [Element], steps: inout Int) -> Binding? {
        // Nearly all texts differ from the pattern before its first capture.
        for (index, token) in tokens.enumerated() {
            guard case .literal(let wanted) = token else { break }
            guard index < subject.count, subject[index] == wanted else { return nil }
        }
        var search = CaptureSearch(program: self, subject: subject)
        defer { steps += search.steps }
        return search.matches(token: 0, position: 0) ? search.binding : nil
    }

    fileprivate func accepts(_ token: Token, _ element: Element) -> Bool {
        switch token {
        case .literal(let wanted): wanted == element
        case .one: true
        case .set(let index): sets[index].contains(element)
        case .many, .capture: false
        }
    }
}

/// Finds the leftmost shortest captures, remembering dead ends so that none is walked into twice.
private struct CaptureSearch<Element: GlobElement> {
    let program: GlobProgram<Element>
    let subject: [Element]
    var binding = Binding()
    var steps = 0
    /// By token: a star or capture that found no end from here finds none further on either, as long as the same stretch goes on.
    private var deadFrom: [Int: Range<Int>] = [:]

    init(program: GlobProgram<Element>, subject: [Element]) {
        self.program = program
        self.subject = subject
    }

    /// Recurses once a star or capture, of which a pattern has at most 500.
    mutating func matches(token start: Int, position from: Int) -> Bool {
        var token = start
        var position = from
        while token < program.tokens.count {
            steps += 1
            switch program.tokens[token] {
            case .literal, .one, .set:
                guard position < subject.count, program.accepts(program.tokens[token], subject[position]) else { return false }
                token += 1
                position += 1
            case .many:
                return firstEnd(token, from: position, atLeast: 0) { _ in true } != nil
            case .capture(let capture):
                guard let end = firstEnd(token, from: position, atLeast: 1, while: \.isNameElement) else { return false }
                binding[capture] = Element.text(of: subject[position..<end])
                return true
            }
        }
        return position == subject.count
    }

    /// The nearest end of a star or capture from which the rest of the pattern matches.
    private mutating func firstEnd(_ token: Int, from start: Int, atLeast least: Int, while allowed: (Element) -> Bool) -> Int? {
        if let dead = deadFrom[token], dead.contains(start) { return nil }
        var end = start
        while true {
            if end - start >= least, matches(token: token + 1, position: end) { return end }
            guard end < subject.count, allowed(subject[end]) else { break }
            steps += 1
            end += 1
        }
        deadFrom[token] = start..<(end + 1)
        return nil
    }
}
