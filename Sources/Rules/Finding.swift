/// What one part of a rule's `match` says about an image, with the value that was compared. The whole tree is what `explain` prints.
public struct Finding: Hashable, Sendable, Encodable {
    public enum Part: String, Hashable, Sendable, Encodable {
        case all, any, not, condition
    }

    public var part: Part
    /// Nil where a value was too long to be compared: then it holds neither by itself nor under `not`.
    public var holds: Bool?
    /// The sentence of a condition: `name "cirros" does not match glob "rhel-*"`. Of `all`: why it fails though each of its parts holds. Else empty.
    public var text: String
    public var parts: [Finding]

    init(_ part: Part, _ holds: Bool?, _ text: String = "", parts: [Finding] = []) {
        self.part = part
        self.holds = holds
        self.text = text
        self.parts = parts
    }

    /// The sentences that decided: all that hold of what holds, the first failure of `all`, every failure of `any`.
    var reasons: [String] {
        switch part {
        case .condition: return [text]
        case .not: return parts.flatMap(\.reasons)
        case .all:
            guard holds == false else { return parts.filter { $0.holds == holds }.flatMap(\.reasons) }
            return parts.first { $0.holds == false }?.reasons ?? [text]
        case .any:
            // Without captures the first branch that holds decides; the evaluation tells of the others, too, so that a tree is complete.
            guard holds == true, !countsAllBranches else { return parts.filter { $0.holds == holds }.flatMap(\.reasons) }
            return parts.first { $0.holds == true }?.reasons ?? []
        }
    }

    /// Whether every branch of `any` that holds adds to what is wanted.
    var countsAllBranches = false

    private enum CodingKeys: CodingKey { case part, holds, text, parts }
}
