public import FoundationEssentials

/// `status`: how the operator's files stand; all nil before the first start of a service.
public struct StatusPolicy: Hashable, Sendable, Encodable {
    @OrNull public var state: ReloadReport.State?
    @OrNull public var since: Date?
    /// Short digest of the set in force.
    @OrNull public var set: String?
    /// Of the set that is not.
    @OrNull public var changed: String?
    public var problems: [String]
    @OrNull public var newPlacements: Int?
    @OrNull public var removedPlacements: Int?
    @OrNull public var maxNewPlacements: Int?
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
