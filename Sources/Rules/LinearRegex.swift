/// A regular expression that is looked for anywhere in a text (`^` and `$` tie it to the ends), in time proportional to the text.
///
/// Swift's own `Regex` backtracks, and tenants choose the texts: `^a.*b.*c.*d$` on a property of 4 KiB would hold the engine for hours. So all states are
/// followed at once (Thompson's construction). Back-references and look-around do not exist in this form and are refused when the rules are read.
final class LinearRegex: Sendable {
    enum Instruction: Hashable, Sendable {
        /// One scalar of `sets[index]`.
        case scalar(Int)
        case split(Int, Int)
        case jump(Int)
        case start
        case end
        case wordBoundary
        case found
    }

    struct ScalarSet: Hashable, Sendable {
        var ranges: [ClosedRange<UInt32>]
        var isNegated = false

        func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } != isNegated }
    }

    let source: String
    private let instructions: [Instruction]
    private let sets: [ScalarSet]
    private let ignoresCase: Bool

    init(_ source: String) throws(PatternError) {
        var reader = RegexReader(source)
        let node = try reader.read()
        var compiler = RegexCompiler()
        try compiler.emit(node)
        compiler.instructions.append(.found)
        self.source = source
        self.instructions = compiler.instructions
        self.sets = compiler.sets
        self.ignoresCase = reader.ignoresCase
    }

    func isFound(in text: String, steps: inout Int) -> Bool {
        let scalars = text.unicodeScalars.map(\.value)
        var current = StateList(capacity: instructions.count)
        var next = StateList(capacity: instructions.count)
        for position in 0...scalars.count {
            if follow(0, at: position, in: scalars, into: &current, &steps) { return true }
            guard position < scalars.count else { break }
            for state in current.states {
                steps += 1
                guard case .scalar(let set) = instructions[state], contains(sets[set], scalars[position]) else { continue }
                if follow(state + 1, at: position + 1, in: scalars, into: &next, &steps) { return true }
            }
            if isTiedToStart, next.states.isEmpty { return false }
            swap(&current, &next)
            next.removeAll()
        }
        return false
    }

    /// The plain ASCII characters after a leading `^`, and before a closing `$`.
    var edges: [Edge] { ignoresCase ? [] : Edge.list(beginning: isTiedToStart ? beginning : [], end: end) }

    private var beginning: [UInt8] {
        Array(instructions.dropFirst().lazy.map { self.plainByte($0) }.prefix { $0 != nil }.compactMap { $0 })
    }

    /// Walks back from the end as long as nothing jumps in between.
    private var end: [UInt8] {
        let last = instructions.count - 2
        var targets: Set<Int> = []
        for instruction in instructions {
            switch instruction {
            case .split(let first, let second): targets.formUnion([first, second])
            case .jump(let target): targets.insert(target)
            case .scalar, .start, .end, .wordBoundary, .found: break
            }
        }
        guard last > 0, instructions[last] == .end, !targets.contains(last), !targets.contains(last + 1) else { return [] }
        var bytes: [UInt8] = []
        var position = last - 1
        while position >= 0, let byte = plainByte(instructions[position]) {
            bytes.append(byte)
            if targets.contains(position) { break }
            position -= 1
        }
        return bytes.reversed()
    }

    private func plainByte(_ instruction: Instruction) -> UInt8? {
        guard case .scalar(let set) = instruction, !sets[set].isNegated, sets[set].ranges.count == 1, let range = sets[set].ranges.first,
            range.count == 1, range.lowerBound < 0x80
        else { return nil }
        return UInt8(range.lowerBound)
    }

    private var isTiedToStart: Bool { instructions[0] == .start }

    /// Adds `state` and all that is reached from it without reading a scalar; true where the end of the pattern is among them.
    private func follow(_ state: Int, at position: Int, in scalars: [UInt32], into list: inout StateList, _ steps: inout Int) -> Bool {
        list.open.append(state)
        while let state = list.open.popLast() {
            steps += 1
            guard list.insert(state) else { continue }
            switch instructions[state] {
            case .scalar: break
            case .split(let first, let second):
                list.open.append(second)
                list.open.append(first)
            case .jump(let target): list.open.append(target)
            case .start: if position == 0 { list.open.append(state + 1) }
            case .end: if position == scalars.count { list.open.append(state + 1) }
            case .wordBoundary:
                let before = position > 0 && Self.word.contains(scalars[position - 1])
                let after = position < scalars.count && Self.word.contains(scalars[position])
                if before != after { list.open.append(state + 1) }
            case .found: return true
            }
        }
        return false
    }

    private func contains(_ set: ScalarSet, _ scalar: UInt32) -> Bool {
        guard ignoresCase, let unicode = Unicode.Scalar(scalar) else { return set.contains(scalar) }
        let folded = [unicode.properties.lowercaseMapping, unicode.properties.uppercaseMapping].compactMap { mapping in
            mapping.unicodeScalars.count == 1 ? mapping.unicodeScalars.first?.value : nil
        }
        let hits = ScalarSet(ranges: set.ranges)
        return ([scalar] + folded).contains(where: hits.contains) != set.isNegated
    }

    static let digit = ScalarSet(ranges: [48...57])
    static let word = ScalarSet(ranges: [48...57, 65...90, 95...95, 97...122])
    static let space = ScalarSet(ranges: [9...13, 32...32])
    static let notNewline = ScalarSet(ranges: [10...10], isNegated: true)
}

/// A set of instruction numbers in order of insertion.
private struct StateList {
    private(set) var states: [Int] = []
    /// States still to be followed; empty between two follows.
    var open: [Int] = []
    private var isIn: [Bool]

    init(capacity: Int) { isIn = Array(repeating: false, count: capacity) }

    mutating func insert(_ state: Int) -> Bool {
        guard !isIn[state] else { return false }
        isIn[state] = true
        states.append(state)
        return true
    }

    mutating func removeAll() {
        for state in states { isIn[state] = false }
        states.removeAll(keepingCapacity: true)
    }
}

/// Turns the tree of a pattern into instructions.
private struct RegexCompiler {
    /// Counted repeats are written out; this bounds what nested ones grow to, and with it the time for one character of text.
    static let mostInstructions = 1000

    var instructions: [LinearRegex.Instruction] = []
    var sets: [LinearRegex.ScalarSet] = []
    private var visits = 0

    mutating func emit(_ node: RegexNode) throws(PatternError) {
        visits += 1
        guard instructions.count < Self.mostInstructions, visits <= 10 * Self.mostInstructions else {
            throw PatternError("repeats too much; lower the counts in {…}")
        }
        switch node {
        case .scalar(let set):
            instructions.append(.scalar(sets.count))
            sets.append(set)
        case .start: instructions.append(.start)
        case .end: instructions.append(.end)
        case .wordBoundary: instructions.append(.wordBoundary)
        case .sequence(let nodes): for node in nodes { try emit(node) }
        case .choice(let branches): try emitChoice(branches)
        case .repeated(let node, let least, let most):
            for _ in 0..<least { try emit(node) }
            if let most { try emitOptional(node, times: most - least) } else { try emitLoop(node) }
        }
    }

    private mutating func emitChoice(_ branches: [RegexNode]) throws(PatternError) {
        var jumps: [Int] = []
        for branch in branches.dropLast() {
            let split = instructions.count
            instructions.append(.split(split + 1, split + 1))
            try emit(branch)
            jumps.append(instructions.count)
            instructions.append(.jump(0))
            instructions[split] = .split(split + 1, instructions.count)
        }
        if let last = branches.last { try emit(last) }
        for jump in jumps { instructions[jump] = .jump(instructions.count) }
    }

    private mutating func emitOptional(_ node: RegexNode, times: Int) throws(PatternError) {
        var splits: [Int] = []
        for _ in 0..<times {
            splits.append(instructions.count)
            instructions.append(.split(0, 0))
            try emit(node)
        }
        for split in splits { instructions[split] = .split(split + 1, instructions.count) }
    }

    private mutating func emitLoop(_ node: RegexNode) throws(PatternError) {
        let split = instructions.count
        instructions.append(.split(0, 0))
        try emit(node)
        instructions.append(.jump(split))
        instructions[split] = .split(split + 1, instructions.count)
    }
}
