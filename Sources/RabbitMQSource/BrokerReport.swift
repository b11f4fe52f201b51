public import ForecacheModel

/// What a broker looks like to us before anything is consumed: for `doctor`. Nothing is declared, bound or taken.
public struct BrokerReport: Hashable, Sendable {
    public struct Queue: Hashable, Sendable {
        public var name: String
        /// Messages that wait.
        public var messages: Int
        public var consumers: Int
    }

    /// `host:port` that answered.
    public var broker: String
    /// Exchanges that are there, and those that are not with the broker's reason.
    public var exchanges: [String]
    public var missingExchanges: [String: String]
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
        var report = BrokerReport(broker: "\(connection.host)", exchanges: [], missingExchanges: [:], publishersQueues: [])
        for exchange in settings.exchanges {
            let reason = try refusal(on: connection) { (connection) throws(BrokerProblem) in
                try connection.checkExchange(exchange, on: BrokerConnection.probe)
            }
            if let reason { report.missingExchanges[exchange] = reason } else { report.exchanges.append(exchange) }
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
        _ = try refusal(on: connection) { (connection) throws(BrokerProblem) in
            let depth = try connection.depth(of: name, on: BrokerConnection.probe)
            found = BrokerReport.Queue(name: name, messages: depth.messages, consumers: depth.consumers)
        }
        return found
    }

    /// The broker's "no" to a question, which costs it the channel; nil for yes.
    private func refusal(
        on connection: BrokerConnection, _ question: (BrokerConnection) throws(BrokerProblem) -> Void
    ) throws(BrokerProblem) -> String? {
        try connection.openChannel(BrokerConnection.probe)
        do throws(BrokerProblem) {
            try question(connection)
        } catch {
            guard error.reach == .channel else { throw error }
            return error.text
        }
        try connection.closeChannel(BrokerConnection.probe)
        return nil
    }
}
