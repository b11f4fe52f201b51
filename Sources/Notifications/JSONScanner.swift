/// Walks JSON bytes once, front to back, checks all of them and turns into values only what it is asked for.
///
/// Foundation's decoders build every value of a message; a notification has some forty, of which five count. Grammar: RFC 8259, and Python's `NaN` and
/// `Infinity`, because `json.dumps` writes them. The bytes must be UTF-8 (checked by the caller).
struct JSONScanner {
    struct Malformed: Error, CustomStringConvertible {
        var problem: String
        var offset: Int
        var description: String { "\(problem) at byte \(offset)" }
    }

    /// A string as it stands between its quotes.
    struct RawString {
        var range: Range<Int>
        var hasEscapes: Bool
    }

    private let bytes: [UInt8]
    private let maxDepth: Int
    private var position = 0
    private var depth = 0

    init(_ bytes: [UInt8], maxDepth: Int) {
        self.bytes = bytes
        self.maxDepth = maxDepth
    }

    /// The whole text: one object and nothing after it. `field` must consume each value.
    mutating func root(_ field: (inout JSONScanner, RawString) throws(Malformed) -> Void) throws(Malformed) {
        skipBlanks()
        guard next == UInt8(ascii: "{") else { throw malformed("not a JSON object") }
        try object(field)
        guard position == bytes.count else { throw malformed("something after the JSON object") }
    }

    /// The byte that the next value begins with; nil at the end.
    var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func object(_ field: (inout JSONScanner, RawString) throws(Malformed) -> Void) throws(Malformed) {
        try enter()
        if try !closes(with: UInt8(ascii: "}")) {
            repeat {
                let key = try rawString()
                skipBlanks()
                try expect(UInt8(ascii: ":"))
                skipBlanks()
                try field(&self, key)
            } while try hasAnother(before: UInt8(ascii: "}"))
        }
        leave()
    }

    mutating func skipValue() throws(Malformed) {
        switch next {
        case UInt8(ascii: "\""): _ = try rawString()
        case UInt8(ascii: "{"): try object { (scanner, _) throws(Malformed) in try scanner.skipValue() }
        case UInt8(ascii: "["):
            try enter()
            if try !closes(with: UInt8(ascii: "]")) {
                repeat { try skipValue() } while try hasAnother(before: UInt8(ascii: "]"))
            }
            leave()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        case UInt8(ascii: "N"): try literal("NaN")
        case UInt8(ascii: "I"): try literal("Infinity")
        default: try number()
        }
        skipBlanks()
    }

    /// The next value where it is a string; else it is skipped and nil comes back. Halves of surrogate pairs become U+FFFD.
    mutating func stringOrSkip() throws(Malformed) -> String? {
        guard let raw = try rawStringOrSkip() else { return nil }
        return raw.hasEscapes ? String(decoding: unescaped(raw), as: UTF8.self) : String(decoding: bytes[raw.range], as: UTF8.self)
    }

    /// Likewise as UTF-8 bytes.
    mutating func unescapedOrSkip() throws(Malformed) -> [UInt8]? {
        guard let raw = try rawStringOrSkip() else { return nil }
        return raw.hasEscapes ? unescaped(raw) : Array(bytes[raw.range])
    }

    /// The strings of the next value where it is an array; what else it holds is skipped. Nil for any other value.
    mutating func stringsOrSkip() throws(Malformed) -> [String]? {
        guard next == UInt8(ascii: "[") else {
            try skipValue()
            return nil
        }
        var strings: [String] = []
        try enter()
        if try !closes(with: UInt8(ascii: "]")) {
            repeat { if let string = try stringOrSkip() { strings.append(string) } } while try hasAnother(before: UInt8(ascii: "]"))
        }
        leave()
        return strings
    }

    func matches(_ raw: RawString, _ text: String) -> Bool {
        guard !raw.hasEscapes else { return unescaped(raw).elementsEqual(text.utf8) }
        // The length tells almost all keys apart.
        return raw.range.count == text.utf8.count && bytes[raw.range].elementsEqual(text.utf8)
    }

    // MARK: - Strings

    private mutating func rawStringOrSkip() throws(Malformed) -> RawString? {
        guard next == UInt8(ascii: "\"") else {
            try skipValue()
            return nil
        }
        let raw = try rawString()
        skipBlanks()
        return raw
    }

    private mutating func rawString() throws(Malformed) -> RawString {
        try expect(UInt8(ascii: "\""))
        let start = position
        var hasEscapes = false
        while true {
            position = endOfPlainRun(from: position)
            guard let byte = next else { break }
            if byte == UInt8(ascii: "\"") {
                position += 1
                return RawString(range: start..<position - 1, hasEscapes: hasEscapes)
            }
            guard byte == UInt8(ascii: "\\") else { throw malformed("a control character in a string") }
            position += 1
            hasEscapes = true
            try escape()
        }
        throw malformed("a string that does not end")
    }

    /// The first byte from there on that means something in a string: a quote, a backslash or a control character; or the end. Nine tenths of the work.
    private func endOfPlainRun(from start: Int) -> Int {
        bytes.withUnsafeBufferPointer { bytes in
            var at = start
            while at < bytes.count, bytes[at] >= 0x20, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\") { at += 1 }
            return at
        }
    }

    /// Checks what follows a backslash.
    private mutating func escape() throws(Malformed) {
        switch next {
        case UInt8(ascii: "u"):
            for offset in 1...4 {
                guard position + offset < bytes.count, Self.digit(bytes[position + offset]) != nil else {
                    throw malformed("a broken \\u escape")
                }
            }
            position += 5
        case .some(let byte) where Self.plainEscape(byte) != nil: position += 1
        default: throw malformed("an unknown escape")
        }
    }

    /// The string's bytes with its escapes resolved. The string has been checked: its escapes are whole.
    private func unescaped(_ raw: RawString) -> [UInt8] {
        // No escape is shorter than what it stands for.
        [UInt8](unsafeUninitializedCapacity: raw.range.count) { result, count in
            var at = raw.range.lowerBound
            while at < raw.range.upperBound {
                let byte = bytes[at]
                at += 1
                guard byte == UInt8(ascii: "\\") else {
                    result[count] = byte
                    count += 1
                    continue
                }
                if let plain = Self.plainEscape(bytes[at]) {
                    result[count] = plain
                    count += 1
                    at += 1
                } else {
                    for byte in String(scalar(at: &at, before: raw.range.upperBound)).utf8 {
                        result[count] = byte
                        count += 1
                    }
                }
            }
        }
    }

    /// The scalar of one `\u` escape, or of two that are a surrogate pair; `at` stands on the `u` and ends behind the escape.
    private func scalar(at: inout Int, before end: Int) -> Unicode.Scalar {
        let first = unit(at + 1)
        at += 5
        guard (0xD800..<0xDC00).contains(first) else { return Unicode.Scalar(first) ?? "\u{FFFD}" }
        guard at + 6 <= end, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else { return "\u{FFFD}" }
        let second = unit(at + 2)
        guard (0xDC00..<0xE000).contains(second) else { return "\u{FFFD}" }
        at += 6
        return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? "\u{FFFD}"
    }

    private func unit(_ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 4 | UInt32(Self.digit($1) ?? 0) } }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func plainEscape(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): byte
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "t"): 0x09
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        default: nil
        }
    }

    // MARK: - Everything else

    private mutating func number() throws(Malformed) {
        if next == UInt8(ascii: "-") {
            position += 1
            if next == UInt8(ascii: "I") { return try literal("Infinity") }
        }
        if next == UInt8(ascii: "0") { position += 1 } else { try digits() }
        if next == UInt8(ascii: ".") {
            position += 1
            try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
    }

    private mutating func digits() throws(Malformed) {
        let start = position
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        guard position > start else { throw malformed("no JSON value") }
    }

    private mutating func literal(_ text: String) throws(Malformed) {
        guard bytes[position...].starts(with: text.utf8) else { throw malformed("no JSON value") }
        position += text.utf8.count
    }

    /// Behind an opening bracket; `depth` counts those that are open.
    private mutating func enter() throws(Malformed) {
        guard depth < maxDepth else { throw malformed("more than \(maxDepth) levels") }
        depth += 1
        position += 1
        skipBlanks()
    }

    private mutating func leave() {
        depth -= 1
        skipBlanks()
    }

    private mutating func closes(with bracket: UInt8) throws(Malformed) -> Bool {
        guard next == bracket else { return false }
        position += 1
        return true
    }

    /// Behind a value: true where a comma follows, false where the bracket does.
    private mutating func hasAnother(before bracket: UInt8) throws(Malformed) -> Bool {
        if try closes(with: bracket) { return false }
        try expect(UInt8(ascii: ","))
        skipBlanks()
        return true
    }

    private mutating func expect(_ byte: UInt8) throws(Malformed) {
        guard next == byte else { throw malformed("\"\(Character(Unicode.Scalar(byte)))\" expected") }
        position += 1
    }

    private mutating func skipBlanks() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private func malformed(_ problem: String) -> Malformed { Malformed(problem: problem, offset: position) }
}
