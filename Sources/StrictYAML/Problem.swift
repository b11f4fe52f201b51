/// A place in an operator's file; line and column count from 1.
public struct Place: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var file: String
    public var line: Int
    public var column: Int

    public init(file: String, line: Int = 1, column: Int = 1) {
        self.file = file
        self.line = line
        self.column = column
    }

    public var description: String { "\(file):\(line):\(column)" }

    public static func < (left: Self, right: Self) -> Bool {
        (left.file, left.line, left.column) < (right.file, right.line, right.column)
    }
}

/// Something wrong in an operator's file, with its place and its remedy. Prints as compilers do: `rules/golden.yaml:12:9: unknown key …`.
public struct Problem: Error, Hashable, Sendable, Comparable, CustomStringConvertible {
    public var place: Place
    public var message: String

    public init(_ place: Place, _ message: String) {
        self.place = place
        self.message = message
    }

    public var description: String { "\(place): \(message)" }

    public static func < (left: Self, right: Self) -> Bool { (left.place, left.message) < (right.place, right.message) }
}

/// All problems of a set of files at once: reading goes on after each, so that an operator mends everything in one go.
public struct Problems: Error, Hashable, Sendable, CustomStringConvertible {
    public private(set) var list: [Problem] = []

    public init() {}
    public init(_ list: [Problem]) { self.list = list }

    public var isEmpty: Bool { list.isEmpty }

    public mutating func add(_ place: Place, _ message: String) { list.append(Problem(place, message)) }
    public mutating func add(contentsOf others: Problems) { list += others.list }

    public var description: String { list.sorted().map(\.description).joined(separator: "\n") }
}
