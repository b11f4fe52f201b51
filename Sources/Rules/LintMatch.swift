import ForecacheModel

/// What can be told of conditions without any image: which exclude each other, and which say at least as much as others.
enum LintMatch {
    /// Why the tree can never hold; nil where it can as far as is seen. Sees conditions that must hold together, and no deeper.
    static func contradiction(in match: Match) -> String? {
        if case .any(let branches, _) = match {
            let reasons = branches.map { contradiction(in: $0) }
            return reasons.contains { $0 == nil } ? nil : reasons.first ?? nil
        }
        let demands = match.demands
        for (index, one) in demands.enumerated() {
            if case .any = one, let reason = contradiction(in: one) { return reason }
            for other in demands[(index + 1)...] where one.excludes(other) || other.excludes(one) {
                return "'\(one.said)' and '\(other.said)' exclude each other"
            }
        }
        return nil
    }

    /// What an image must meet, one text a condition, for comparison.
    static func demands(of match: Match) -> Set<String> { if case .always = match { [] } else { Set(match.demands.map(\.written)) } }

    /// Whether hidden images are among those that it holds for.
    static func asksForHidden(_ match: Match) -> Bool { match.asksForHidden }
}

extension Match {
    /// The conditions of nested `all`s, which must hold together.
    fileprivate var demands: [Match] { if case .all(let branches) = self { branches.flatMap(\.demands) } else { [self] } }

    fileprivate var asksForHidden: Bool { conditions.contains { if case .hidden(true) = $0 { true } else { false } } }

    /// For messages.
    fileprivate var said: String { written.count > 200 ? written.prefix(200) + "…" : written }

    /// On one line and whole, the same for conditions that say the same.
    fileprivate var written: String {
        switch self {
        case .all(let branches): "all [\(branches.map(\.written).sorted().joined(separator: "; "))]"
        case .any(let branches, _): "any [\(branches.map(\.written).sorted().joined(separator: "; "))]"
        case .not(let branch): "not \(branch.written)"
        case .always: "always"
        case .condition(let condition): condition.written
        }
    }

    /// Whether this one leaves only values that the other does not allow.
    fileprivate func excludes(_ other: Match) -> Bool {
        switch (self, other) {
        case (.condition(let one), .condition(let two)): one.excludes(two)
        case (.condition(let one), .not(.condition(let two))): one.written == two.written || one.isInside(two)
        case (let one, .not(let two)): one.written == two.written
        case (.all, _), (.any, _), (.not, _), (.always, _), (.condition, _): false
        }
    }
}

extension Condition {
    fileprivate var written: String {
        switch self {
        case .tag(let patterns): "tag: \(patterns.written)"
        case .text(let field, let patterns): "\(field.rawValue): \(patterns.written)"
        case .property(let test): "property \(test.name): \(test.written)"
        case .minSize(_, let written): "min_size: \(written)"
        case .maxSize(_, let written): "max_size: \(written)"
        case .createdWithin(_, let written): "created_within: \(written)"
        case .hidden(let wanted): "hidden: \(wanted)"
        }
    }

    fileprivate func excludes(_ other: Condition) -> Bool {
        switch (self, other) {
        case (.text(let one, let left), .text(let two, let right)): one == two && left.isDisjoint(with: right)
        case (.property(let one), .property(let two)): one.name == two.name && one.excludes(two)
        case (.minSize(let least, _), .maxSize(let most, _)): least > most
        case (.hidden(let one), .hidden(let two)): one != two
        case (.tag, _), (.text, _), (.property, _), (.minSize, _), (.maxSize, _), (.createdWithin, _), (.hidden, _): false
        }
    }

    /// Whether all values that this one allows are values that `other` allows.
    fileprivate func isInside(_ other: Condition) -> Bool {
        switch (self, other) {
        case (.text(let one, let left), .text(let two, let right)): one == two && left.isInside(right)
        case (.property(let one), .property(let two)):
            if one.name == two.name, case .patterns(let left) = one.test, case .patterns(let right) = two.test {
                left.isInside(right)
            } else {
                false
            }
        // An image has several tags: one that is excluded says nothing of another.
        case (.tag(let left), .tag(let right)): left.list.count == 1 && left.isInside(right)
        case (.tag, _), (.text, _), (.property, _), (.minSize, _), (.maxSize, _), (.createdWithin, _), (.hidden, _): false
        }
    }
}

extension PropertyTest {
    fileprivate var written: String {
        switch test {
        case .exists(let wanted): "exists \(wanted)"
        case .patterns(let patterns): patterns.written
        case .min(_, let written): "min \(written)"
        case .max(_, let written): "max \(written)"
        case .version(let range): "version \(range.written)"
        }
    }

    fileprivate func excludes(_ other: PropertyTest) -> Bool {
        switch (test, other.test) {
        case (.exists(false), .exists(let wanted)): wanted
        case (.exists(false), _): true
        case (.min(let least, _), .max(let most, _)): least > most
        case (.patterns(let left), .patterns(let right)): left.isDisjoint(with: right)
        case (.exists, _), (.patterns, _), (.min, _), (.max, _), (.version, _): false
        }
    }
}

extension Patterns {
    fileprivate var written: String { list.map(\.written).sorted().joined(separator: " or ") }

    /// The texts, where all are literals.
    private var literals: [Subject]? {
        let texts = list.compactMap { if case .literal(let text, _) = $0 { Subject(text) } else { nil } }
        return texts.count == list.count ? texts : nil
    }

    /// Seen where one side is literal.
    fileprivate func isDisjoint(with other: Patterns) -> Bool {
        if let literals { return literals.allSatisfy { other.firstMatch($0) == nil } }
        if let theirs = other.literals { return theirs.allSatisfy { firstMatch($0) == nil } }
        return false
    }

    fileprivate func isInside(_ other: Patterns) -> Bool { literals?.allSatisfy { other.firstMatch($0) != nil } ?? false }
}
