public import ForecacheModel
public import FoundationEssentials
public import Rules

/// Which images compete under the `select:` of rules, as Glance has them: one book for all decisions, because a decision on one image hangs on the others.
/// It begins with a list of all images and is told of every image that is looked at after that. Costs nothing where no rule selects.
public actor RivalBook {
    private let catalog: any ImageCatalog
    private var rivals: Rivals?
    /// Lists under way, and what was told while they were: the list may be older.
    private var listings = 0
    private var told: [(id: ImageID, facts: ImageFacts?)] = []
    /// Who waits for a list under way instead of asking for one more.
    private var waiting: [CheckedContinuation<Void, Never>] = []

    public init(catalog: any ImageCatalog) { self.catalog = catalog }

    /// All images of Glance; the book begins anew with them.
    public func list(for rules: RuleSet, at now: Date) async throws(Failure) -> (images: [ImageFacts], rivals: Rivals) {
        listings += 1
        defer {
            listings -= 1
            if listings == 0 { told = [] }
            for waiter in waiting { waiter.resume() }
            waiting = []
        }
        let start = told.count
        let images = try await catalog.images(named: nil)
        var fresh = Rivals(rules, among: images, now: now)
        for (id, facts) in told[start...] {
            if let facts { _ = fresh.note(facts) } else { _ = fresh.forget(id) }
        }
        rivals = fresh
        return (images, fresh)
    }

    /// The rivals with `facts` among them, and the images that gained or lost a place by it: they have to be decided again.
    public func note(_ facts: ImageFacts, for rules: RuleSet, at now: Date) async throws(Failure) -> (rivals: Rivals, changed: Set<ImageID>)
    {
        while listings > 0, rivals?.belong(to: rules) != true { await withCheckedContinuation { waiting.append($0) } }
        if rivals?.belong(to: rules) != true {
            rivals = rules.selects ? try await list(for: rules, at: now).rivals : Rivals(rules, now: now)
        }
        if listings > 0 { told.append((facts.id, facts)) }
        // In place: a second copy of the book would cost its whole size with every event.
        let changed = rivals?.note(facts) ?? []
        return (rivals ?? Rivals(rules, now: now), changed)
    }

    /// An image that is gone from Glance; the images that gained a place by it.
    public func forget(_ id: ImageID) -> Set<ImageID> {
        if listings > 0 { told.append((id, nil)) }
        return rivals?.forget(id) ?? []
    }
}
