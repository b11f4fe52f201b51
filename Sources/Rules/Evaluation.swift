import ForecacheModel
import Foundation

/// What one rule's condition tree says about one image.
struct Finding {
    var holds: Bool
    var reasons: [String]
    /// Names captured, one binding a combination. Empty: nothing was captured.
    var bindings: [Binding] = []
    /// Whether `hidden: true` was among the conditions that made it hold.
    var admitsHidden = false

    static func no(_ reasons: [String]) -> Finding { Finding(holds: false, reasons: reasons) }
}

/// One image under comparison with many rules. Texts are prepared once, reasons made only as far as they are told.
struct Evaluation {
    private let image: ImageFacts
    private let now: Date
    private let tags: [Subject]
    /// Whether every tag can be compared with patterns.
    let hasComparableTags: Bool
    /// In the order of `TextField.allCases`.
    private let texts: [Prepared?]
    private var properties: [String: Prepared] = [:]
    /// Set where a text was too long to be compared: then no rule that needed it holds, not even under `not`.
    private var incomparable: String?

    init(_ image: ImageFacts, now: Date) {
        self.image = image
        self.now = now
        self.tags = image.tags.map { Subject($0) }
        self.hasComparableTags = tags.allSatisfy { !$0.isTooLong }
        self.texts = TextField.allCases.map { field in field.text(of: image).map { Prepared($0, label: field.label) } }
    }

    /// Why a text condition fails by itself; nil where it holds or the whole rule has to be looked at.
    func reasonAgainst(_ field: TextField, _ patterns: Patterns) -> String? {
        texts[field.index].flatMap { $0.reasonAgainst(patterns) }
    }

    /// Likewise for a property.
    mutating func reasonAgainst(_ property: PropertyTest) -> String? {
        guard case .patterns(let patterns) = property.test else { return nil }
        guard let text = preparedProperty(property.name) else { return property.absence }
        return text.reasonAgainst(patterns)
    }

    func hasTag(matching patterns: Patterns) -> Bool {
        for index in tags.indices where patterns.firstMatch(tags[index]) != nil { return true }
        return false
    }

    mutating func finding(for rule: Rule) -> Finding { finding(for: rule.match) }

    mutating func finding(for match: Match) -> Finding {
        incomparable = nil
        let finding = evaluate(match, isExcluded: false)
        if let incomparable { return .no([incomparable]) }
        guard finding.holds, image.isHidden, !finding.admitsHidden else { return finding }
        return .no(["image is hidden and the rule does not say \"hidden: true\""])
    }

    private mutating func evaluate(_ match: Match, isExcluded: Bool) -> Finding {
        switch match {
        case .condition(let condition): return evaluate(condition, isExcluded: isExcluded)
        case .all(let branches): return evaluateAll(branches, isExcluded: isExcluded)
        case .any(let branches, let captures): return evaluateAny(branches, captures: captures, isExcluded: isExcluded)
        case .always: return Finding(holds: true, reasons: ["matches every image"])
        case .not(let branch):
            let inner = evaluate(branch, isExcluded: !isExcluded)
            return Finding(holds: !inner.holds, reasons: inner.reasons)
        }
    }

    private mutating func evaluateAll(_ branches: [Match], isExcluded: Bool) -> Finding {
        var whole = Finding(holds: true, reasons: [])
        for branch in branches {
            let part = evaluate(branch, isExcluded: isExcluded)
            guard part.holds else { return .no(part.reasons) }
            whole.reasons += part.reasons
            whole.admitsHidden = whole.admitsHidden || part.admitsHidden
            if whole.bindings.isEmpty {
                whole.bindings = part.bindings
            } else if !part.bindings.isEmpty {
                whole.bindings = joined(whole.bindings, part.bindings)
                guard !whole.bindings.isEmpty else { return .no(["conditions capture different names for the same {site} or {role}"]) }
            }
        }
        return whole
    }

    /// The first branch that holds decides, but captures of all branches count, and a hidden image needs the branch that admits it.
    private mutating func evaluateAny(_ branches: [Match], captures: Bool, isExcluded: Bool) -> Finding {
        var whole = Finding(holds: false, reasons: [])
        var failures: [String] = []
        for branch in branches {
            let part = evaluate(branch, isExcluded: isExcluded)
            guard part.holds else {
                if !whole.holds { failures += part.reasons }
                continue
            }
            if !captures, !image.isHidden { return part }
            whole.holds = true
            whole.reasons += part.reasons
            whole.admitsHidden = whole.admitsHidden || part.admitsHidden
            if captures { whole.bindings += part.bindings.isEmpty ? [Binding()] : part.bindings }
        }
        return whole.holds ? whole : .no(failures)
    }

    private mutating func evaluate(_ condition: Condition, isExcluded: Bool) -> Finding {
        switch condition {
        case .tag(let patterns): return evaluateTags(patterns, isExcluded: isExcluded)
        case .text(let field, let patterns):
            guard let text = texts[field.index] else { return .no(["image has no \(field.label)"]) }
            return compare(text, patterns, isExcluded: isExcluded)
        case .property(let test): return evaluate(test, isExcluded: isExcluded)
        case .minSize(let least, let written):
            guard let size = image.sizeBytes else { return .no(["size is not known"]) }
            return Finding(holds: size >= least, reasons: ["size \(size) is \(size >= least ? "at least" : "less than") \(written)"])
        case .maxSize(let most, let written):
            guard let size = image.sizeBytes else { return .no(["size is not known"]) }
            return Finding(holds: size <= most, reasons: ["size \(size) is \(size <= most ? "at most" : "more than") \(written)"])
        case .createdWithin(let seconds, let written):
            let age = now.timeIntervalSince(image.createdAt)
            let isYoung = age <= Double(seconds)
            return Finding(holds: isYoung, reasons: ["created \(ageText(age)) ago, \(isYoung ? "within" : "not within") \(written)"])
        case .hidden(let wanted):
            return Finding(
                holds: image.isHidden == wanted, reasons: [image.isHidden ? "image is hidden" : "image is not hidden"],
                admitsHidden: wanted && image.isHidden)
        }
    }

    private mutating func evaluateTags(_ patterns: Patterns, isExcluded: Bool) -> Finding {
        guard patterns.captures.isEmpty else { return captureTags(patterns) }
        for tag in tags {
            guard !tag.isTooLong else { return tooLong("a tag") }
            guard let index = patterns.firstMatch(tag) else { continue }
            let verb = isExcluded ? patterns.exclusion[index] : patterns.success[index]
            return Finding(holds: true, reasons: ["tag \(Quoted.text(tag.text))\(verb)"])
        }
        return .no(patterns.noTag)
    }

    private func captureTags(_ patterns: Patterns) -> Finding {
        var found = Finding(holds: false, reasons: [])
        for tag in tags {
            for index in patterns.list.indices {
                guard let binding = patterns.list[index].capture(tag) else { continue }
                found.holds = true
                found.reasons.append("tag \(Quoted.text(tag.text))\(patterns.success[index])")
                if !found.bindings.contains(binding) { found.bindings.append(binding) }
            }
        }
        return found.holds ? found : .no(patterns.noTag)
    }

    private mutating func evaluate(_ property: PropertyTest, isExcluded: Bool) -> Finding {
        if case .exists(let wanted) = property.test {
            let isThere = image.properties[property.name] != nil
            return Finding(
                holds: isThere == wanted, reasons: ["image has \(isThere ? "the" : "no") property \(Quoted.text(property.name))"])
        }
        guard let value = preparedProperty(property.name) else { return .no([property.absence]) }
        switch property.test {
        case .exists: return .no([])
        case .patterns(let patterns): return compare(value, patterns, isExcluded: isExcluded)
        case .min(let least, let written):
            guard let number = value.number else { return .no(["\(value.said) is not a number"]) }
            return Finding(holds: number >= least, reasons: ["\(value.said) is \(number >= least ? "at least" : "less than") \(written)"])
        case .max(let most, let written):
            guard let number = value.number else { return .no(["\(value.said) is not a number"]) }
            return Finding(holds: number <= most, reasons: ["\(value.said) is \(number <= most ? "at most" : "more than") \(written)"])
        }
    }

    private mutating func preparedProperty(_ name: String) -> Prepared? {
        if let prepared = properties[name] { return prepared }
        guard let text = image.properties[name] else { return nil }
        let prepared = Prepared(text, label: "property \(Quoted.text(name))")
        properties[name] = prepared
        return prepared
    }

    private mutating func compare(_ text: Prepared, _ patterns: Patterns, isExcluded: Bool) -> Finding {
        guard !text.subject.isTooLong else { return tooLong(text.said) }
        guard patterns.captures.isEmpty else {
            let found = patterns.list.indices.lazy.compactMap { index in patterns.list[index].capture(text.subject).map { (index, $0) } }
                .first
            guard let (index, binding) = found else { return .no([text.said + patterns.failure]) }
            return Finding(holds: true, reasons: [text.said + patterns.success[index]], bindings: [binding])
        }
        guard let index = patterns.firstMatch(text.subject) else { return .no([text.said + patterns.failure]) }
        return Finding(holds: true, reasons: [text.said + (isExcluded ? patterns.exclusion[index] : patterns.success[index])])
    }

    private mutating func tooLong(_ said: String) -> Finding {
        let reason = "\(said) is longer than \(Bounds.subjectBytes) bytes and is not compared"
        incomparable = reason
        return .no([reason])
    }

    /// All pairs that do not contradict each other, each once.
    private func joined(_ left: [Binding], _ right: [Binding]) -> [Binding] {
        var seen: Set<Binding> = []
        return left.flatMap { one in right.compactMap { one.joined($0) } }.filter { seen.insert($0).inserted }
    }

    private func ageText(_ seconds: Double) -> String {
        let whole = Int(max(0, min(seconds, 1e12)))
        switch whole {
        case ..<120: return "\(whole) s"
        case ..<7200: return "\(whole / 60) min"
        case ..<172_800: return "\(whole / 3600) h"
        default: return "\(whole / 86400) days"
        }
    }
}

/// A text of the image with how a reason begins: `name "cirros"`.
private final class Prepared {
    let subject: Subject
    let said: String

    init(_ text: String, label: String) {
        self.subject = Subject(text)
        self.said = "\(label) \(Quoted.text(text))"
    }

    func reasonAgainst(_ patterns: Patterns) -> String? {
        guard patterns.captures.isEmpty, !subject.isTooLong, patterns.firstMatch(subject) == nil else { return nil }
        return said + patterns.failure
    }

    var number: Double? { Double(subject.text).flatMap { $0.isFinite ? $0 : nil } }
}
