import CRabbitMQ
import Engine
import ForecacheModel
import Logging

/// The thread of one `RabbitMQSource.run`: connects, subscribes, consumes, and starts over for ever. Everything in here stays on that thread; the handover is
/// the only door.
final class Subscription {
    private let settings: RabbitMQSettings
    private let limits: Limits
    private let logger: Logger
    private let handover: Handover
    private let queue: String
    /// The brokers in the order in which they are tried: shuffled once, so that many forecaches spread over a cluster; the one that was lost goes last.
    private var hosts: [BrokerHost]
    private var bindings: Bindings

    /// What the task has in hand.
    private enum Outstanding: Equatable {
        case nothing
        /// An event, or deliveries of a connection that is gone.
        case event
        /// Deliveries to acknowledge up to this tag.
        case batch(tag: UInt64)
    }

    private var outstanding = Outstanding.nothing
    private var pending: [Delivery] = []
    private var pendingTag: UInt64 = 0
    private var pendingBytes = 0
    private var owesSubscribed = false
    /// `.lost` has been posted since the last subscription.
    private var isLost = false
    private var failedRounds = 0
    private var lastLoggedFailure: Failure?

    init(settings: RabbitMQSettings, limits: Limits, logger: Logger, handover: Handover) {
        self.settings = settings
        self.limits = limits
        self.logger = logger
        self.handover = handover
        queue = settings.isTemporary ? settings.temporaryQueue() : settings.queue
        hosts = settings.access.hosts.shuffled()
        bindings = Bindings(settings: settings, queue: queue, logger: logger)
    }

    func run() {
        while !handover.isStopped {
            do throws(Failure) {
                try serve()
            } catch {
                lose(error)
                rest()
            }
        }
        handover.end()
    }

    /// One connection, from the way to the broker to its loss or to `stop`.
    private func serve() throws(Failure) {
        guard handover.beginCall() else { return }
        let connection: BrokerConnection
        do throws(Failure) {
            connection = try connect()
            try subscribe(connection)
        } catch {
            handover.endCall()
            throw error
        }
        handover.endCall()
        do throws(BrokerProblem) {
            try consume(connection)
        } catch {
            throw error.failure("the subscription at broker \(connection.host) was lost")
        }
        connection.close()
    }

    // MARK: - Connecting

    /// The first broker that takes us.
    private func connect() throws(Failure) -> BrokerConnection {
        var failures: [Failure] = []
        for _ in hosts.indices where !handover.isStopped {
            let host = hosts.removeFirst()
            hosts.append(host)
            do throws(BrokerProblem) {
                // One byte more than may be parsed: the decoder then sees that a message is too large.
                return try BrokerConnection(to: host, of: settings.access, named: "forecache \(queue)", bodyBytes: limits.messageBytes + 1)
            } catch {
                failures.append(error.failure(Self.tried(host, settings.access, error)))
            }
        }
        throw Self.noBroker(failures)
    }

    static func tried(_ host: BrokerHost, _ access: BrokerAccess, _ problem: BrokerProblem) -> String {
        if problem.isOutOfReach { return "broker \(host) is not reachable; is RabbitMQ up, and the address right?" }
        let tls = access.tls == nil ? "" : " with TLS"
        return "broker \(host) did not let us in as \(host.user) on virtual host \(access.virtualHost)\(tls)"
    }

    /// All that the brokers said. Where one of them may come back by itself, so may the subscription.
    static func noBroker(_ failures: [Failure]) -> Failure {
        let kind: Failure.Kind = failures.contains { $0.kind == .retriable } ? .retriable : .permanent
        return Failure(kind, failures.map(\.description).joined(separator: "; "))
    }

    private func subscribe(_ connection: BrokerConnection) throws(Failure) {
        do throws(BrokerProblem) {
            try connection.declareQueue(queue, isTemporary: settings.isTemporary)
            // Before consuming: nothing else is on its way while the answers are awaited.
            bindings.forgetSchedule()
            _ = try bindings.renew(on: connection)
            try connection.consume(queue, prefetch: settings.prefetch)
        } catch {
            throw error.failure(
                "broker \(connection.host) did not let us consume queue \(queue) on virtual host \(settings.access.virtualHost)")
        }
        owesSubscribed = true
        isLost = false
        failedRounds = 0
        lastLoggedFailure = nil
        logger.info(
            "subscribed to notifications",
            metadata: ["broker": "\(connection.host)", "queue": "\(queue)", "exchanges": "\(bindings.bound.joined(separator: ","))"])
    }

    // MARK: - Consuming

    /// Returns when told to stop.
    private func consume(_ connection: BrokerConnection) throws(BrokerProblem) {
        let beat = Int32(max(1, settings.access.heartbeatSeconds) * 1000 / 4)
        while true {
            if handover.takeHandled() {
                if case .batch(let tag) = outstanding { try connection.acknowledge(upTo: tag) }
                outstanding = .nothing
            }
            if handover.isStopped { return }
            try receiveAll(connection)
            if bindings.isDue { try renewBindings(connection) }
            postNext()
            let rest = min(beat, bindings.millisecondsUntilDue)
            // What is not read stays with the broker; the socket would wake us for it at once.
            if hasRoom { connection.wait(orFor: handover.wakeup, milliseconds: rest) } else { handover.wait(milliseconds: rest) }
        }
    }

    /// The prefetch counts messages, and a message may be a thousand times larger than Glance's.
    private var hasRoom: Bool { pendingBytes < limits.waitingMessageBytes }

    private func receiveAll(_ connection: BrokerConnection) throws(BrokerProblem) {
        while hasRoom {
            switch try connection.receive() {
            case .nothing: return
            case .part, .confirmed: continue
            case .consumerCancelled:
                throw BrokerProblem(
                    reach: .connection, text: "the broker ended our consumer: queue \(queue) was deleted, or its node is gone")
            case .delivery(let tag, let delivery):
                // The broker keeps to the prefetch; one that does not must not fill our memory.
                guard pending.count < settings.prefetch else {
                    throw BrokerProblem(reach: .connection, text: "the broker sent more than the prefetch of \(settings.prefetch)")
                }
                pending.append(delivery)
                pendingTag = tag
                pendingBytes += delivery.body.count
            }
        }
    }

    private func renewBindings(_ connection: BrokerConnection) throws(BrokerProblem) {
        guard handover.beginCall() else { return }
        defer { handover.endCall() }
        // What a missing exchange sent until now was lost: a resync is due.
        if try bindings.renew(on: connection) { owesSubscribed = true }
    }

    private func postNext() {
        guard outstanding == .nothing else { return }
        if owesSubscribed {
            owesSubscribed = false
            outstanding = .event
            handover.post(.subscribed)
        } else if !pending.isEmpty {
            outstanding = .batch(tag: pendingTag)
            let batch = pending
            (pending, pendingBytes) = ([], 0)
            handover.post(.deliveries(batch))
        }
    }

    // MARK: - Losing

    /// What was not acknowledged comes again from the broker.
    private func lose(_ failure: Failure) {
        (pending, pendingBytes) = ([], 0)
        owesSubscribed = false
        if outstanding != .nothing { outstanding = .event }
        // The loss itself goes up as an event; here is told what keeps us away since, and the same words every few seconds help nobody.
        let isNews = isLost && failure != lastLoggedFailure
        logger.log(
            level: isNews ? .warning : .debug, "no subscription to notifications",
            metadata: ["reason": "\(failure)", "round": "\(failedRounds)"])
        lastLoggedFailure = failure
        guard !isLost else { return }
        isLost = true
        // A handler that is still busy with the last batch hears of the loss after it; meanwhile nothing new is fetched for it.
        while outstanding != .nothing && !handover.isStopped { settle(milliseconds: -1) }
        guard !handover.isStopped else { return }
        outstanding = .event
        handover.post(.lost(failure))
    }

    /// Waits before the next round: about 1 s, doubled each time up to 30 s, less a random part so that a cluster's clients do not come back all at once.
    private func rest() {
        let longest = min(30_000, 1000 << min(failedRounds, 5))
        failedRounds += 1
        let deadline = ContinuousClock.now + .milliseconds(Int.random(in: longest / 2...longest))
        while !handover.isStopped {
            let left = (deadline - .now).milliseconds
            if left <= 0 { return }
            settle(milliseconds: left)
        }
    }

    private func settle(milliseconds: Int32) {
        handover.wait(milliseconds: milliseconds)
        if handover.takeHandled() { outstanding = .nothing }
    }
}

extension Duration {
    /// Whole milliseconds, rounded up so that nobody wakes too early, at most a day.
    var milliseconds: Int32 { Int32(min(86_400_000, max(0, (seconds * 1000).rounded(.up)))) }
}
