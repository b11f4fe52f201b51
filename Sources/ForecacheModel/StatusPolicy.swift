public import FoundationEssentials

/// `status`: how the operator's files stand; all nil before the first start of a service.
public struct StatusPolicy: Hashable, Sendable {
    public var state: ReloadReport.State?
    public var since: Date?
    /// Short digest of the set in force.
    public var set: String?
    /// Of the set that is not.
    public var changed: String?
    public var problems: [String]
    public var newPlacements: Int?
    public var removedPlacements: Int?
    public var maxNewPlacements: Int?
    public var atRestart: [String]

    public init(_ report: ReloadReport?) {
        state = report?.state
        since = report?.since
        set = report?.set
        changed = report?.changed
        problems = report?.problems ?? []
        newPlacements = report?.difference?.added
        removedPlacements = report?.difference?.removed
        maxNewPlacements = report?.maxNewPlacements
        atRestart = report?.atRestart ?? []
    }

    /// For people: `changed files are held for approval since …: …`.
    public var sentence: String {
        let when = since.map { " since \(RFC3339.text($0))" } ?? ""
        let why = problems.isEmpty ? "" : ": \(problems.prefix(5).map(\.printable).joined(separator: "; "))"
        switch state {
        case nil: return "no service has read the files yet"
        case .applied:
            let later = atRestart.isEmpty ? "" : "; takes effect at restart: \(atRestart.joined(separator: ", "))"
            return "the files are in force\(when)\(later)"
        case .refused: return "changed files have problems, the set before them is in force\(when)\(why)"
        case .held: return "changed files are held for approval, the set before them is in force\(when)\(why)"
        case .waiting: return "changed files are not in force yet\(when)\(why)"
        }
    }
}

extension StatusPolicy: Codable {
    enum CodingKeys: String, CodingKey {
        case state, since, set, changed, problems
        case newPlacements = "new_placements"
        case removedPlacements = "removed_placements"
        case maxNewPlacements = "max_new_placements"
        case atRestart = "at_restart"
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        state = try container.decode(ReloadReport.State?.self, forKey: .state)
        since = try container.decode(String?.self, forKey: .since).flatMap { RFC3339.date($0) }
        set = try container.decode(String?.self, forKey: .set)
        changed = try container.decode(String?.self, forKey: .changed)
        problems = try container.decode([String].self, forKey: .problems)
        newPlacements = try container.decode(Int?.self, forKey: .newPlacements)
        removedPlacements = try container.decode(Int?.self, forKey: .removedPlacements)
        maxNewPlacements = try container.decode(Int?.self, forKey: .maxNewPlacements)
        atRestart = try container.decode([String].self, forKey: .atRestart)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(state, forKey: .state)
        try container.encode(since.map(RFC3339.text), forKey: .since)
        try container.encode(set, forKey: .set)
        try container.encode(changed, forKey: .changed)
        try container.encode(problems, forKey: .problems)
        try container.encode(newPlacements, forKey: .newPlacements)
        try container.encode(removedPlacements, forKey: .removedPlacements)
        try container.encode(maxNewPlacements, forKey: .maxNewPlacements)
        try container.encode(atRestart, forKey: .atRestart)
    }
}
