import ForecacheModel

/// Which rules of a set are worth a look for an image. Nearly every rule begins with a text, and nearly every text differs from nearly every rule: so rules are
/// found by the beginnings and ends of the image's own texts, and only those with a wildcard at either side are tried one by one.
struct RuleIndex: Sendable {
    /// What a text must begin or end with.
    private struct Key: Hashable, Sendable {
        var slot: Slot
        var edge: Edge
    }

    /// Where an image has the text.
    private enum Slot: Hashable, Sendable {
        case tag
        /// Index of a `TextField`.
        case text(Int)
        case property(String)
    }

    private var byEdge: [Key: [Int]] = [:]
    private var slots: [Slot: Known] = [:]
    /// The rules without an edge.
    private var others: [Other] = []
    /// Where the texts are that `others` begin with.
    private var otherSlots: [Slot] = []

    private struct Other {
        var rule: Int
        /// What must hold of a text in a slot, as an index into `otherSlots`; nil where the rule does not begin with a text.
        var lead: (slot: Int, patterns: Patterns)?
    }

    /// What rules ask of one slot.
    fileprivate struct Known {
        var beginnings: [Int] = []
        var ends: [Int] = []
        /// For texts that are not ASCII, which may equal an edge in other bytes.
        var rules: [Int] = []
    }

    init(_ rules: [Rule]) {
        let leads = rules.map { $0.match.leads.flatMap(Self.alternatives) ?? [] }
        var shares: [Key: Int] = [:]
        for key in leads.joined().joined() { shares[key, default: 0] += 1 }
        for (index, lead) in leads.enumerated() {
            if lead.isEmpty { others.append(Other(rule: index, lead: readLead(of: rules[index]))) }
            // Of `ubuntu-*-arm64` the end is the better choice where all rules begin with `ubuntu-`.
            for key in lead.compactMap({ $0.min { shares[$0, default: 0] < shares[$1, default: 0] } }) {
                if byEdge[key]?.last != index { byEdge[key, default: []].append(index) }
                slots[key.slot, default: Known()].note(key.edge, of: index)
            }
        }
    }

    private mutating func readLead(of rule: Rule) -> (Int, Patterns)? {
        guard let leads = rule.match.leads, leads.count == 1, let (slot, patterns) = Self.slot(leads[0]) else { return nil }
        if let known = otherSlots.firstIndex(of: slot) { return (known, patterns) }
        otherSlots.append(slot)
        return (otherSlots.count - 1, patterns)
    }

    /// For each pattern of the conditions the keys that it can be found by; nil where one has none.
    private static func alternatives(_ conditions: [Condition]) -> [[Key]]? {
        var alternatives: [[Key]] = []
        for condition in conditions {
            guard let (slot, patterns) = slot(condition) else { return nil }
            for pattern in patterns.list {
                guard !pattern.edges.isEmpty else { return nil }
                alternatives.append(pattern.edges.map { Key(slot: slot, edge: $0) })
            }
        }
        return alternatives
    }

    private static func slot(_ condition: Condition) -> (Slot, Patterns)? {
        switch condition {
        case .tag(let patterns): (.tag, patterns)
        case .text(let field, let patterns): (.text(field.index), patterns)
        case .property(let test): if case .patterns(let patterns) = test.test { (.property(test.name), patterns) } else { nil }
        case .minSize, .maxSize, .createdWithin, .hidden: nil
        }
    }

    /// Rules that may match, in evaluation order, each once.
    func candidates(for image: ImageFacts) -> [Int] {
        var found = otherCandidates(for: image)
        let count = found.count
        if let known = slots[.tag] { for tag in image.tags { add(tag, .tag, known, &found) } }
        for field in TextField.allCases {
            guard let known = slots[.text(field.index)], let text = field.text(of: image) else { continue }
            add(text, .text(field.index), known, &found)
        }
        for (name, text) in image.properties {
            if let known = slots[.property(name)] { add(text, .property(name), known, &found) }
        }
        guard found.count > count else { return found }
        found.sort()
        var last = -1
        return found.filter { rule in
            defer { last = rule }
            return rule != last
        }
    }

    private func otherCandidates(for image: ImageFacts) -> [Int] {
        guard !others.isEmpty else { return [] }
        let subjects = otherSlots.map { slot in
            switch slot {
            case .tag: image.tags.map { Subject($0) }
            case .text(let index): TextField.allCases[index].text(of: image).map { [Subject($0)] } ?? []
            case .property(let name): image.properties[name].map { [Subject($0)] } ?? []
            }
        }.map { $0.filter { !$0.isTooLong } }
        var found: [Int] = []
        for other in others {
            guard let lead = other.lead else {
                found.append(other.rule)
                continue
            }
            for subject in subjects[lead.slot] where lead.patterns.firstMatch(subject) != nil {
                found.append(other.rule)
                break
            }
        }
        return found
    }

    private func add(_ text: String, _ slot: Slot, _ known: Known, _ found: inout [Int]) {
        let subject = Subject(text)
        guard !subject.isTooLong else { return }
        guard subject.isASCII else {
            found += known.rules
            return
        }
        for length in known.beginnings where length <= subject.bytes.count {
            if let rules = byEdge[Key(slot: slot, edge: .beginning(subject.bytes.prefix(length)))] { found += rules }
        }
        for length in known.ends where length <= subject.bytes.count {
            if let rules = byEdge[Key(slot: slot, edge: .end(subject.bytes.suffix(length)))] { found += rules }
        }
    }
}

extension RuleIndex.Known {
    fileprivate mutating func note(_ edge: Edge, of rule: Int) {
        switch edge {
        case .beginning(let bytes): if !beginnings.contains(bytes.count) { beginnings.append(bytes.count) }
        case .end(let bytes): if !ends.contains(bytes.count) { ends.append(bytes.count) }
        }
        if rules.last != rule { rules.append(rule) }
    }
}

extension Match {
    /// Conditions of which one must hold for the tree to hold; nil where there are no such.
    fileprivate var leads: [Condition]? {
        switch self {
        case .condition(let condition): [condition]
        case .all(let branches):
            branches.compactMap(\.leads).max { Match.selectivity($0) < Match.selectivity($1) }
        case .any(let branches, _):
            branches.reduce([]) { all, branch in
                guard let all, let leads = branch.leads else { return nil }
                return all + leads
            }
        case .not, .always: nil
        }
    }

    /// How few images the weakest of the conditions lets through, by kind; 0 where it has no edge to be found by.
    private static func selectivity(_ conditions: [Condition]) -> Int {
        conditions.map { condition in
            switch condition {
            case .text(.id, let patterns): patterns.haveEdges ? 6 : 0
            case .tag(let patterns): patterns.haveEdges ? 5 : 0
            case .text(.name, let patterns): patterns.haveEdges ? 4 : 0
            case .property(let test): if case .patterns(let patterns) = test.test, patterns.haveEdges { 3 } else { 0 }
            case .text(.role, let patterns), .text(.owner, let patterns): patterns.haveEdges ? 2 : 0
            case .text(_, let patterns): patterns.haveEdges ? 1 : 0
            case .minSize, .maxSize, .createdWithin, .hidden: 0
            }
        }.min() ?? 0
    }
}

extension Patterns {
    fileprivate var haveEdges: Bool { list.allSatisfy { !$0.edges.isEmpty } }
}
