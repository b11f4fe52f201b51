/// A key of `hosts:`: a name, or a pattern such as `compute-[0:9]`, `rack-[a:c]`, `node[01:10:3].example.org` or `compute-0:2222`.
///
/// Follows `_expand_hostpattern` and `expand_hostname_range` of ansible-core, with a bound.
struct HostPattern {
    var names: [String]
    /// From a `:22` after the name; it holds for all names.
    var port: Int?

    struct Invalid: Error {
        /// What is wrong and what to write, to follow the pattern in a message.
        var reason: String
    }

    /// `most` bounds how many names may come of it.
    init(_ text: String, most: Int) throws(Invalid) {
        guard text.utf8.count <= HostNameText.longest + 64 else { throw Invalid(reason: "is longer than a host name can be") }
        let (pattern, port) = Self.splitPort(text)
        if let port, !(1...65535).contains(port) { throw Invalid(reason: "has a port outside of 1…65535") }
        self.port = port

        let segments = try Self.segments(of: pattern)
        var count = 1
        for segment in segments {
            let (product, overflow) = count.multipliedReportingOverflow(by: segment.count)
            guard !overflow, product <= most else { throw Invalid(reason: "stands for more hosts than are read in all; narrow the range") }
            count = product
        }
        names = segments.reduce([""]) { heads, segment in heads.flatMap { head in segment.texts.map { head + $0 } } }
        for name in names {
            if let reason = HostNameText.fault(of: name) { throw Invalid(reason: reason) }
        }
    }

    /// `name:22` and `[name]:22`, where what is left is a host name or pattern; other colons belong to the name (an IPv6 address has them).
    private static func splitPort(_ text: String) -> (pattern: String, port: Int?) {
        guard let colon = text.lastIndex(of: ":") else { return (text, nil) }
        let digits = text[text.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }) else { return (text, nil) }
        let port = Int(digits) ?? .max
        let head = String(text[..<colon])
        if head.first == "[", head.last == "]", !head.dropFirst().dropLast().contains("]") {
            let inner = String(head.dropFirst().dropLast())
            if isAddressOrName(inner) { return (inner, port) }
        }
        return hasColonOutsideBrackets(head) || !isAddressOrName(head) ? (text, nil) : (head, port)
    }

    private static func hasColonOutsideBrackets(_ text: String) -> Bool {
        var depth = 0
        for character in text {
            switch character {
            case "[": depth += 1
            case "]": depth -= 1
            case ":" where depth <= 0: return true
            default: break
            }
        }
        return depth != 0
    }

    private static func isAddressOrName(_ text: String) -> Bool {
        var isInRange = false
        var plain = ""
        for character in text {
            if character == "[" { (isInRange, plain) = (true, plain + "0") }
            if !isInRange { plain.append(character) }
            if character == "]" { isInRange = false }
        }
        return AddressText.isAddress(plain)
    }

    /// The pattern cut at its ranges; the first range is the slowest to count.
    private static func segments(of pattern: String) throws(Invalid) -> [Segment] {
        var segments: [Segment] = []
        var rest = Substring(pattern)
        while let open = rest.firstIndex(where: { $0 == "[" || $0 == "]" }) {
            guard rest[open] == "[", let close = rest[open...].firstIndex(of: "]") else { throw Invalid(reason: "has unbalanced brackets") }
            segments.append(.literal(String(rest[..<open])))
            segments.append(try .range(rest[rest.index(after: open)..<close]))
            rest = rest[rest.index(after: close)...]
        }
        return segments + [.literal(String(rest))]
    }
}

private enum Segment {
    case literal(String)
    case numbers(first: Int, last: Int, step: Int, digits: Int)
    case letters(first: Int, last: Int, step: Int)

    /// Ansible's order: lower case first.
    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

    /// `begin:end` or `begin:end:step`; a leading zero of `begin` asks for numbers of that many digits.
    static func range(_ text: Substring) throws(HostPattern.Invalid) -> Segment {
        let bounds = text.split(separator: ":", omittingEmptySubsequences: false)
        guard bounds.count == 2 || bounds.count == 3, !bounds[1].isEmpty else {
            throw HostPattern.Invalid(reason: "has a range that is not [begin:end] or [begin:end:step]")
        }
        guard let step = bounds.count == 2 ? 1 : number(bounds[2]), step > 0 else {
            throw HostPattern.Invalid(reason: "has a range whose step is not a whole number of at least 1")
        }
        let begin = bounds[0].isEmpty ? "0" : bounds[0]
        let end = bounds[1]
        let segment: Segment
        if let first = number(begin), let last = number(end) {
            let isPadded = begin.count > 1 && begin.first == "0"
            guard !isPadded || begin.count == end.count else {
                throw HostPattern.Invalid(reason: "has a range whose begin and end differ in length; write as many digits, as in [01:10]")
            }
            segment = .numbers(first: first, last: last, step: step, digits: isPadded ? begin.count : 1)
        } else if let first = letter(begin), let last = letter(end) {
            segment = .letters(first: first, last: last, step: step)
        } else {
            throw HostPattern.Invalid(reason: "has a range that is neither of numbers, as in [0:9], nor of single letters, as in [a:c]")
        }
        guard segment.count > 0 else { throw HostPattern.Invalid(reason: "has a range that ends before it begins") }
        return segment
    }

    var count: Int {
        switch self {
        case .literal: 1
        case .numbers(let first, let last, let step, _), .letters(let first, let last, let step):
            last < first ? 0 : (last - first) / step + 1
        }
    }

    var texts: [String] {
        switch self {
        case .literal(let text):
            return [text]
        case .numbers(let first, let last, let step, let digits):
            return stride(from: first, through: last, by: step).map { number in
                let text = String(number)
                return String(repeating: "0", count: max(0, digits - text.count)) + text
            }
        case .letters(let first, let last, let step):
            return stride(from: first, through: last, by: step).map { String(Self.alphabet[$0]) }
        }
    }

    /// Up to nine digits: nobody numbers hosts higher, and sums cannot overflow.
    private static func number(_ text: Substring) -> Int? {
        guard (1...9).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(text)
    }

    private static func letter(_ text: Substring) -> Int? {
        guard text.count == 1, let letter = text.first else { return nil }
        return alphabet.firstIndex(of: letter)
    }
}
