/// The ranges that rules hold against one value of an image, found by their lower ends.
struct RangeIndex<Value: Comparable & Sendable>: Sendable {
    private var entries: [Entry] = []

    private struct Entry {
        var least: Value?
        var most: Value?
        var clause: RuleIndex.Clause
    }

    var isEmpty: Bool { entries.isEmpty }

    /// Both ends belong to the range; nil is open.
    mutating func add(_ least: Value?, _ most: Value?, _ clause: RuleIndex.Clause) {
        entries.append(Entry(least: least, most: most, clause: clause))
    }

    /// After the last `add`.
    mutating func settle() {
        entries.sort { left, right in
            guard let other = right.least else { return false }
            return left.least.map { $0 < other } ?? true
        }
    }

    /// Notes in `met` the clauses of the ranges that hold a value.
    func meet(_ value: Value, _ met: inout [UInt32]) {
        for index in 0..<end(of: value) {
            if let most = entries[index].most, most < value { continue }
            met[entries[index].clause.rule] |= entries[index].clause.bit
        }
    }

    /// Where the ranges begin that lie above the value.
    private func end(of value: Value) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if let least = entries[middle].least, value < least { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
