import ForecacheModel

// From whom a host copies, when it leaves for another, and who fetches.
extension Relay {
    // MARK: - Sources

    /// Whether `source` has, or will have, more bytes than the host, and can give them.
    func serves(_ source: Int, to index: Int, at now: Double, isLenient: Bool = false) -> Bool {
        let (giver, taker) = (nodes[source], nodes[index])
        guard source != index, giver.member.canServe, !giver.isDistrusted, taker.canCopy, giver.hasBegun else { return false }
        let shunnedUntil = taker.shunned[source, default: -.infinity]
        let isForgiven = isLenient && shunnedUntil - patience.shunnedSeconds + patience.forgivenSeconds <= now
        guard shunnedUntil <= now || isForgiven, !isBelow(source, index) else { return false }
        // Whoever was served wrong bytes once takes verified ones only: those that were never verified may come from the same place.
        guard taker.wrongBytes == 0 || giver.hasBaseFile else { return false }
        switch giver.state {
        case .receiving:
            // Level by level: who logs in to a host that has nothing yet only stands in the way of its own log-in.
            guard giver.bytes > 0, now - giver.lastHeard <= patience.silentSeconds else { return false }
            let isGrowing = now - giver.lastGain <= patience.stalledSeconds
            return giver.bytes + (isGrowing ? giver.slack(patience.slackBytes) : 0) >= taker.bytes
        case .publishing: return true
        case .ended(let serves): return serves && giver.isComplete
        // Nothing is added to its temporary, but what is there can be had. A complete one waits until it may publish.
        case .waiting, .entering, .idle: return giver.isComplete || giver.bytes > taker.bytes
        }
    }

    /// The first in order of choice that has a free place for a follower and is not slow itself, else the first with a free place; where all are full, the one with the
    /// fewest. After the plan's own choices come all others of the site. `isLenient`: one that failed the host a while ago is better than none.
    func bestSource(of index: Int, at now: Double, besides: Int? = nil, aheadBy lead: Int64 = 0, isLenient: Bool = false) -> Int? {
        var loads = [Int](repeating: 0, count: nodes.count)
        for case let source? in nodes.map(\.source) { loads[source] += 1 }
        if let own = nodes[index].source { loads[own] -= 1 }
        func worth(_ source: Int) -> (Int, Int) { loads[source] < fanOut ? (nodes[source].isSlow ? 1 : 0, 0) : (2, loads[source]) }
        var best: Int?
        for source in nodes[index].choices + Array(nodes.indices) {
            guard source != besides, nodes[source].bytes - nodes[index].bytes >= lead,
                serves(source, to: index, at: now, isLenient: isLenient)
            else { continue }
            if worth(source) == (0, 0) { return source }
            if best.map({ worth(source) < worth($0) }) ?? true { best = source }
        }
        return best
    }

    /// Whether `candidate` receives, directly or not, from the host.
    private func isBelow(_ candidate: Int, _ index: Int) -> Bool {
        var (at, hops) = (candidate, 0)
        while case .receiving(let source?, _, _) = nodes[at].state, hops <= nodes.count {
            if source == index { return true }
            (at, hops) = (source, hops + 1)
        }
        return false
    }

    // MARK: - Leaving

    /// A host that is still slow after so many is slow by itself.
    private static let mostMoves = 3
    /// Less than this share of what the fastest receives is slow.
    private static let slowShare = 0.6

    mutating func leaveBadSources(at now: Double) -> [Action] {
        var actions: [Action] = []
        let rates = nodes.indices.map { nodes[$0].rate(over: patience.rateSeconds, at: now) }
        // Those that catch up are faster than anybody can be for long, who receives what the seed does.
        let fastest = min(rates.compactMap { $0 }.max() ?? 0, seed.flatMap { rates[$0] } ?? .infinity)
        for index in nodes.indices {
            nodes[index].isSlow = !nodes[index].isComplete && (rates[index] ?? fastest) < Self.slowShare * fastest
        }
        for index in nodes.indices {
            guard case .receiving(let source?, let since, false) = nodes[index].state else { continue }
            // A new source has the longer to prove itself the more there were before.
            let isProven = now - since >= patience.rateSeconds * Double(1 << nodes[index].moves)
            // One at a time: where a whole branch is slow, those further down may be well again once the upper ones have moved.
            if now >= nextSlowMove, isProven, isSlowed(index, by: source, rates, upTo: fastest, at: now) {
                nodes[index].moves += 1
                if now - nextSlowMove > patience.slowMoveSeconds { slowMovePause = 1 }
                nextSlowMove = now + slowMovePause
                slowMovePause = min(2 * slowMovePause, patience.slowMoveSeconds)
            } else {
                guard isStalled(index, at: now) else { continue }
                nodes[index].stalls += 1
                // Hosts that hang and yet answer would else be tried in turn for ever.
                nodes[source].failuresAsSource += 1
            }
            nodes[index].shunned[source] = now + patience.shunnedSeconds
            actions += abandon(index)
        }
        return actions
    }

    private func isStalled(_ index: Int, at now: Double) -> Bool {
        // Whoever has all bytes still counts their digest, and another source would not be quicker.
        guard nodes[index].bytes < bytes else { return false }
        let allowed = (nodes[index].hasGained ? patience.stalledSeconds : patience.startSeconds) * Double(1 << min(nodes[index].stalls, 3))
        // Of one that is silent itself nothing is known: its operation has a deadline of its own.
        guard now - nodes[index].lastGain >= allowed, now - nodes[index].lastHeard < patience.stalledSeconds else { return false }
        return bestSource(of: index, at: now, besides: nodes[index].source, aheadBy: min(patience.leadBytes, bytes - nodes[index].bytes))
            != nil
    }

    /// Much slower than others of the site, and by its source's fault: that one is itself behind, or gives much less than others do. A host whose own link is slow
    /// finds that out after a few moves and stays.
    private func isSlowed(_ index: Int, by source: Int, _ rates: [Double?], upTo fastest: Double, at now: Double) -> Bool {
        guard nodes[index].moves < Self.mostMoves, let own = rates[index] else { return false }
        let fastest = min(fastest, nodes.indices.filter { $0 != index && !isBelow($0, index) }.compactMap { rates[$0] }.max() ?? 0)
        guard own < Self.slowShare * fastest else { return false }
        // A source that others have enough from is not at fault.
        let others = nodes.indices.filter { $0 != index && nodes[$0].source == source }
        guard others.allSatisfy({ (rates[$0] ?? 0) < Self.slowShare * fastest }) else { return false }
        let lead = max(patience.leadBytes, Int64(fastest * 3))
        guard let better = bestSource(of: index, at: now, besides: source, aheadBy: lead), !nodes[better].isSlow else { return false }
        let isBehind = nodes[better].bytes - nodes[source].bytes >= lead / 2 && !nodes[source].isComplete
        let given = nodes.indices.map { giver in nodes.indices.filter { nodes[$0].source == giver }.compactMap { rates[$0] }.reduce(0, +) }
        let isWeak = nodes[source].bytes - nodes[index].bytes >= lead && given[source] < 0.5 * (given.max() ?? 0)
        guard isBehind || isWeak else { return false }
        // One that has its followers already is tried once: where the LAN itself is full, that mends nothing.
        return nodes.count { $0.source == better } < fanOut || nodes[index].moves == 0
    }

    // MARK: - The seed

    /// Somebody fetches for the others wherever somebody needs bytes that nobody has: the host that has the most.
    mutating func chooseSeed(at now: Double) -> [Action] {
        let actions = replaceHungSeed(at: now)
        if glanceIsOut != nil, let seed, !nodes[seed].isFetching { self.seed = nil }
        if let seed, !nodes[seed].isEnded { return actions }
        seed = nodes.indices.first { nodes[$0].isFetching && nodes[$0].member.canServe }
        guard seed == nil, nodes.contains(where: isInNeed), !nodes.contains(where: isSound) else { return actions }
        guard let next = nextSeed(at: now) else {
            // Somebody could, but has no place, and those that have one are about to tell.
            if glanceIsOut == nil, nodes.contains(where: { isInNeed($0) && $0.mayFetch }) { return actions }
            return actions + giveUpTheHopeless()
        }
        seed = next
        return actions + abandon(next)
    }

    private func isInNeed(_ node: RelayNode) -> Bool { !node.isEnded && !node.isComplete && node.canCopy }

    /// Has all bytes, and nothing speaks against asking it.
    func isSound(_ node: RelayNode) -> Bool {
        node.isComplete && !node.isLost && node.member.canServe && !node.isDistrusted && node.failuresAsSource < 3
    }

    /// Those that did not just fail come first, whether they have a place or can get one; then those with a place; then the one with the most bytes.
    private func nextSeed(at now: Double) -> Int? {
        guard glanceIsOut == nil else { return nil }
        func worth(_ index: Int) -> (Int, Int, Int64, Int) {
            let node = nodes[index]
            let isSilent =
                if case .receiving = node.state { !node.isInLine && now - node.lastHeard > patience.silentSeconds } else { false }
            return (-node.fetchFailures - (isSilent ? 1 : 0), node.hasPlace && node.state != .entering ? 1 : 0, node.bytes, -index)
        }
        return nodes.indices.filter { canBegin($0) && isInNeed(nodes[$0]) && nodes[$0].mayFetch && !isLeaving($0) }
            .max { worth($0) < worth($1) }
    }

    /// Whether it has a place, or can get one without waiting for others of this relay.
    private func canBegin(_ index: Int) -> Bool { nodes[index].hasPlace || nodes.count(where: \.hasPlace) < forks }

    private func isLeaving(_ index: Int) -> Bool {
        if case .receiving(_, _, true) = nodes[index].state { true } else { false }
    }

    private mutating func replaceHungSeed(at now: Double) -> [Action] {
        guard let seed, nodes[seed].isFetching, seedSwitches < 3 else { return [] }
        let node = nodes[seed]
        guard !node.isInLine else { return [] }
        let isStuck = node.bytes < bytes && now - node.lastGain > patience.stuckSeconds
        guard isStuck || now - node.lastHeard > patience.silentSeconds else { return [] }
        let others = nodes.indices.filter { $0 != seed && canBegin($0) && isInNeed(nodes[$0]) && nodes[$0].mayFetch }
        guard others.contains(where: { nodes[$0].fetchFailures == 0 }) else { return [] }
        seedSwitches += 1
        self.seed = nil
        nodes[seed].fetchFailures += 1
        nodes[seed].fetchesItself = false
        return abandon(seed)
    }

    /// A host that begins with more bytes than the seed has, left there by an earlier try, fetches the rest for all.
    mutating func preferAsSeed(_ index: Int) -> [Action] {
        guard let old = seed, glanceIsOut == nil, isInNeed(nodes[index]), nodes[index].member.canServe, nodes[old].canCopy else {
            return []
        }
        guard nodes[index].bytes >= nodes[old].bytes + patience.slackBytes, !nodes.contains(where: isSound) else { return [] }
        seed = index
        nodes[old].fetchesItself = false
        return abandon(index) + abandon(old)
    }

    private mutating func abandon(_ index: Int) -> [Action] {
        guard case .receiving(let source, let since, false) = nodes[index].state else { return [] }
        nodes[index].state = .receiving(from: source, since: since, isLeaving: true)
        return [.abandon(nodes[index].member.host)]
    }

    /// Those that cannot copy and may not fetch, and those that have waited in vain.
    mutating func giveUpThoseWithoutAWay(at now: Double) -> [Action] {
        var actions: [Action] = []
        for index in nodes.indices where !nodes[index].isEnded && !nodes[index].isComplete {
            let isIdle = if case .idle = nodes[index].state { true } else { false }
            guard isIdle || nodes[index].state == .waiting else { continue }
            guard glanceIsOut != nil || !nodes[index].mayFetch else { continue }
            guard !nodes[index].canCopy || (isIdle && isStuck(index, for: patience.lonelySeconds * 4, at: now)) else { continue }
            let host = nodes[index].member.host
            let reason = reasonWithoutGlance(
                index, otherwise: "no source of the site could be used by \(host), and it may not fetch from Glance")
            actions += giveUp(index, reason)
        }
        return actions
    }

    /// Without a source for so long, and none is in sight.
    func isStuck(_ index: Int, for seconds: Double, at now: Double) -> Bool {
        seed == nil && nodes[index].isLonely(for: seconds, at: now) && !isAboutToPublish
            && bestSource(of: index, at: now, isLenient: true) == nil
    }

    /// Whoever waits for verified bytes may have them in a moment.
    private var isAboutToPublish: Bool { nodes.contains { $0.state == .publishing && isSound($0) } }

    /// Nobody has all bytes and nobody may fetch them.
    private mutating func giveUpTheHopeless() -> [Action] {
        guard !nodes.contains(where: \.isFetching) else { return [] }
        var actions: [Action] = []
        for index in nodes.indices where isInNeed(nodes[index]) {
            switch nodes[index].state {
            case .waiting, .idle:
                let otherwise = "no host of the site has all bytes any longer, and \(nodes[index].member.host) may not fetch from Glance"
                actions += giveUp(index, reasonWithoutGlance(index, otherwise: otherwise))
            case .receiving: actions += abandon(index)
            case .entering, .publishing, .ended: break
            }
        }
        return actions
    }
}
