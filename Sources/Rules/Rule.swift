public import ForecacheModel
import StrictYAML

/// One rule as read from a file: which images, where to, how. An immutable class, because decisions walk over thousands of rules and one reference is
/// cheaper to pass on than a dozen.
public final class Rule: Sendable {
    /// Unique over all files.
    public let name: String
    public let mode: RuleMode
    /// 0…100, higher first.
    public let priority: Int
    /// What it leaves out is the site's.
    public let deliver: DeliverySettings
    /// Nil leaves it to the host.
    public let ttlSeconds: Int?
    /// For how long an image is wanted after it began to match; nil: as long as it matches.
    public let forSeconds: Int?
    /// Which of the images that match are wanted; nil: all.
    let select: Select?
    /// Where the rule begins; line 1-based.
    public var file: String { place.file }
    public var line: Int { place.line }

    let place: Place
    let match: Match
    let targets: Targets
    /// The text of match and targets without layout, to find rules that say the same.
    let fingerprint: String
    /// Of targets alone; empty where there are none.
    let targetsText: String

    init(
        name: String, mode: RuleMode, priority: Int, deliver: DeliverySettings, ttlSeconds: Int?, forSeconds: Int?, select: Select?,
        place: Place, match: Match, targets: Targets, matchText: String, targetsText: String
    ) {
        self.name = name
        self.mode = mode
        self.priority = priority
        self.deliver = deliver
        self.ttlSeconds = ttlSeconds
        self.forSeconds = forSeconds
        self.select = select
        self.place = place
        self.match = match
        self.targets = targets
        self.fingerprint = matchText + " " + targetsText
        self.targetsText = targetsText
    }
}

/// A condition tree. Empty lists do not occur: the reader refuses them.
indirect enum Match: Sendable {
    /// `captures`: some branch captures names, so that all branches are looked at.
    case all([Match])
    case any([Match], captures: Bool)
    case not(Match)
    case always
    case condition(Condition)

    var captures: Set<Capture> {
        switch self {
        case .all(let branches), .any(let branches, _): branches.reduce(into: []) { $0.formUnion($1.captures) }
        case .not, .always: []
        case .condition(let condition): condition.captures
        }
    }
}

/// One comparison with an image.
enum Condition: Sendable {
    case tag(Patterns)
    case text(TextField, Patterns)
    case property(PropertyTest)
    /// Bytes, and the operator's own way to write them.
    case minSize(Int64, written: String)
    case maxSize(Int64, written: String)
    case createdWithin(seconds: Int, written: String)
    case hidden(Bool)

    var captures: Set<Capture> { patterns?.captures ?? [] }

    var patterns: Patterns? {
        switch self {
        case .tag(let patterns), .text(_, let patterns): patterns
        case .property(let test): test.patterns
        case .minSize, .maxSize, .createdWithin, .hidden: nil
        }
    }
}

/// The texts of an image that every image has at most one of. Raw values are the words of rule files.
enum TextField: String, Sendable, CaseIterable {
    case name, visibility, owner, id, status
    case diskFormat = "disk_format"
    case containerFormat = "container_format"
    /// The image property `role`.
    case role

    /// Place in `allCases`.
    var index: Int {
        switch self {
        case .name: 0
        case .visibility: 1
        case .owner: 2
        case .id: 3
        case .status: 4
        case .diskFormat: 5
        case .containerFormat: 6
        case .role: 7
        }
    }

    /// How reasons name it.
    var label: String {
        switch self {
        case .role: "property \"role\""
        case .name, .visibility, .owner, .id, .status, .diskFormat, .containerFormat: rawValue
        }
    }

    func text(of image: ImageFacts) -> String? {
        switch self {
        case .name: image.name
        case .visibility: image.visibility
        case .owner: image.owner
        case .id: image.id.text
        case .status: image.status.rawValue
        case .diskFormat: image.diskFormat
        case .containerFormat: image.containerFormat
        case .role: image.properties["role"]
        }
    }
}

/// What a custom property is compared with.
final class PropertyTest: Sendable {
    let name: String
    let test: Test

    init(name: String, test: Test) {
        self.name = name
        self.test = test
    }

    enum Test: Sendable {
        case exists(Bool)
        case patterns(Patterns)
        case min(Double, written: String)
        case max(Double, written: String)
        case version(VersionRange)
    }

    var patterns: Patterns? {
        switch test {
        case .patterns(let patterns): patterns
        case .exists, .min, .max, .version: nil
        }
    }
}
