public import ForecacheModel

/// Who copies from whom while one image spreads over one site: the decisions of `via: relay`, and nothing else.
///
/// One host, the seed, fetches from Glance; every other host copies from its parent *while that one is still receiving*, and goes on at the byte it has
/// reached from another source where its parent dies, stands still, is slow or serves wrong bytes. Where the seed is lost, the host with the most bytes becomes
/// the seed. Inputs tell what happened, in the past tense; the actions are to be obeyed, and each of them is answered by an input.
///
/// Forks bound the hosts at work in all. A host asks for its place only once somebody serves it, whoever is to fetch is chosen among those that have a
/// place, and where it has none yet, those that have nothing to do give theirs back. So hosts that wait hold no place that somebody else needs, here or in
/// another relay: a site with more hosts than forks is served in waves.
///
/// Times are seconds on a clock of the caller's own.
public struct Relay: Sendable {
    public enum Source: Hashable, Sendable {
        case glance
        case host(HostName)
    }

    public enum Input: Hashable, Sendable {
        /// The host has its place: its own turn and the forks.
        case entered(HostName)
        /// Its fetch waits for others that fetch at the site's limited rate, and is no further than that; `proceeds` once it may.
        case waits(HostName)
        case proceeds(HostName)
        /// Its temporary exists and holds so many bytes: others may follow it.
        case began(HostName, bytes: Int64)
        case progressed(HostName, bytes: Int64)
        /// All bytes are in its temporary.
        case received(HostName)
        /// Its base file was there already, made by somebody else.
        case found(HostName)
        /// The bytes were verified, and its base file is there.
        case published(HostName)
        /// Its transfer or publication failed, or it could not get its place.
        case failed(HostName, Failure)
        /// Bytes may not cross the WAN any longer; its fetch ended for that reason.
        case closed(HostName, Failure)
        /// Its transfer ended because it was told to.
        case abandoned(HostName)
        /// Some time went by; expected every half second.
        case tick
    }

    public enum Action: Hashable, Sendable {
        /// Give the host its place: `entered`, or `failed`.
        case enter(HostName)
        /// Begin a transfer: `began`, then `received`, `found`, `failed` or `closed`. `isGrowing`: the source has not published yet.
        case transfer(HostName, from: Source, isGrowing: Bool)
        /// End the running transfer: `abandoned`, or how it had ended by then.
        case abandon(HostName)
        /// Verify and publish: `published` or `failed`.
        case publish(HostName)
        /// The host gives up its place: it is done, or waits as before it entered.
        case leave(HostName)
        /// The host is done for, and gives up its place if it has one.
        case giveUp(HostName, Failure)
    }

    public struct Member: Hashable, Sendable {
        public var host: HostName
        /// In order of choice, the parent first. Empty: it fetches from Glance.
        public var choices: [HostName]
        /// Whether it may fetch from Glance when it finds no other way.
        public var fallsBackToGlance: Bool
        /// Whether it can copy from others at all.
        public var canCopy: Bool
        /// Whether others can copy from it.
        public var canServe: Bool
        /// True where its base file, with the image's own bytes, is there from the beginning: it only serves.
        public var isHolder: Bool

        public init(
            _ host: HostName, choices: [HostName], fallsBackToGlance: Bool = true, canCopy: Bool = true, canServe: Bool = true,
            isHolder: Bool = false
        ) {
            self.host = host
            self.choices = choices
            self.fallsBackToGlance = fallsBackToGlance
            self.canCopy = canCopy
            self.canServe = canServe
            self.isHolder = isHolder
        }
    }

    /// What is measured, in seconds and bytes, and why.
    public struct Patience: Hashable, Sendable {
        /// A follower that received nothing for so long, while others have more, leaves its source. Progress is told once a second. Each time it has done so,
        /// it takes twice as long: where all hosts are busy, everybody who leaves and logs in anew makes them busier.
        public var stalledSeconds = 3.0
        /// The same before the first byte: logging in and starting a copy take their time on a busy host, and those that cannot be reached fail by themselves.
        public var startSeconds = 10.0
        /// Rates are compared over so long a time.
        public var rateSeconds = 4.0
        /// A seed that is not heard of for so long is replaced.
        public var silentSeconds = 6.0
        /// A seed that is heard of, but receives nothing for so long, is replaced: Glance or its way to it may be at fault, and then the next is no better.
        public var stuckSeconds = 12.0
        /// A host waits so long for its parent to have bytes before it takes another source.
        public var parentSeconds = 10.0
        /// A source that failed or was too slow is not asked again by the same host for so long.
        public var shunnedSeconds = 30.0
        /// Where there is no other, it is asked again after so long: what made it fail is likely to be known by then.
        public var forgivenSeconds = 3.0
        /// A host without any source goes to Glance itself after so long.
        public var lonelySeconds = 15.0
        /// After a host left its source for being slow, the next one may do so after a second, and each further one after twice as long, up to this: where the LAN or
        /// the hosts' processors are what is short, a move costs a log-in and a digest begun anew, and mends nothing. After as long a calm it is a second again.
        public var slowMoveSeconds = 60.0
        /// Less than that is no reason to move.
        public var leadBytes: Int64 = 4 << 20
        /// Lengths are up to a second old: a source that seems to be behind by less than that, or by two seconds at its own rate, need not be.
        public var slackBytes: Int64 = 32 << 20

        public init() {}
    }

    public static let defaultFanOut = RelayTree.defaultFanOut

    let bytes: Int64
    let fanOut: Int
    let forks: Int
    let patience: Patience
    /// In the plan's order: parents before children.
    var nodes: [RelayNode]
    let places: [HostName: Int]
    /// Who fetches for the others.
    var seed: Int?
    /// Seeds replaced because nothing came: a Glance that hangs must not send the job around for ever.
    var seedSwitches = 0
    /// Fetches by seeds that failed one after the other without a byte, and when the next may begin.
    var glanceFailures = 0
    var glancePausedUntil = -Double.infinity
    /// When a host may leave its source for being slow, and how long the others must then wait.
    var nextSlowMove = -Double.infinity
    var slowMovePause = 1.0
    /// Hosts that received bytes from nobody but Glance, and found them wrong.
    var glanceWasWrong = 0
    /// Set when Glance is asked no more, for this reason.
    var glanceIsOut: Failure?
    private var began: Double?
    private var lastInput = 0.0
    private var skipped = 0.0

    /// `members` in the plan's order, holders included. `forks`: hosts at work at once.
    public init(members: [Member], bytes: Int64, fanOut: Int, forks: Int, patience: Patience = Patience()) {
        self.bytes = bytes
        self.fanOut = max(1, fanOut)
        self.forks = max(1, forks)
        self.patience = patience
        places = Dictionary(members.enumerated().map { ($1.host, $0) }) { first, _ in first }
        let places = places
        nodes = members.map { RelayNode($0, choices: $0.choices.compactMap { places[$0] }, bytes: bytes) }
        seed = nodes.firstIndex { $0.fetchesItself && $0.member.canServe }
    }

    /// True once no host is left to wait for.
    public var isOver: Bool { nodes.allSatisfy(\.isEnded) }

    public mutating func begin(at time: Double) -> [Action] { take(.tick, at: time) }

    public mutating func take(_ input: Input, at time: Double) -> [Action] {
        let now = moment(time)
        let isRoutine = isRoutine(input)
        var actions = apply(input, at: now)
        if isRoutine { return actions }
        if input == .tick { actions += leaveBadSources(at: now) }
        return actions + decide(at: now)
    }

    /// Progress changes nothing at once, but for a host's first bytes: others wait for them.
    private func isRoutine(_ input: Input) -> Bool {
        if case .progressed(let host, _) = input, let index = places[host] { nodes[index].bytes > 0 } else { false }
    }

    /// A controller that stood still for longer than its own ticks learns nothing from the gap: it is cut out.
    private mutating func moment(_ time: Double) -> Double {
        if began == nil { (began, lastInput) = (time, time) }
        let gap = time - lastInput
        if gap > 5 { skipped += gap - 0.5 }
        if gap < 0 { skipped += gap }
        lastInput = time
        return time - skipped
    }

    // MARK: - What happened

    private mutating func apply(_ input: Input, at now: Double) -> [Action] {
        switch input {
        case .entered(let host): update(host) { if $0.state == .entering { $0.state = .idle(until: now) } }
        case .waits(let host): update(host) { $0.isInLine = true }
        case .proceeds(let host): update(host) { $0.proceeds(at: now) }
        case .began(let host, let bytes), .progressed(let host, let bytes): return heard(host, bytes, at: now)
        case .received(let host): return received(host, at: now)
        case .found(let host), .published(let host): return ended(host, input)
        case .failed(let host, let failure): return failed(host, failure, at: now)
        case .closed(let host, let failure):
            glanceIsOut = glanceIsOut ?? failure
            if seed == places[host] { seed = nil }
            update(host) { $0.state = .idle(until: now) }
        case .abandoned(let host): update(host) { if case .receiving = $0.state { $0.state = .idle(until: now) } }
        case .tick: break
        }
        return []
    }

    private mutating func update(_ host: HostName, _ change: (inout RelayNode) -> Void) {
        if let index = places[host] { change(&nodes[index]) }
    }

    private mutating func heard(_ host: HostName, _ bytes: Int64, at now: Double) -> [Action] {
        guard let index = places[host], case .receiving(let source, _, let isLeaving) = nodes[index].state else { return [] }
        let isFirst = !nodes[index].hasBegun
        let gained = nodes[index].heard(min(bytes, self.bytes), at: now)
        guard !isLeaving else { return [] }
        if gained > 0 {
            if let source { nodes[source].failuresAsSource = 0 } else if index == seed { glanceFailures = 0 }
        }
        return isFirst && index != seed && nodes[index].mayFetch ? preferAsSeed(index) : []
    }

    private mutating func received(_ host: HostName, at now: Double) -> [Action] {
        guard let index = places[host], case .receiving = nodes[index].state else { return [] }
        _ = nodes[index].heard(bytes, at: now)
        nodes[index].isComplete = true
        if index == seed { seed = nil }
        nodes[index].state = .publishing
        return [.publish(host)]
    }

    private mutating func ended(_ host: HostName, _ input: Input) -> [Action] {
        guard let index = places[host], !nodes[index].isEnded else { return [] }
        if index == seed { seed = nil }
        if case .found = input { nodes[index].isComplete = false }
        nodes[index].state = .ended(serves: nodes[index].isComplete)
        return [.leave(host)]
    }

    // MARK: - What to do

    private mutating func decide(at now: Double) -> [Action] {
        var actions = chooseSeed(at: now) + giveUpThoseWithoutAWay(at: now)
        var seated = nodes.count(where: \.hasPlace)
        for index in nodes.indices {
            switch nodes[index].state {
            case .waiting where seated < forks && mayEnter(index, at: now):
                nodes[index].state = .entering
                seated += 1
                actions.append(.enter(nodes[index].member.host))
            case .idle(let until) where until <= now:
                if let action = next(index, at: now) { actions.append(action) }
            case .waiting, .entering, .idle, .receiving, .publishing, .ended: break
            }
        }
        return actions + giveBackPlaces(at: now)
    }

    /// What the seed waits for in the line may be held by hosts that wait for the seed.
    private mutating func giveBackPlaces(at now: Double) -> [Action] {
        guard let seed, nodes[seed].state == .waiting || nodes[seed].state == .entering else { return [] }
        var actions: [Action] = []
        for index in nodes.indices {
            guard case .idle(let until) = nodes[index].state, until <= now, !mayEnter(index, at: now) else { continue }
            nodes[index].state = .waiting
            actions.append(.leave(nodes[index].member.host))
        }
        return actions
    }

    /// What an idle host with a place does now; nil: it waits.
    private mutating func next(_ index: Int, at now: Double) -> Action? {
        let host = nodes[index].member.host
        if nodes[index].isComplete {
            nodes[index].state = .publishing
            return .publish(host)
        }
        if index == seed || nodes[index].fetchesItself, glanceIsOut == nil {
            guard now >= glancePausedUntil else { return nil }
            nodes[index].begin(from: nil, at: now)
            return .transfer(host, from: .glance, isGrowing: false)
        }
        guard let source = bestSource(of: index, at: now) ?? bestSource(of: index, at: now, isLenient: true) else {
            nodes[index].noteAlone(at: now)
            if nodes[index].mayFetch, glanceIsOut == nil, isStuck(index, for: patience.lonelySeconds, at: now) {
                nodes[index].fetchesItself = true
            }
            return nil
        }
        nodes[index].begin(from: source, at: now)
        return .transfer(host, from: .host(nodes[source].member.host), isGrowing: !nodes[source].hasBaseFile)
    }

    private mutating func mayEnter(_ index: Int, at now: Double) -> Bool {
        let node = nodes[index]
        if index == seed || (node.fetchesItself && glanceIsOut == nil) { return true }
        if let parent = node.choices.first, serves(parent, to: index, at: now) { return true }
        guard bestSource(of: index, at: now) != nil else {
            nodes[index].readySince = nil
            return false
        }
        if let parent = node.choices.first, nodes[parent].isLost { return true }
        let since = node.readySince ?? now
        nodes[index].readySince = since
        return now - since >= patience.parentSeconds
    }
}
