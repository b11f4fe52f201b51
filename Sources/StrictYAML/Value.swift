import Yams

/// One YAML value with its place. JSON is read by the same door, being YAML.
public struct Value: Hashable, Sendable {
    public enum Content: Hashable, Sendable {
        case null
        /// `isPlain` is false for quoted text, which is then never a number, a boolean or null.
        case scalar(String, isPlain: Bool)
        case sequence([Value])
        case mapping([Entry])
    }

    public struct Entry: Hashable, Sendable {
        public var key: String
        public var keyPlace: Place
        public var value: Value

        public init(key: String, keyPlace: Place, value: Value) {
            self.key = key
            self.keyPlace = keyPlace
            self.value = value
        }
    }

    public var place: Place
    public var content: Content

    public init(_ content: Content, at place: Place) {
        self.content = content
        self.place = place
    }

    /// Largest file that is read, in bytes: the inventory of 10,000 nodes has about 20 MiB.
    public static let largestFileBytes = 64 << 20
    /// Bounds what anchors and aliases can blow up to.
    static let mostValues = 1_000_000
    static let deepestNesting = 64

    /// Reads one YAML document. Nil, with the problem noted, where the text is not YAML; an empty text is `.null`.
    public static func parse(_ text: String, file: String, problems: inout Problems) -> Value? {
        let start = Place(file: file)
        guard text.utf8.count <= largestFileBytes else {
            problems.add(start, "file is larger than \(largestFileBytes) bytes")
            return nil
        }
        if let place = placeOfTooDeepNesting(text, file: file) {
            problems.add(place, "nested deeper than \(deepestNesting) levels")
            return nil
        }
        do {
            var documents = try Yams.compose_all(yaml: text)
            let root = documents.next()
            let second = root == nil ? nil : documents.next()
            if let error = documents.error { throw error }
            guard second == nil else {
                problems.add(start, "more than one YAML document; put each in a file of its own")
                return nil
            }
            guard let root else { return Value(.null, at: start) }
            var reader = NodeReader(file: file)
            return try reader.value(of: root, depth: 0)
        } catch let problem as Problem {
            problems.add(problem.place, problem.message)
        } catch let error as YamlError {
            let problem = error.problem(in: file)
            problems.add(problem.place, problem.message)
        } catch {
            problems.add(start, "not readable as YAML")
        }
        return nil
    }

    /// The parser below recurses once a level, so flow brackets (which need no indentation) are counted before it runs. Brackets inside quotes count
    /// too: no real file comes near the bound.
    private static func placeOfTooDeepNesting(_ text: String, file: String) -> Place? {
        var depth = 0
        var line = 1
        var column = 0
        for byte in text.utf8 {
            column += 1
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                if depth > 1000 { return Place(file: file, line: line, column: column) }
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(0, depth - 1)
            case UInt8(ascii: "\n"): (line, column) = (line + 1, 0)
            default: break
            }
        }
        return nil
    }
}

/// Turns the parser's nodes into values, counting them so that aliases cannot multiply without end.
private struct NodeReader {
    let file: String
    var count = 0

    mutating func value(of node: Node, depth: Int) throws -> Value {
        let place = Place(file: file, mark: node.mark)
        count += 1
        guard count <= Value.mostValues else { throw Problem(place, "more than \(Value.mostValues) values, aliases included") }
        guard depth <= Value.deepestNesting else { throw Problem(place, "nested deeper than \(Value.deepestNesting) levels") }
        switch node {
        case .scalar(let scalar):
            let isPlain = scalar.style == .plain || scalar.style == .any
            if isPlain, ["", "~", "null", "Null", "NULL"].contains(scalar.string) { return Value(.null, at: place) }
            return Value(.scalar(scalar.string, isPlain: isPlain), at: place)
        case .sequence(let sequence):
            return Value(.sequence(try sequence.map { try value(of: $0, depth: depth + 1) }), at: place)
        case .mapping(let mapping):
            let entries = try mapping.map { pair in
                guard case .scalar(let key) = pair.key else {
                    throw Problem(Place(file: file, mark: pair.key.mark), "a key must be plain text")
                }
                return Value.Entry(
                    key: key.string, keyPlace: Place(file: file, mark: pair.key.mark), value: try value(of: pair.value, depth: depth + 1))
            }
            return Value(.mapping(entries), at: place)
        case .alias:
            throw Problem(place, "alias to an anchor that is not defined above")
        }
    }
}

extension Place {
    fileprivate init(file: String, mark: Mark?) { self.init(file: file, line: mark?.line ?? 1, column: mark?.column ?? 1) }

    /// Of the first character with that number. The parser's own offset counts graphemes, and is missing inside of one.
    fileprivate init(file: String, of number: Int32, in text: String) {
        let before = text.unicodeScalars.prefix { $0.value != UInt32(bitPattern: number) }
        self.init(file: file, line: before.count { $0 == "\n" } + 1, column: before.reversed().prefix { $0 != "\n" }.count + 1)
    }
}

extension YamlError {
    /// Place and cause in our own words: the parser's descriptions quote the line, which may hold a password.
    fileprivate func problem(in file: String) -> Problem {
        switch self {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            Problem(Place(file: file, mark: mark), [context?.description, problem].compactMap { $0 }.joined(separator: " ").onOneLine)
        case .reader(let problem, _, let number, let text):
            Problem(Place(file: file, of: number, in: text), "\(problem.onOneLine); take the character out")
        case .duplicatedKeysInMapping(let keys, let context):
            Problem(Place(file: file, mark: context.mark), "key given twice: \(keys.map { "'\($0.shown)'" }.joined(separator: ", "))")
        case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded: Problem(Place(file: file), "not readable as YAML")
        }
    }
}

extension String {
    /// One line: the parser's explanations come with line breaks.
    fileprivate var onOneLine: String { split(whereSeparator: \.isWhitespace).joined(separator: " ") }

    /// For messages: of a URL with a login its scheme alone, for the login may have a password; cut, and without what moves a terminal's cursor.
    var shown: String {
        let scheme = firstRange(of: "://").flatMap { self[$0.upperBound...].contains("@") ? self[..<$0.upperBound] : nil }
        return String(
            String.UnicodeScalarView(
                (scheme.map { "\($0)…" } ?? self).unicodeScalars.prefix(60).map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator: "\u{FFFD}"
                    default: scalar
                    }
                }))
    }
}
