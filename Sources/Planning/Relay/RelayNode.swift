import ForecacheModel

/// One host as `Relay` knows it.
struct RelayNode: Sendable {
    enum State: Hashable, Sendable {
        /// Has no place, and no source yet → entering, ended
        case waiting
        /// Asked for its place → idle, ended
        case entering
        /// Has its place and nothing to do before that time → receiving, publishing, ended
        case idle(until: Double)
        /// From a host, or from Glance (nil) → publishing, idle, ended. `isLeaving`: told to end this transfer.
        case receiving(from: Int?, since: Double, isLeaving: Bool)
        /// → ended, idle
        case publishing
        /// `serves`: others can still copy from it.
        case ended(serves: Bool)
    }

    let member: Relay.Member
    let choices: [Int]
    var state: State
    /// Length of its temporary, as last heard.
    var bytes: Int64 = 0
    /// Its temporary exists.
    var hasBegun = false
    var isComplete = false
    /// Whether it fetches from Glance whoever else does.
    var fetchesItself: Bool
    var mayFetch: Bool
    /// Why its fetch cannot succeed, for good.
    var fetchRefusal: Failure?
    var canCopy: Bool
    var lastGain = 0.0
    var lastHeard = 0.0
    /// Its fetch has not begun, because others of the site fetch first: nothing can be heard of it.
    var isInLine = false
    /// Whether it was heard of since its transfer began.
    private(set) var wasHeard = false
    /// Whether anything came since the first report of its transfer, which may tell of bytes that came from the source before.
    private(set) var hasGained = false
    /// When it was first seen that it could have a source other than its parent.
    var readySince: Double?
    private var lonely: Double?
    private var samples: [(at: Double, bytes: Int64)] = []
    /// Sources that are not asked before that time.
    var shunned: [Int: Double] = [:]
    /// Where the bytes of its present temporary came from; nil is Glance.
    var origins: Set<Int?> = []
    /// Transfers that failed one after the other without a byte.
    var failures = 0
    /// The same for fetches from Glance alone.
    var fetchFailures = 0
    /// Copies from it that failed one after the other without a byte.
    var failuresAsSource = 0
    var publishFailures = 0
    /// Times that its bytes were found to be wrong.
    var wrongBytes = 0
    /// Times that it left a source for being slow.
    var moves = 0
    /// Times that it left a source for standing still.
    var stalls = 0
    /// Receives much less than others of the site do, as of the last tick.
    var isSlow = false
    /// Somebody received nothing but wrong bytes from here.
    var isDistrusted = false

    init(_ member: Relay.Member, choices: [Int], bytes: Int64) {
        self.member = member
        self.choices = choices
        fetchesItself = member.choices.isEmpty && !member.isHolder
        canCopy = member.canCopy
        mayFetch = fetchesItself || member.fallsBackToGlance
        state = member.isHolder ? .ended(serves: member.canServe) : .waiting
        if member.isHolder { (self.bytes, hasBegun, isComplete) = (bytes, true, true) }
    }

    var isEnded: Bool { if case .ended = state { true } else { false } }
    /// Over, and of no use to anybody.
    var isLost: Bool { if case .ended(let serves) = state { !serves } else { false } }
    var hasBaseFile: Bool { isEnded && isComplete }
    var hasPlace: Bool {
        switch state {
        case .entering, .idle, .receiving, .publishing: true
        case .waiting, .ended: false
        }
    }
    /// The host it copies from at present, and means to go on copying from.
    var source: Int? {
        if case .receiving(let source, _, false) = state { source } else { nil }
    }
    var isFetching: Bool {
        if case .receiving(nil, _, false) = state { true } else { false }
    }

    mutating func begin(from source: Int?, at now: Double) {
        state = .receiving(from: source, since: now, isLeaving: false)
        origins.insert(source)
        samples = []
        lonely = nil
        (wasHeard, hasGained) = (false, false)
        proceeds(at: now)
    }

    mutating func proceeds(at now: Double) {
        isInLine = false
        (lastGain, lastHeard) = (now, now)
    }

    /// Bytes gained since the last report; a temporary that was begun anew is shorter than before.
    mutating func heard(_ bytes: Int64, at now: Double) -> Int64 {
        let isFirst = !wasHeard
        (hasBegun, wasHeard) = (true, true)
        lastHeard = now
        let gained = bytes - self.bytes
        self.bytes = bytes
        if gained < 0 { samples = [] }
        if gained != 0 { lastGain = now }
        if gained > 0 { (failures, fetchFailures) = (0, 0) }
        if gained > 0, !isFirst { hasGained = true }
        samples.append((now, bytes))
        return gained
    }

    /// Bytes by which it may be ahead of its last report.
    func slack(_ least: Int64) -> Int64 {
        guard let first = samples.first, let last = samples.last, last.at > first.at else { return least }
        return max(least, Int64(2 * Double(last.bytes - first.bytes) / (last.at - first.at)))
    }

    /// Bytes a second over the last `seconds`; nil where it has not been at it for so long.
    mutating func rate(over seconds: Double, at now: Double) -> Double? {
        while samples.count > 2, samples[1].at <= now - seconds { samples.removeFirst() }
        guard let first = samples.first, let last = samples.last, now - first.at >= seconds * 0.75 else { return nil }
        return Double(last.bytes - first.bytes) / (now - first.at)
    }

    /// It has no source; since when, counts from the first time.
    mutating func noteAlone(at now: Double) { lonely = lonely ?? now }

    func isLonely(for seconds: Double, at now: Double) -> Bool { lonely.map { now - $0 > seconds } ?? false }

    mutating func dropBytes() {
        (bytes, hasBegun, isComplete) = (0, false, false)
        samples = []
        origins = []
    }
}
