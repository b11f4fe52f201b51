import ForecacheModel
import Planning

/// What happened, and how a host ended where it did.
struct RelayNews: Sendable {
    var input: Relay.Input
    var outcome: Outcome?

    init(_ input: Relay.Input, _ outcome: Outcome? = nil) {
        self.input = input
        self.outcome = outcome
    }
}

/// Bytes, sources and outcomes of the hosts of one relay.
struct RelayAccounts {
    private struct Account {
        let work: StepWork
        var source: String?
        var enteredAt: WallInstant?
        var moved: Int64 = 0
        var reached: Int64?
    }

    private(set) var outcomes: [Outcome] = []
    private var accounts: [HostName: Account]
    private let startedAt: WallInstant
    /// Why the window ended a fetch: whoever is given up for that waits, and did not fail.
    private var closing: Failure?

    init(_ works: [StepWork], startedAt: WallInstant) {
        accounts = Dictionary(works.map { ($0.step.host, Account(work: $0)) }) { first, _ in first }
        self.startedAt = startedAt
    }

    func work(_ host: HostName) -> StepWork? { accounts[host]?.work }

    mutating func begins(_ host: HostName, from source: Relay.Source) { accounts[host]?.source = source.text }

    /// The outcome where the host ended with it.
    mutating func take(_ news: RelayNews, at now: WallInstant) -> Outcome? {
        switch news.input {
        case .entered(let host): if accounts[host]?.enteredAt == nil { accounts[host]?.enteredAt = now }
        case .began(let host, let bytes), .progressed(let host, let bytes): reached(host, bytes)
        case .received(let host): reached(host, accounts[host]?.work.image.sizeBytes ?? 0)
        case .published(let host), .found(let host):
            guard var outcome = news.outcome else { return nil }
            outcome.source = news.input == .found(host) ? nil : accounts[host]?.source
            outcome.bytes = accounts[host]?.moved ?? 0
            return end(host, outcome, at: now)
        case .closed(_, let failure): closing = failure
        case .failed, .abandoned, .waits, .proceeds, .tick: break
        }
        return nil
    }

    /// What lay there before the first report is not counted, what came between two transfers is.
    private mutating func reached(_ host: HostName, _ bytes: Int64) {
        guard let account = accounts[host] else { return }
        if let last = account.reached, bytes > last { accounts[host]?.moved = account.moved.saturating(plus: bytes - last) }
        accounts[host]?.reached = bytes
    }

    mutating func gaveUp(_ host: HostName, _ failure: Failure, at now: WallInstant) -> Outcome? {
        guard let work = accounts[host]?.work else { return nil }
        if failure == closing { return end(host, work.outcome(waitingFrom: now.date), at: now) }
        return end(host, work.outcome(.failed, reason: failure.description, failure: failure.kind), at: now)
    }

    /// Those that have not ended when everybody is told to stop.
    mutating func stopped(at now: WallInstant) -> [Outcome] {
        accounts.keys.sorted().compactMap { gaveUp($0, Failure(.cancelled, "told to stop while host \($0) was receiving"), at: now) }
    }

    private mutating func end(_ host: HostName, _ outcome: Outcome, at now: WallInstant) -> Outcome? {
        guard let account = accounts.removeValue(forKey: host) else { return nil }
        var outcome = outcome
        outcome.seconds = (account.enteredAt ?? startedAt).duration(to: now).seconds
        outcomes.append(outcome)
        return outcome
    }
}

extension Relay.Source {
    var text: String {
        switch self {
        case .glance: "glance"
        case .host(let name): name.rawValue
        }
    }
}
