public import ForecacheModel
public import Foundation

/// A decision with what every rule compared, and, for every rule that says no, the single changes of the image that would make it say yes: operators ask *why
/// not* more often than *why*.
public struct Explanation: Sendable {
    /// As `decide` gives it, but with a verdict of every rule.
    public let decision: Decision
    /// One a rule, in the order of `decision.rules`: condition by condition.
    public let findings: [Finding]
    /// One list a rule, likewise: what follows from the match, that is selection, end and targets. Empty where the rule did not match.
    public let consequences: [[String]]
    /// One list a rule, likewise; empty where the rule matched, or where no single change helps. Imperatives: `add tag "golden"`, `set visibility public`.
    public let changes: [[String]]
}

extension RuleSet {
    /// Most changes that are told of one rule: whoever gets longer lists reads the rule.
    private static let mostChanges = 3

    /// The decision of `decide`, explained. Slower than `decide`: for a person who waits, not for the service.
    public func explain(
        _ image: ImageFacts, fleet: Fleet, now: Date, among rivals: Rivals? = nil, since began: [String: Date] = [:]
    ) -> Explanation {
        var evaluation = Evaluation(image, now: now)
        let told = rules.map { evaluation.finding(on: $0.match) }
        let hits = told.enumerated().filter { $0.element.word.holds == true }.map {
            Hit(index: $0.offset, bindings: $0.element.word.bindings, reasons: $0.element.finding.reasons)
        }
        var decision = decision(on: image, hits, fleet, now, rivals, began)
        var verdicts = zip(rules, told).map { rule, told in
            RuleVerdict(
                rule: rule.name, file: rule.file, line: rule.line, matched: false, reasons: told.finding.reasons, placements: 0)
        }
        for (hit, verdict) in zip(hits, decision.rules) { verdicts[hit.index] = verdict }
        decision.rules = verdicts
        let changes = zip(rules, verdicts).map { rule, verdict in
            verdict.matched ? [] : self.changes(of: image, toMatch: rule, fleet, now)
        }
        let consequences = zip(told, verdicts).map { told, verdict in
            verdict.matched ? Array(verdict.reasons.dropFirst(told.finding.reasons.count)) : []
        }
        return Explanation(decision: decision, findings: told.map(\.finding), consequences: consequences, changes: changes)
    }

    /// One condition after the other is turned round, by a changed image where one can be made up and by a changed tree where the pattern leaves the value
    /// open. What makes the whole rule match is told.
    private func changes(of image: ImageFacts, toMatch rule: Rule, _ fleet: Fleet, _ now: Date) -> [String] {
        var told: [String] = []
        func tell(_ change: ImageChange, _ holds: Bool) {
            if holds, !told.contains(change.text), told.count < Self.mostChanges { told.append(change.text) }
        }
        var evaluation = Evaluation(image, now: now)
        for (index, condition) in rule.match.conditions.enumerated() {
            let holds = evaluation.holds(condition)
            guard let change = condition.change(of: image, unless: holds, fleet) else { continue }
            if let changed = change.image {
                var other = Evaluation(changed, now: now)
                tell(change, other.word(on: rule.match).holds == true)
            } else {
                let turned = rule.match.replacing(index, with: holds ? .not(.always) : .always)
                tell(change, evaluation.word(on: turned).holds == true)
            }
        }
        if image.isHidden {
            let change = ImageChange("unhide the image", image) { $0.isHidden = false }
            var other = Evaluation(change.image ?? image, now: now)
            tell(change, other.word(on: rule.match).holds == true)
        }
        return told
    }
}

extension Match {
    /// All conditions, from left to right.
    var conditions: [Condition] {
        switch self {
        case .all(let branches), .any(let branches, _): branches.flatMap(\.conditions)
        case .not(let branch): branch.conditions
        case .always: []
        case .condition(let condition): [condition]
        }
    }

    /// The tree with the condition at `index` of `conditions` replaced.
    func replacing(_ index: Int, with replacement: Match) -> Match {
        var next = 0
        return replacing(index, with: replacement, counting: &next)
    }

    private func replacing(_ index: Int, with replacement: Match, counting next: inout Int) -> Match {
        switch self {
        case .all(let branches): return .all(branches.map { $0.replacing(index, with: replacement, counting: &next) })
        case .any(let branches, let captures):
            return .any(branches.map { $0.replacing(index, with: replacement, counting: &next) }, captures: captures)
        case .not(let branch): return .not(branch.replacing(index, with: replacement, counting: &next))
        case .always: return .always
        case .condition:
            defer { next += 1 }
            return next == index ? replacement : self
        }
    }
}
