import ForecacheModel
import Foundation

/// Whether a condition tree holds, and what else it decides.
struct Word {
    /// Nil: some text was too long to be compared, and the tree hangs on it.
    var holds: Bool?
    /// Names captured, one binding a combination. Empty: nothing was captured.
    var bindings: [Binding] = []
    /// Whether `hidden: true` was among the conditions that made it hold.
    var admitsHidden = false
}

/// One image under comparison with many rules. Texts are prepared once; sentences are made only where somebody wants to read them.
struct Evaluation {
    private let image: ImageFacts
    private let now: Date
    let tags: [Subject]
    /// In the order of `TextField.allCases`.
    let texts: [Prepared?]
    private var properties: [String: Prepared] = [:]

    init(_ image: ImageFacts, now: Date) {
        self.image = image
        self.now = now
        self.tags = image.tags.map { Subject($0) }
        self.texts = TextField.allCases.map { field in field.text(of: image).map { Prepared($0, .field(field)) } }
    }

    var propertyNames: Dictionary<String, String>.Keys { image.properties.keys }
    var sizeBytes: Int64? { image.sizeBytes }
    var ageSeconds: Double { now.timeIntervalSince(image.createdAt) }

    /// The verdict alone, as fast as it goes.
    mutating func word(on match: Match) -> Word {
        var nothing: [Finding]?
        let word = evaluate(match, isExcluded: false, &nothing)
        return isHiddenFrom(word) ? Word(holds: false) : word
    }

    /// The verdict with all that was compared.
    mutating func finding(on match: Match) -> (word: Word, finding: Finding) {
        var told: [Finding]? = []
        let word = evaluate(match, isExcluded: false, &told)
        let finding = told?.first ?? Finding(.condition, word.holds)
        guard isHiddenFrom(word) else { return (word, finding) }
        let hidden = Finding(.condition, false, "image is hidden and the rule does not say \"hidden: true\"")
        let branches = finding.part == .all ? finding.parts : [finding]
        return (Word(holds: false), Finding(.all, false, parts: branches + [hidden]))
    }

    /// One condition by itself.
    mutating func holds(_ condition: Condition) -> Bool { evaluate(condition, isExcluded: false, tells: false).word.holds == true }

    /// A hidden image is only for rules that ask for hidden ones.
    private func isHiddenFrom(_ word: Word) -> Bool { word.holds == true && image.isHidden && !word.admitsHidden }

    // MARK: - The tree

    /// `told` gathers one finding, with those of all branches, where it is not nil. Where it is, evaluation ends as soon as the verdict stands.
    private mutating func evaluate(_ match: Match, isExcluded: Bool, _ told: inout [Finding]?) -> Word {
        switch match {
        case .condition(let condition):
            let leaf = evaluate(condition, isExcluded: isExcluded, tells: told != nil)
            told?.append(Finding(.condition, leaf.word.holds, leaf.text))
            return leaf.word
        case .all(let branches): return evaluateAll(branches, isExcluded: isExcluded, &told)
        case .any(let branches, let captures): return evaluateAny(branches, captures: captures, isExcluded: isExcluded, &told)
        case .always:
            told?.append(Finding(.condition, true, "matches every image"))
            return Word(holds: true)
        case .not(let branch):
            var parts: [Finding]? = told == nil ? nil : []
            let inner = evaluate(branch, isExcluded: !isExcluded, &parts)
            let holds = inner.holds.map { !$0 }
            told?.append(Finding(.not, holds, parts: parts ?? []))
            return Word(holds: holds)
        }
    }

    private mutating func evaluateAll(_ branches: [Match], isExcluded: Bool, _ told: inout [Finding]?) -> Word {
        var whole = Word(holds: true)
        var parts: [Finding]? = told == nil ? nil : []
        var text = ""
        for branch in branches {
            let part = evaluate(branch, isExcluded: isExcluded, &parts)
            guard whole.holds != false else { continue }
            guard part.holds == true else {
                whole = Word(holds: part.holds)
                if part.holds == false, parts == nil { break }
                continue
            }
            whole.admitsHidden = whole.admitsHidden || part.admitsHidden
            if whole.bindings.isEmpty {
                whole.bindings = part.bindings
            } else if !part.bindings.isEmpty {
                whole.bindings = joined(whole.bindings, part.bindings)
                guard whole.bindings.isEmpty else { continue }
                text = "conditions capture different names for the same {site} or {role}"
                whole = Word(holds: false)
                if parts == nil { break }
            }
        }
        told?.append(Finding(.all, whole.holds, text, parts: parts ?? []))
        return whole
    }

    /// The first branch that holds decides, but captures of all branches count, and a hidden image needs the branch that admits it.
    private mutating func evaluateAny(_ branches: [Match], captures: Bool, isExcluded: Bool, _ told: inout [Finding]?) -> Word {
        var whole = Word(holds: false)
        var parts: [Finding]? = told == nil ? nil : []
        let countsAll = captures || image.isHidden
        for branch in branches {
            let part = evaluate(branch, isExcluded: isExcluded, &parts)
            guard part.holds == true else {
                if part.holds == nil, whole.holds == false { whole.holds = nil }
                continue
            }
            let isFirst = whole.holds != true
            whole.holds = true
            guard countsAll || isFirst else { continue }
            whole.admitsHidden = whole.admitsHidden || part.admitsHidden
            if captures { whole.bindings += part.bindings.isEmpty ? [Binding()] : part.bindings }
            if !countsAll, parts == nil { break }
        }
        if told != nil {
            var finding = Finding(.any, whole.holds, parts: parts ?? [])
            finding.countsAllBranches = countsAll
            told?.append(finding)
        }
        return whole
    }

    /// All pairs that do not contradict each other, each once.
    private func joined(_ left: [Binding], _ right: [Binding]) -> [Binding] {
        var seen: Set<Binding> = []
        return left.flatMap { one in right.compactMap { one.joined($0) } }.filter { seen.insert($0).inserted }
    }

    // MARK: - One condition

    private struct Leaf {
        var word: Word
        var text: String

        init(_ holds: Bool?, _ text: String, bindings: [Binding] = [], admitsHidden: Bool = false) {
            self.word = Word(holds: holds, bindings: bindings, admitsHidden: admitsHidden)
            self.text = text
        }
    }

    private mutating func evaluate(_ condition: Condition, isExcluded: Bool, tells: Bool) -> Leaf {
        switch condition {
        case .tag(let patterns): return evaluateTags(patterns, isExcluded: isExcluded, tells: tells)
        case .text(let field, let patterns):
            guard let text = texts[field.index] else { return Leaf(false, tells ? "image has no \(field.label)" : "") }
            return compare(text, patterns, isExcluded: isExcluded, tells: tells)
        case .property(let test): return evaluate(test, isExcluded: isExcluded, tells: tells)
        case .minSize(let least, let written):
            guard let size = image.sizeBytes else { return Leaf(false, "size is not known") }
            return Leaf(size >= least, tells ? "size \(size) is \(size >= least ? "at least" : "less than") \(written)" : "")
        case .maxSize(let most, let written):
            guard let size = image.sizeBytes else { return Leaf(false, "size is not known") }
            return Leaf(size <= most, tells ? "size \(size) is \(size <= most ? "at most" : "more than") \(written)" : "")
        case .createdWithin(let seconds, let written):
            let isYoung = ageSeconds <= Double(seconds)
            return Leaf(isYoung, tells ? "created \(Spoken.age(ageSeconds)) ago, \(isYoung ? "within" : "not within") \(written)" : "")
        case .hidden(let wanted):
            return Leaf(
                image.isHidden == wanted, image.isHidden ? "image is hidden" : "image is not hidden",
                admitsHidden: wanted && image.isHidden)
        }
    }

    private func evaluateTags(_ patterns: Patterns, isExcluded: Bool, tells: Bool) -> Leaf {
        guard patterns.captures.isEmpty else { return captureTags(patterns, tells: tells) }
        for tag in tags where !tag.isTooLong {
            guard let index = patterns.firstMatch(tag) else { continue }
            return Leaf(true, tells ? "tag \(Quoted.text(tag.text))\(patterns.verb(index, isExcluded: isExcluded))" : "")
        }
        return noTag(patterns, tells: tells)
    }

    private func noTag(_ patterns: Patterns, tells: Bool) -> Leaf {
        guard tags.allSatisfy({ !$0.isTooLong }) else { return Leaf(nil, tells ? tooLong("a tag") : "") }
        return Leaf(false, tells ? "no tag matches \(patterns.said)" : "")
    }

    private func captureTags(_ patterns: Patterns, tells: Bool) -> Leaf {
        var bindings: [Binding] = []
        var texts: [String] = []
        for tag in tags where !tag.isTooLong {
            for index in patterns.list.indices {
                guard let binding = patterns.list[index].capture(tag) else { continue }
                if tells { texts.append("tag \(Quoted.text(tag.text))\(patterns.verb(index, isExcluded: false))") }
                if !bindings.contains(binding) { bindings.append(binding) }
            }
        }
        guard bindings.isEmpty else { return Leaf(true, texts.joined(separator: "; "), bindings: bindings) }
        return noTag(patterns, tells: tells)
    }

    private mutating func evaluate(_ property: PropertyTest, isExcluded: Bool, tells: Bool) -> Leaf {
        if case .exists(let wanted) = property.test {
            let isThere = image.properties[property.name] != nil
            return Leaf(isThere == wanted, tells ? "image has \(isThere ? "the" : "no") property \(Quoted.text(property.name))" : "")
        }
        guard let value = self.property(property.name) else {
            return Leaf(false, tells ? "image has no property \(Quoted.text(property.name))" : "")
        }
        switch property.test {
        case .exists: return Leaf(false, "")
        case .patterns(let patterns): return compare(value, patterns, isExcluded: isExcluded, tells: tells)
        case .min(let least, let written):
            guard let number = value.number else { return Leaf(false, tells ? "\(value.said) is not a number" : "") }
            return Leaf(number >= least, tells ? "\(value.said) is \(number >= least ? "at least" : "less than") \(written)" : "")
        case .max(let most, let written):
            guard let number = value.number else { return Leaf(false, tells ? "\(value.said) is not a number" : "") }
            return Leaf(number <= most, tells ? "\(value.said) is \(number <= most ? "at most" : "more than") \(written)" : "")
        case .version(let range):
            guard !value.subject.isTooLong else { return Leaf(nil, tells ? tooLong(value.said) : "") }
            guard let version = value.version else { return Leaf(false, tells ? "\(value.said) is not a version" : "") }
            let holds = range.contains(version)
            return Leaf(holds, tells ? "\(value.said) is \(holds ? "" : "not ")a version \(range.written)" : "")
        }
    }

    mutating func property(_ name: String) -> Prepared? {
        if let prepared = properties[name] { return prepared }
        guard let text = image.properties[name] else { return nil }
        let prepared = Prepared(text, .property(name))
        properties[name] = prepared
        return prepared
    }

    private func compare(_ text: Prepared, _ patterns: Patterns, isExcluded: Bool, tells: Bool) -> Leaf {
        guard !text.subject.isTooLong else { return Leaf(nil, tells ? tooLong(text.said) : "") }
        if patterns.captures.isEmpty {
            if let index = patterns.firstMatch(text.subject) {
                return Leaf(true, tells ? text.said + patterns.verb(index, isExcluded: isExcluded) : "")
            }
        } else {
            for index in patterns.list.indices {
                guard let binding = patterns.list[index].capture(text.subject) else { continue }
                return Leaf(true, tells ? text.said + patterns.verb(index, isExcluded: false) : "", bindings: [binding])
            }
        }
        return Leaf(false, tells ? "\(text.said) does not match \(patterns.said)" : "")
    }

    private func tooLong(_ said: String) -> String { "\(said) is longer than \(Bounds.subjectBytes) bytes and is not compared" }
}

/// A text of the image with how sentences begin that are about it: `name "cirros"`.
final class Prepared {
    enum Kind {
        case field(TextField)
        case property(String)
    }

    let subject: Subject
    private let kind: Kind

    init(_ text: String, _ kind: Kind) {
        self.subject = Subject(text)
        self.kind = kind
    }

    var said: String {
        switch kind {
        case .field(let field): "\(field.label) \(Quoted.text(subject.text))"
        case .property(let name): "property \(Quoted.text(name)) \(Quoted.text(subject.text))"
        }
    }

    private(set) lazy var number = Double(subject.text).flatMap { $0.isFinite ? $0 : nil }
    private(set) lazy var version = Version(subject.text)
}
