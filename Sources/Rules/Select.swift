public import ForecacheModel
public import FoundationEssentials

/// `select:` of a rule: the newest few of each group of images that match.
struct Select: Sendable {
    let newest: Int
    /// Empty: all images that match are one group.
    let groupBy: [GroupKey]
    let orderBy: Order

    enum GroupKey: Hashable, Sendable {
        case field(TextField)
        case property(String)

        func text(of image: ImageFacts) -> String? {
            switch self {
            case .field(let field): field.text(of: image)
            case .property(let name): image.properties[name]
            }
        }

        var said: String {
            switch self {
            case .field(let field): field.label
            case .property(let name): "property \(Quoted.text(name))"
            }
        }
    }

    enum Order: Hashable, Sendable {
        case createdAt
        case updatedAt
        /// As a version. Images without the property come last, and `created_at` decides between equals.
        case property(String)

        var said: String {
            switch self {
            case .createdAt: "created_at"
            case .updatedAt: "updated_at"
            case .property(let name): "property \(Quoted.text(name))"
            }
        }
    }

    func group(of image: ImageFacts) -> Group { Group(values: groupBy.map { $0.text(of: image) }) }

    func rank(of image: ImageFacts) -> Rank {
        switch orderBy {
        case .createdAt: Rank(version: nil, date: image.createdAt, id: image.id)
        case .updatedAt: Rank(version: nil, date: image.updatedAt, id: image.id)
        case .property(let name):
            // A tenant's text of any length: what is too long to be a version is none.
            Rank(
                version: image.properties[name].flatMap { $0.utf8.count <= Bounds.capturedSubjectBytes ? Version($0) : nil },
                date: image.createdAt, id: image.id)
        }
    }

    /// `the newest 2 of property "os_distro" "ubuntu" by created_at`.
    func said(_ group: Group) -> String {
        let values = zip(groupBy, group.values).map { key, value in
            value.map { "\(key.said) \(Quoted.text($0))" } ?? "no \(key.said)"
        }
        let count = newest == 1 ? "the newest" : "the newest \(newest)"
        return "\(count) of \(values.isEmpty ? "all that match" : values.joined(separator: ", ")) by \(orderBy.said)"
    }

    struct Group: Hashable, Sendable {
        var values: [String?]
    }

    /// Greater is newer.
    struct Rank: Comparable, Sendable {
        var version: Version?
        var date: Date
        var id: ImageID

        static func < (left: Rank, right: Rank) -> Bool {
            switch (left.version, right.version) {
            case (nil, _?): return true
            case (_?, nil): return false
            case (let one?, let other?) where one != other: return one < other
            case (_?, _?), (nil, nil): return (left.date, left.id) < (right.date, right.id)
            }
        }
    }
}

/// The images that compete under the `select:` of rules, of which each rule takes the newest few. Empty for rules without `select:`. Pure: it is told of images
/// and answers which others gained or lost by it, because those have to be decided again.
public struct Rivals: Sendable {
    private let rules: [Rule]
    private let now: Date
    /// By the rule's place in `rules`, newest first.
    private var groups: [[Select.Group: [Rival]]]
    private var places: [ImageID: [Place]] = [:]

    private struct Rival: Sendable {
        var rank: Select.Rank
        var name: String
    }

    private struct Place: Hashable, Sendable {
        var rule: Int
        var group: Select.Group
    }

    /// `images`: all that Glance has. `now` is what `created_within` counts from.
    public init(_ rules: RuleSet, among images: [ImageFacts] = [], now: Date) {
        self.rules = rules.selecting
        self.now = now
        self.groups = Array(repeating: [:], count: self.rules.count)
        guard !self.rules.isEmpty else { return }
        for image in images { enter(image) { $0.append($1) } }
        for rule in groups.indices {
            for group in groups[rule].keys { groups[rule][group]?.sort { $0.rank > $1.rank } }
        }
    }

    /// Whether these are the rivals of this very rule set.
    public func belong(to rules: RuleSet) -> Bool { rules.selecting.elementsEqual(self.rules, by: ===) }

    /// True where no rule selects: then there is nothing to be told of.
    public var isIdle: Bool { rules.isEmpty }

    /// An image as it is now. The other images whose place among the newest it took or gave free.
    public mutating func note(_ image: ImageFacts) -> Set<ImageID> {
        guard !rules.isEmpty else { return [] }
        let old = places[image.id] ?? []
        let before = old.map { winners(at: $0) }
        remove(image.id)
        enter(image) { list, rival in
            list.insert(rival, at: list.firstIndex { $0.rank < rival.rank } ?? list.endIndex)
        }
        var changed: Set<ImageID> = []
        for (place, winners) in zip(old, before) { changed.formUnion(winners.symmetricDifference(self.winners(at: place))) }
        for place in places[image.id] ?? [] where !old.contains(place) {
            changed.formUnion(winners(at: place, without: image.id).symmetricDifference(winners(at: place)))
        }
        return changed.subtracting([image.id])
    }

    /// An image that is gone. The other images that gained by it.
    public mutating func forget(_ id: ImageID) -> Set<ImageID> {
        let old = places[id] ?? []
        let before = old.map { winners(at: $0) }
        remove(id)
        return zip(old, before).reduce(into: []) { $0.formUnion(winners(at: $1.0).subtracting($1.1)) }
    }

    /// Names of the images that keep this one out; nil where it is among the newest.
    func newer(than image: ImageFacts, of rule: Rule) -> [String]? {
        guard let select = rule.select else { return nil }
        let index = rules.firstIndex { $0 === rule }
        let rank = select.rank(of: image)
        let list = index.flatMap { groups[$0][select.group(of: image)] } ?? []
        let newer = list.lazy.filter { $0.rank > rank && $0.rank.id != image.id }.prefix(select.newest)
        return newer.count < select.newest ? nil : newer.map(\.name)
    }

    private mutating func enter(_ image: ImageFacts, _ insert: (inout [Rival], Rival) -> Void) {
        guard image.status == .active else { return }
        var evaluation = Evaluation(image, now: now)
        for (index, rule) in rules.enumerated() where evaluation.word(on: rule.match).holds == true {
            guard let select = rule.select else { continue }
            let group = select.group(of: image)
            insert(&groups[index][group, default: []], Rival(rank: select.rank(of: image), name: image.name))
            places[image.id, default: []].append(Place(rule: index, group: group))
        }
    }

    private mutating func remove(_ id: ImageID) {
        for place in places.removeValue(forKey: id) ?? [] {
            groups[place.rule][place.group]?.removeAll { $0.rank.id == id }
            if groups[place.rule][place.group]?.isEmpty == true { groups[place.rule][place.group] = nil }
        }
    }

    private func winners(at place: Place, without id: ImageID? = nil) -> Set<ImageID> {
        let list = groups[place.rule][place.group] ?? []
        return Set(list.lazy.filter { $0.rank.id != id }.prefix(rules[place.rule].select?.newest ?? 0).map(\.rank.id))
    }
}
