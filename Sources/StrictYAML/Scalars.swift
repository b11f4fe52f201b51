/// Typed readings of a value. Each notes a problem and answers nil where the value is of another kind.
extension Value {
    /// How messages name this value; safe to log.
    public var kind: String {
        switch content {
        case .null: "nothing"
        case .scalar(let text, _): "'\(text.shown)'"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }

    public func string(_ what: String, mayBeEmpty: Bool = false, _ problems: inout Problems) -> String? {
        guard case .scalar(let text, _) = content else {
            problems.add(place, "\(what) must be text, not \(kind)")
            return nil
        }
        guard mayBeEmpty || !text.isEmpty else {
            problems.add(place, "\(what) must not be empty")
            return nil
        }
        return text
    }

    /// A list of texts; a single text counts as a list of one.
    public func strings(_ what: String, _ problems: inout Problems) -> [String]? {
        switch content {
        case .scalar: return string(what, &problems).map { [$0] }
        case .sequence(let values): return values.compactMap { $0.string("each of \(what)", &problems) }
        case .null, .mapping:
            problems.add(place, "\(what) must be text or a list of texts, not \(kind)")
            return nil
        }
    }

    public func sequence(_ what: String, _ problems: inout Problems) -> [Value]? {
        guard case .sequence(let values) = content else {
            problems.add(place, "\(what) must be a list, not \(kind)")
            return nil
        }
        return values
    }

    /// YAML 1.1 booleans, as Ansible reads them: true/false, yes/no, on/off.
    public func bool(_ what: String, _ problems: inout Problems) -> Bool? {
        var hint = ""
        if case .scalar(let text, let isPlain) = content, let truth = Self.truths[text.lowercased()] {
            if isPlain { return truth }
            hint = " in quotes; write it without them"
        }
        problems.add(place, "\(what) must be true or false, not \(kind)\(hint)")
        return nil
    }

    private static let truths = ["true": true, "yes": true, "on": true, "false": false, "no": false, "off": false]

    public func integer(_ what: String, in range: ClosedRange<Int>, _ problems: inout Problems) -> Int? {
        if case .scalar(let text, _) = content, let number = Int(text), range.contains(number) { return number }
        let bounds = range.upperBound == .max ? "of at least \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
        problems.add(place, "\(what) must be a whole number \(bounds), not \(kind)")
        return nil
    }

    /// Bytes: a number with B, KiB, MiB, GiB or TiB, or plain bytes.
    public func bytes(_ what: String, _ problems: inout Problems) -> Int64? {
        let units: [(String, Double)] = [("TiB", 0x1p40), ("GiB", 0x1p30), ("MiB", 0x1p20), ("KiB", 0x1p10), ("B", 1)]
        return quantity(units, &problems, orSay: "\(what) must be a size such as 20GiB, 50MiB or 4096").map { Int64($0) }
    }

    /// Seconds: a number with s, m, h or d, or plain seconds.
    public func seconds(_ what: String, _ problems: inout Problems) -> Int? {
        let units: [(String, Double)] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]
        return quantity(units, &problems, orSay: "\(what) must be a duration such as 90s, 10m, 24h or 30d").map { Int($0) }
    }

    /// One of an enum's words.
    public func word<Word: RawRepresentable & CaseIterable>(_ what: String, as type: Word.Type, _ problems: inout Problems) -> Word?
    where Word.RawValue == String {
        if case .scalar(let text, _) = content, let word = Word(rawValue: text) { return word }
        let words = Word.allCases.map(\.rawValue)
        var hint = ""
        if case .scalar(let text, _) = content, let near = Nearest.word(to: text, among: words) { hint = "; did you mean '\(near)'?" }
        problems.add(place, "\(what) must be one of \(words.joined(separator: ", ")), not \(kind)\(hint)")
        return nil
    }

    private func quantity(_ units: [(String, Double)], _ problems: inout Problems, orSay message: String) -> Double? {
        if case .scalar(let text, _) = content {
            let unit = units.first { text.hasSuffix($0.0) } ?? ("", 1)
            var number = text.dropLast(unit.0.count)
            while number.last == " " { number.removeLast() }
            if let amount = Double(number), amount >= 0, amount * unit.1 < 1e18 { return (amount * unit.1).rounded() }
        }
        problems.add(place, "\(message), not \(kind)")
        return nil
    }
}
