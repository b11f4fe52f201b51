public import ForecacheModel

/// What a broker looks like to us before anything is consumed: for `doctor`. What we may do is tried out on a queue that goes with the connection; our own queue
/// is neither made nor read.
public struct BrokerReport: Hashable, Sendable {
    public struct Queue: Hashable, Sendable {
        public var name: String
        /// Messages that wait.
        public var messages: Int
        public var consumers: Int
    }

    /// `host:port` that answered.
    public var broker: String
    /// As whom we logged in.
    public var user: String
    /// Why we may have no queue of our own, in the broker's words; nil where we may.
    public var queueRefusal: String?
    /// Exchanges that a queue of ours can be bound to, those that are not there, and those that we may not read, with the broker's reason.
    public var exchanges: [String]
    public var missingExchanges: [String: String]
    public var refusedExchanges: [String: String]
    /// Our own queue, where it exists already.
    public var ownQueue: Queue?
    /// The queues that the publishers make for themselves, `<topic>.info` and `<topic>.error`, where they exist. One that has no consumer grows without bound;
    /// consuming from it would take messages from its owner, so it is only told.
    public var publishersQueues: [Queue]
}

extension BrokerReport {
    /// Logs in at the first broker that takes us and looks. Blocks no shared thread; each broker has its own deadline of about 20 s.
    public static func make(_ settings: RabbitMQSettings) async throws(Failure) -> BrokerReport {
        try settings.check()
        return try await Visit(settings).report()
    }
}

/// One look at a broker, on a queue of its own because its calls block.
private actor Visit {
    private let executor = BlockingExecutor(label: "forecache.broker-report")
    private let settings: RabbitMQSettings

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ settings: RabbitMQSettings) { self.settings = settings }

    func report() throws(Failure) -> BrokerReport {
        var failures: [Failure] = []
        for host in settings.access.hosts {
            do throws(BrokerProblem) {
                let connection = try BrokerConnection(to: host, of: settings.access, named: "forecache doctor", bodyBytes: 0)
                let report = try look(through: connection)
                connection.close()
                return report
            } catch {
                failures.append(error.failure(Subscription.tried(host, settings.access, error)))
            }
        }
        throw Subscription.noBroker(failures)
    }

    private func look(through connection: BrokerConnection) throws(BrokerProblem) -> BrokerReport {
        var report = BrokerReport(
            broker: "\(connection.host)", user: connection.host.user, exchanges: [], missingExchanges: [:], refusedExchanges: [:],
            publishersQueues: [])
        let own = settings.temporaryQueue()
        report.queueRefusal = try refusal { () throws(BrokerProblem) in
            try connection.declareQueue(own, isTemporary: true)
            try connection.consume(own, prefetch: 1)
        }?.text
        for exchange in settings.exchanges where report.queueRefusal == nil {
            let problem = try refusal { () throws(BrokerProblem) in
                try connection.bind(own, to: exchange, topics: settings.topics)
            }
            switch problem {
            case nil: report.exchanges.append(exchange)
            case let problem? where problem.isRefusal: report.refusedExchanges[exchange] = problem.text
            case let problem?: report.missingExchanges[exchange] = problem.text
            }
        }
        report.ownQueue = try queue(settings.queue, on: connection)
        for topic in settings.topics {
            for priority in ["info", "error"] {
                if let queue = try queue("\(topic).\(priority)", on: connection) { report.publishersQueues.append(queue) }
            }
        }
        return report
    }

    /// Nil where it does not exist, or where we may not look at it.
    private func queue(_ name: String, on connection: BrokerConnection) throws(BrokerProblem) -> BrokerReport.Queue? {
        var found: BrokerReport.Queue?
        _ = try refusal { () throws(BrokerProblem) in
            try connection.openChannel(BrokerConnection.probe)
            let depth = try connection.depth(of: name, on: BrokerConnection.probe)
            found = BrokerReport.Queue(name: name, messages: depth.messages, consumers: depth.consumers)
            try connection.closeChannel(BrokerConnection.probe)
        }
        return found
    }

    /// The broker's "no", which costs it the channel that was asked on; nil for yes.
    private func refusal(_ question: () throws(BrokerProblem) -> Void) throws(BrokerProblem) -> BrokerProblem? {
        do throws(BrokerProblem) {
            try question()
            return nil
        } catch {
            guard error.reach == .channel else { throw error }
            return error
        }
    }
}
