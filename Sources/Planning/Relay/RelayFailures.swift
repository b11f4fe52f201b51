import ForecacheModel

// What a failure means for the host, for its source and for Glance.
extension Relay {
    /// Transfers that a host may fail at one after the other, without a byte: with the pauses between them it is given up after some ten seconds.
    private static let mostFailures = 5
    /// Fetches that may fail in the same way, on so many hosts, before Glance is taken to be out and not those hosts.
    private static let mostGlanceFailures = 6
    private static let hostsThatMayFail = 5

    mutating func failed(_ host: HostName, _ failure: Failure, at now: Double) -> [Action] {
        guard let index = places[host] else { return [] }
        switch nodes[index].state {
        case .ended: return []
        case .receiving(let source, _, let isLeaving):
            nodes[index].state = .idle(until: now)
            if failure.kind == .cancelled { return giveUp(index, failure) }
            if isLeaving { return [] }
            return transferFailed(index, from: source, failure, at: now)
        case .publishing: return publishFailed(index, failure, at: now)
        case .waiting, .entering, .idle: return giveUp(index, failure)
        }
    }

    private mutating func transferFailed(_ index: Int, from source: Int?, _ failure: Failure, at now: Double) -> [Action] {
        // A host that was not even heard of is likelier to be gone than its source.
        nodes[index].failures += nodes[index].wasHeard ? 1 : 2
        if let source {
            copyFailed(index, from: source, failure, at: now)
        } else {
            fetchFailed(index, failure, at: now)
        }
        guard nodes[index].failures < Self.mostFailures, nodes[index].canCopy || nodes[index].mayFetch else {
            return giveUp(index, failure)
        }
        // The first time at once: most failures are the source's, and there is another.
        let pause = nodes[index].failures <= 2 ? 0 : 0.25 * Double(1 << min(nodes[index].failures, 5))
        nodes[index].state = .idle(until: now + pause)
        return []
    }

    private mutating func copyFailed(_ index: Int, from source: Int, _ failure: Failure, at now: Double) {
        nodes[index].shunned[source] = now + patience.shunnedSeconds
        // Whoever did not even begin says nothing about its source.
        if nodes[index].wasHeard { nodes[source].failuresAsSource += 1 }
        if failure.kind == .permanent { nodes[index].canCopy = false }
        // A host that cannot copy may still fetch; one that failed often does where it alone seems to: else they choose one to fetch for all.
        let isTired = nodes[index].failures >= Self.mostFailures - 2 && (seed != nil || nodes.contains(where: isSound))
        if nodes[index].mayFetch, isTired || !nodes[index].canCopy { nodes[index].fetchesItself = true }
    }

    private mutating func fetchFailed(_ index: Int, _ failure: Failure, at now: Double) {
        nodes[index].fetchFailures += 1
        if failure.kind == .permanent { (nodes[index].mayFetch, nodes[index].fetchRefusal) = (false, failure) }
        if nodes[index].canCopy { nodes[index].fetchesItself = false }
        guard index == seed else { return }
        seed = nil
        glanceFailures += 1
        // The first time at once: the host is gone more often than Glance is.
        if glanceFailures > 1 { glancePausedUntil = now + 0.25 * Double(1 << min(glanceFailures, 5)) }
        let failing = nodes.count { $0.fetchFailures > 0 }
        if glanceFailures >= Self.mostGlanceFailures, failing >= Self.hostsThatMayFail { glanceIsOut = failure }
    }

    private mutating func publishFailed(_ index: Int, _ failure: Failure, at now: Double) -> [Action] {
        guard failure.about == .bytes else {
            nodes[index].publishFailures += 1
            guard failure.kind == .retriable, nodes[index].publishFailures < 3 else { return giveUp(index, failure) }
            nodes[index].state = .idle(until: now + Double(nodes[index].publishFailures))
            return []
        }
        nodes[index].wrongBytes += 1
        blame(nodes[index].origins, by: index, failure)
        nodes[index].dropBytes()
        // What it gave away before was no fault of its own, and what it gives from now on is other bytes.
        for other in nodes.indices where nodes[other].shunned[index] == .infinity { nodes[other].shunned[index] = nil }
        guard nodes[index].wrongBytes < 3 else { return giveUp(index, failure) }
        nodes[index].state = .idle(until: now)
        return []
    }

    /// The sources of wrong bytes are not asked again by this host, and one that gave all of them not by anybody; but for those that found out by themselves
    /// and have dropped them.
    private mutating func blame(_ origins: Set<Int?>, by index: Int, _ failure: Failure) {
        for case let source? in origins where nodes[source].wrongBytes == 0 || nodes[source].hasBaseFile {
            nodes[index].shunned[source] = .infinity
            if origins.count == 1, nodes[source].wrongBytes == 0 { nodes[source].isDistrusted = true }
        }
        if origins == [nil] {
            glanceWasWrong += 1
            // Once may be the host's own disk or line.
            if glanceWasWrong >= 2 { glanceIsOut = failure }
            if nodes[index].canCopy { nodes[index].fetchesItself = false }
        }
    }

    /// Why a host that cannot copy gets nothing from Glance either: where it, or whoever could have fetched for it, was refused, the reason of that.
    func reasonWithoutGlance(_ index: Int, otherwise: String) -> Failure {
        glanceIsOut ?? nodes[index].fetchRefusal ?? nodes.lazy.filter { $0.member.canServe }.compactMap(\.fetchRefusal).first
            ?? Failure(.retriable, otherwise)
    }

    mutating func giveUp(_ index: Int, _ failure: Failure) -> [Action] {
        if index == seed { seed = nil }
        nodes[index].state = .ended(serves: false)
        return [.giveUp(nodes[index].member.host, failure)]
    }
}
