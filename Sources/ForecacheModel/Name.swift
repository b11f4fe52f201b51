/// A name that means one kind of thing: the compiler keeps a site's name from being passed as a host's.
public struct Name<Subject>: RawRepresentable, Hashable, Comparable, Sendable {
    public let rawValue: String

    public init(rawValue: String) { self.rawValue = rawValue }
    public init(_ rawValue: String) { self.rawValue = rawValue }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension Name: CustomStringConvertible {
    public var description: String { rawValue }
}

extension Name: ExpressibleByStringLiteral {
    public init(stringLiteral value: String) { self.init(rawValue: value) }
}

extension Name: Codable {
    public init(from decoder: any Decoder) throws { self.init(rawValue: try decoder.singleValueContainer().decode(String.self)) }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

/// A set of compute nodes behind one WAN link: a TripleO stack, an availability zone, a cell.
public typealias SiteName = Name<Site>
/// The compute role of a node: `Compute`, `ComputeSite1`, …
public typealias RoleName = Name<Role>
/// The inventory's name of one compute node.
public typealias HostName = Name<Host>

/// Gives `RoleName` its meaning; a role has no properties of its own.
public enum Role: Sendable {}
