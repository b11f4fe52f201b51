import ForecacheModel

/// Which rules of a set are worth a look for an image: those of which every clause is met by a text or a number of the image's own. Nearly every rule asks
/// for what nearly no image has, so nearly none has to be walked through.
struct RuleIndex: Sendable {
    /// Conditions of a rule of which one must hold, as a bit that is the rule's own.
    struct Clause: Sendable {
        var rule: Int
        var bit: UInt32
    }

    /// Clauses of one rule that are told apart; more of them are not looked up.
    private static let mostClauses = UInt32.bitWidth

    /// By rule: the bits of all its clauses, and of those that no pattern of `TextIndex.open` can meet.
    private var wanted: [UInt32]
    private var firm: [UInt32] = []

    private var tags = TextIndex()
    /// In the order of `TextField.allCases`.
    private var texts = TextField.allCases.map { _ in TextIndex() }
    private var properties: [String: PropertyIndex] = [:]
    private var sizes = RangeIndex<Int64>()
    /// In seconds.
    private var ages = RangeIndex<Double>()

    /// What rules ask of one property.
    private struct PropertyIndex: Sendable {
        var isThere: [Clause] = []
        var texts = TextIndex()
        var numbers = RangeIndex<Double>()
        var versions = RangeIndex<Version>()
    }

    init(_ rules: [Rule]) {
        wanted = Array(repeating: 0, count: rules.count)
        for (rule, match) in rules.lazy.map(\.match).enumerated() {
            for (number, conditions) in match.clauses.prefix(Self.mostClauses).enumerated() {
                let clause = Clause(rule: rule, bit: 1 << UInt32(number))
                wanted[rule] |= clause.bit
                for condition in conditions { file(condition, under: clause) }
            }
        }
        firm = wanted
        tags.settle(&firm)
        for index in texts.indices { texts[index].settle(&firm) }
        sizes.settle()
        ages.settle()
        for name in properties.keys {
            properties[name]?.texts.settle(&firm)
            properties[name]?.numbers.settle()
            properties[name]?.versions.settle()
        }
    }

    private mutating func file(_ condition: Condition, under clause: Clause) {
        switch condition {
        case .tag(let patterns): tags.add(patterns, clause)
        case .text(let field, let patterns): texts[field.index].add(patterns, clause)
        case .property(let property):
            switch property.test {
            case .exists: properties[property.name, default: PropertyIndex()].isThere.append(clause)
            case .patterns(let patterns): properties[property.name, default: PropertyIndex()].texts.add(patterns, clause)
            case .min(let least, _): properties[property.name, default: PropertyIndex()].numbers.add(least, nil, clause)
            case .max(let most, _): properties[property.name, default: PropertyIndex()].numbers.add(nil, most, clause)
            case .version(let range): properties[property.name, default: PropertyIndex()].versions.add(range.least, range.most, clause)
            }
        case .minSize(let least, _): sizes.add(least, nil, clause)
        case .maxSize(let most, _): sizes.add(nil, most, clause)
        case .createdWithin(let seconds, _): ages.add(nil, Double(seconds), clause)
        case .hidden: preconditionFailure("'hidden' is in no clause")
        }
    }

    /// Rules that may match, in evaluation order. All that match are among them.
    func candidates(for image: inout Evaluation) -> [Int] {
        var met: [UInt32] = Array(repeating: 0, count: wanted.count)
        var open: [(TextIndex, Subject)] = []
        func look(_ subject: Subject, in index: TextIndex) {
            index.meet(subject, &met)
            if index.isOpen { open.append((index, subject)) }
        }
        for tag in image.tags { look(tag, in: tags) }
        for field in TextField.allCases {
            if !texts[field.index].isEmpty, let text = image.texts[field.index] { look(text.subject, in: texts[field.index]) }
        }
        for name in image.propertyNames {
            guard let index = properties[name], let value = image.property(name) else { continue }
            for clause in index.isThere { met[clause.rule] |= clause.bit }
            look(value.subject, in: index.texts)
            if !index.numbers.isEmpty, let number = value.number { index.numbers.meet(number, &met) }
            if !index.versions.isEmpty, let version = value.version { index.versions.meet(version, &met) }
        }
        if let size = image.sizeBytes { sizes.meet(size, &met) }
        ages.meet(image.ageSeconds, &met)
        // What has to be tried comes last, where all else of a rule is met.
        for (index, subject) in open { index.tryOpen(subject, firm: firm, &met) }
        return wanted.indices.filter { met[$0] == wanted[$0] }
    }
}

extension Match {
    /// What the tree cannot hold without: in each list one condition must hold. There are only conditions that can be looked up; one that is left out costs
    /// time, never a decision.
    fileprivate var clauses: [[Condition]] {
        switch self {
        case .condition(let condition): return condition.isIndexed ? [[condition]] : []
        case .all(let branches): return branches.flatMap(\.clauses)
        case .any(let branches, _):
            let parts = branches.compactMap { branch in
                let clauses = branch.clauses
                return clauses.first { !$0.contains(where: \.isCommon) } ?? clauses.first
            }
            return parts.count == branches.count ? [parts.flatMap { $0 }] : []
        case .not, .always: return []
        }
    }
}

extension Condition {
    fileprivate var isIndexed: Bool {
        switch self {
        case .tag, .text, .minSize, .maxSize, .createdWithin: true
        case .property(let property):
            switch property.test {
            case .exists(let wanted): wanted
            case .patterns, .min, .max: true
            case .version(let range): range.least != nil || range.most != nil
            }
        case .hidden: false
        }
    }

    /// Whether images mostly say the same here, so that rules are not told apart by it.
    fileprivate var isCommon: Bool {
        switch self {
        case .text(.visibility, _), .text(.status, _), .text(.diskFormat, _), .text(.containerFormat, _): true
        case .minSize, .maxSize, .createdWithin, .hidden: true
        case .tag, .text, .property: false
        }
    }
}
