/// The patterns that rules hold against one text of an image, found by what the text begins or ends with.
struct TextIndex: Sendable {
    private var entries: [(pattern: Pattern, clause: RuleIndex.Clause)] = []
    private var byEdge: [Edge: [RuleIndex.Clause]] = [:]
    /// How long the edges are.
    private var beginnings: [Int] = []
    private var ends: [Int] = []
    /// Patterns with a wildcard at either end: they are tried one by one.
    private var open: [Open] = []

    private struct Open {
        var clause: RuleIndex.Clause
        var pairs: BytePairs
        var pattern: Pattern
    }

    var isEmpty: Bool { entries.isEmpty }
    var isOpen: Bool { !open.isEmpty }

    mutating func add(_ patterns: Patterns, _ clause: RuleIndex.Clause) {
        for pattern in patterns.list { entries.append((pattern, clause)) }
    }

    /// After the last `add`. Takes the clauses that an open pattern may meet from `firm`, which has the bits of each rule.
    mutating func settle(_ firm: inout [UInt32]) {
        var shares: [Edge: Int] = [:]
        for entry in entries { for edge in entry.pattern.edges { shares[edge, default: 0] += 1 } }
        for (pattern, clause) in entries {
            // Of `ubuntu-*-arm64` the end is the better choice where all rules begin with `ubuntu-`.
            guard let edge = pattern.edges.min(by: { shares[$0, default: 0] < shares[$1, default: 0] }) else {
                open.append(Open(clause: clause, pairs: pattern.pairs, pattern: pattern))
                firm[clause.rule] &= ~clause.bit
                continue
            }
            byEdge[edge, default: []].append(clause)
            switch edge {
            case .beginning(let bytes): if !beginnings.contains(bytes.count) { beginnings.append(bytes.count) }
            case .end(let bytes): if !ends.contains(bytes.count) { ends.append(bytes.count) }
            }
        }
    }

    /// Notes in `met` the clauses that a text may meet, but for those of open patterns.
    func meet(_ subject: Subject, _ met: inout [UInt32]) {
        guard !subject.isTooLong else { return }
        guard subject.isASCII else {
            // It may equal an edge in other bytes.
            for entry in entries { met[entry.clause.rule] |= entry.clause.bit }
            return
        }
        for length in beginnings where length <= subject.bytes.count {
            for clause in byEdge[.beginning(subject.bytes.prefix(length))] ?? [] { met[clause.rule] |= clause.bit }
        }
        for length in ends where length <= subject.bytes.count {
            for clause in byEdge[.end(subject.bytes.suffix(length))] ?? [] { met[clause.rule] |= clause.bit }
        }
    }

    /// Notes those of open patterns, where `met` has the rule's `firm` clauses already.
    func tryOpen(_ subject: Subject, firm: [UInt32], _ met: inout [UInt32]) {
        guard !subject.isTooLong, subject.isASCII else { return }
        for index in open.indices where open[index].pairs.isSubset(of: subject.pairs) {
            let clause = open[index].clause
            guard met[clause.rule] & firm[clause.rule] == firm[clause.rule], met[clause.rule] & clause.bit == 0 else { continue }
            if open[index].pattern.matches(subject) { met[clause.rule] |= clause.bit }
        }
    }
}
