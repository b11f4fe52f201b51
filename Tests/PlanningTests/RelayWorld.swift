import ForecacheModel
import Planning

/// A site in virtual time that obeys a `Relay`: links with rates, hosts that die, hang, are slow or serve wrong bytes. Rates are bytes a second.
struct RelayWorld {
    enum End: Equatable { case published, found, gaveUp }

    private struct Flow {
        var source: Relay.Source
        /// Nothing moves before this is done: log-in and start of the copy, in seconds of work.
        var logsInFor: Double
        var startedAt: Double
        var hasBegun = false
        var reportAt: Double
        var gainedAt: Double

        var isLoggedIn: Bool { logsInFor <= 1e-9 }
    }

    private struct Station {
        var bytes = 0.0
        var isTainted = false
        var isDead = false
        var isHanging = false
        var hasPlace = false
        var hasBase = false
        var servesWrongBytes = false
        var link: Double
        var flow: Flow?
        var publishesAt: Double?
    }

    static let size: Int64 = 512 << 20
    var relay: Relay
    private(set) var now = 0.0
    private(set) var ends: [HostName: (end: End, at: Double)] = [:]
    /// Why those that were given up were.
    private(set) var reasons: [HostName: Failure] = [:]
    private(set) var wanBytes = 0.0
    private(set) var mostPlaces = 0
    private(set) var violations: [String] = []
    /// Who fetched, one entry a fetch.
    private(set) var fetches: [HostName] = []
    /// Who copied from whom, one entry a copy.
    private(set) var copies: [(host: HostName, from: HostName)] = []
    var wan = 25e6
    var glanceFailure: Failure?
    var logInSeconds = 0.4
    /// Log-ins that can go on at full speed side by side; nil where every host has its own machine.
    var cores: Double?
    /// What all hosts together can receive, as they share processors; unevenly, by their place in the order.
    var processorBytesPerSecond: Double?
    /// Places that this relay shares with others; nil: as many as it wants.
    var placesInAll: Int?
    private var line: [HostName] = []
    /// From a host's last byte to the end of its transfer.
    var digestSeconds = 0.0
    private var stations: [HostName: Station]
    private let forks: Int
    private let order: [HostName]

    /// `0` is the seed, host `i` has the parent `(i-1)/fanOut` and above it its ancestors as choices.
    init(
        hosts: Int, fanOut: Int = 2, forks: Int? = nil, lan: Double = 125e6, fallsBack: Bool = true, holders: Set<Int> = []
    ) {
        order = (0..<hosts).map { HostName("h\($0)") }
        self.forks = forks ?? hosts
        let order = order
        let members = order.indices.map { index in
            var (choices, at) = ([HostName](), index)
            while at > 0 {
                at = (at - 1) / fanOut
                choices.append(order[at])
            }
            return Relay.Member(
                order[index], choices: choices, fallsBackToGlance: fallsBack, isHolder: holders.contains(index))
        }
        relay = Relay(members: members, bytes: Self.size, fanOut: fanOut, forks: self.forks)
        stations = Dictionary(uniqueKeysWithValues: order.map { ($0, Station(link: lan)) })
        for index in holders {
            stations[order[index]]?.bytes = Double(Self.size)
            stations[order[index]]?.hasBase = true
        }
    }

    var lastEnd: Double { ends.values.map(\.at).max() ?? 0 }
    var published: Int { ends.values.count { $0.end == .published } }
    func end(_ host: Int) -> Double { ends[order[host]]?.at ?? .infinity }
    func bytes(_ host: Int) -> Double { stations[order[host]]?.bytes ?? 0 }
    func fetched(_ host: Int) -> Int { fetches.count { $0 == order[host] } }
    func parents(of host: Int) -> [String] { copies.filter { $0.host == order[host] }.map(\.from.rawValue) }

    // MARK: - What a test does to it

    mutating func kill(_ host: Int) { stations[order[host]]?.isDead = true }
    mutating func hang(_ host: Int) { stations[order[host]]?.isHanging = true }
    mutating func limit(_ host: Int, to rate: Double) { stations[order[host]]?.link = rate }
    mutating func corrupt(_ host: Int) { stations[order[host]]?.servesWrongBytes = true }
    mutating func leaveBytes(_ bytes: Double, on host: Int) { stations[order[host]]?.bytes = bytes }

    /// Runs until nothing is left to do, or for so long.
    mutating func run(for seconds: Double = 600, until stop: (RelayWorld) -> Bool = { _ in false }) {
        let last = now + seconds
        if now == 0 { obey(relay.begin(at: 0)) }
        while now < last, !relay.isOver, !stop(self) { step() }
    }

    // MARK: - Time

    private mutating func step() {
        let length = 0.1
        let before = now
        now = ((before + length) * 10).rounded() / 10
        logIn(length)
        move(length)
        for host in order { report(host) }
        if Int(now * 10) % 5 == 0 { tell(.tick) }
        checkForCycles()
    }

    private mutating func logIn(_ length: Double) {
        let waiting = order.filter { (stations[$0]?.flow?.logsInFor ?? 0) > 0 }
        let share = cores.map { min(1, $0 / Double(max(1, waiting.count))) } ?? 1
        for host in waiting { stations[host]?.flow?.logsInFor -= length * share }
    }

    private mutating func move(_ length: Double) {
        let flows = order.compactMap { host in stations[host]?.flow.map { (host, $0.source) } }
        let wanFlows = flows.count { $0.1 == .glance }
        var given: [HostName: Int] = [:]
        for case (_, .host(let source)) in flows { given[source, default: 0] += 1 }
        let before = stations
        for (host, source) in flows {
            guard let station = stations[host], let flow = station.flow, flow.isLoggedIn, !station.isDead, !station.isHanging else {
                continue
            }
            var (room, rate) = (Double(Self.size) - station.bytes, station.link)
            switch source {
            case .glance:
                rate = min(rate, wan / Double(max(1, wanFlows)))
                if glanceFailure != nil { rate = 0 }
            case .host(let name):
                guard let giver = before[name], !giver.isDead, !giver.isHanging else { continue }
                rate = min(rate, giver.link / Double(max(1, given[name] ?? 1)))
                room = min(room, giver.bytes - station.bytes)
                if giver.servesWrongBytes || giver.isTainted, room > 0 { stations[host]?.isTainted = true }
            }
            if let all = processorBytesPerSecond {
                let turn = (order.firstIndex(of: host) ?? 0) * 7 % 16 + Int(now / 5) * 3
                rate = min(rate, all / Double(max(1, flows.count)) * (turn % 4 == 0 ? 0.3 : 1.2))
            }
            let moved = max(0, min(room, rate * length))
            stations[host]?.bytes += moved
            if moved > 0 { stations[host]?.flow?.gainedAt = now }
            if source == .glance { wanBytes += moved }
        }
    }

    private mutating func report(_ host: HostName) {
        guard let station = stations[host] else { return }
        if station.isHanging {
            // Its operation is given up when nothing was heard of it for a minute.
            if let flow = station.flow, flow.startedAt + 60 <= now { end(host, .failed(host, Self.broken)) }
            if let at = station.publishesAt, at + 60 <= now {
                stations[host]?.publishesAt = nil
                tell(.failed(host, Self.broken))
            }
            return
        }
        if let at = station.publishesAt, at <= now {
            stations[host]?.publishesAt = nil
            publish(host, station)
        }
        guard let flow = station.flow else { return }
        if station.isDead { return end(host, .failed(host, Self.broken)) }
        if !flow.hasBegun, flow.isLoggedIn {
            stations[host]?.flow?.hasBegun = true
            tell(.began(host, bytes: Int64(station.bytes)))
        }
        guard stations[host]?.flow != nil else { return }
        if flow.source == .glance, let glanceFailure, flow.isLoggedIn { return end(host, .failed(host, glanceFailure)) }
        if case .host(let source) = flow.source, stations[source]?.isDead == true, flow.isLoggedIn {
            return end(host, .failed(host, Self.broken))
        }
        guard flow.isLoggedIn else { return }
        if station.bytes >= Double(Self.size) - 0.5, now - flow.gainedAt >= digestSeconds { return end(host, .received(host)) }
        // The node program gives a transfer up that moves nothing for a minute.
        if now - flow.gainedAt > 60 { return end(host, .failed(host, Self.broken)) }
        if flow.reportAt <= now {
            stations[host]?.flow?.reportAt = now + 1
            tell(.progressed(host, bytes: Int64(station.bytes)))
        }
    }

    static let broken = Failure(.retriable, "the connection broke")

    private mutating func publish(_ host: HostName, _ station: Station) {
        if station.isDead { return tell(.failed(host, Self.broken)) }
        if station.isTainted {
            stations[host]?.bytes = 0
            stations[host]?.isTainted = false
            return tell(.failed(host, Failure(.permanent, "digest mismatch", about: .bytes)))
        }
        stations[host]?.hasBase = true
        ends[host] = (.published, now)
        tell(.published(host))
    }

    private mutating func end(_ host: HostName, _ input: Relay.Input) {
        stations[host]?.flow = nil
        tell(input)
    }

    // MARK: - Obeying

    private mutating func tell(_ input: Relay.Input) { obey(relay.take(input, at: now)) }

    private mutating func obey(_ actions: [Relay.Action]) {
        var answers: [Relay.Input] = []
        for action in actions {
            switch action {
            case .enter(let host):
                if stations[host]?.hasPlace == true || line.contains(host) { violations.append("\(host) enters twice") }
                line.append(host)
            case .transfer(let host, let source, _):
                if stations[host]?.hasPlace != true || stations[host]?.flow != nil {
                    violations.append("\(host) cannot begin a transfer now")
                }
                stations[host]?.flow = Flow(
                    source: source, logsInFor: logInSeconds, startedAt: now, reportAt: now + logInSeconds + 1, gainedAt: now)
                switch source {
                case .glance: fetches.append(host)
                case .host(let name): copies.append((host, name))
                }
            case .abandon(let host):
                if stations[host]?.flow == nil { violations.append("\(host) has no transfer to abandon") }
                stations[host]?.flow = nil
                answers.append(.abandoned(host))
            case .publish(let host):
                if (stations[host]?.bytes ?? 0) < Double(Self.size) - 0.5 { violations.append("\(host) has not all bytes to publish") }
                stations[host]?.publishesAt = now + 0.3
            case .leave(let host): stations[host]?.hasPlace = false
            case .giveUp(let host, let reason):
                reasons[host] = reason
                stations[host]?.hasPlace = false
                line.removeAll { $0 == host }
                ends[host] = (.gaveUp, now)
            }
        }
        while let host = line.first, stations.values.count(where: \.hasPlace) < placesInAll ?? .max {
            stations[host]?.hasPlace = true
            line.removeFirst()
            answers.append(.entered(host))
        }
        let places = stations.values.count(where: \.hasPlace)
        mostPlaces = max(mostPlaces, places)
        if places > forks { violations.append("\(places) hosts at work with \(forks) forks") }
        for answer in answers { tell(answer) }
    }

    private mutating func checkForCycles() {
        for start in order {
            var (at, hops) = (start, 0)
            while case .host(let next)? = stations[at]?.flow?.source, hops <= order.count { (at, hops) = (next, hops + 1) }
            if hops > order.count { violations.append("\(start) waits for itself at \(now)") }
        }
    }
}
