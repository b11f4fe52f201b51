public import ForecacheModel
public import Foundation

/// A decision with, for every rule that says no, the single changes of the image that would make it say yes: operators ask *why not*.
public struct Explanation: Sendable {
    public let decision: Decision
    /// One list a rule, in the order of `decision.rules`; empty where the rule matched, or where no single change helps. Imperatives:
    /// `add tag "golden"`, `set visibility public`.
    public let changes: [[String]]
}

extension RuleSet {
    /// Most changes that are told of one rule: whoever gets longer lists reads the rule.
    private static let mostChanges = 3

    /// The decision of `decide`, explained. Slower than `decide`: for a person who waits, not for the service.
    public func explain(_ image: ImageFacts, fleet: Fleet, now: Date) -> Explanation {
        let decision = decide(image, fleet: fleet, now: now)
        let told = zip(rules, decision.rules).map { rule, verdict in
            verdict.matched ? [] : self.changes(of: image, toMatch: rule, fleet, now)
        }
        return Explanation(decision: decision, changes: told)
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
            let holds = evaluation.finding(for: .condition(condition)).holds
            guard let change = condition.change(of: image, unless: holds, fleet) else { continue }
            if let changed = change.image {
                var other = Evaluation(changed, now: now)
                tell(change, other.finding(for: rule).holds)
            } else {
                let turned = rule.match.replacing(index, with: holds ? .not(.always) : .always)
                tell(change, evaluation.finding(for: turned).holds)
            }
        }
        if image.isHidden {
            let change = ImageChange("unhide the image", image) { $0.isHidden = false }
            var other = Evaluation(change.image ?? image, now: now)
            tell(change, other.finding(for: rule).holds)
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
