public import ForecacheModel

/// Publishes with the broker's confirmation: for tests and measurements, which play Glance.
public actor Publisher {
    /// Unconfirmed messages at once: far below what fills a socket's buffer with confirmations.
    private static let window = 500
    /// Silence from the broker that ends the wait for confirmations, in seconds.
    private static let confirmSeconds = 15

    private let executor = BlockingExecutor(label: "forecache.publisher")
    private let access: BrokerAccess
    /// Made, used and freed on `executor` only.
    private var connection: BrokerConnection?
    /// The broker counts publishes from 1 on each channel.
    private var published: UInt64 = 0
    /// Every message up to this one is confirmed.
    private var confirmed: UInt64 = 0
    /// Confirmed before one of their predecessors.
    private var early: Set<UInt64> = []

    nonisolated public var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public init(access: BrokerAccess) { self.access = access }

    isolated deinit {
        connection?.close()
        connection = nil
    }

    /// Declares a topic exchange, as the publishers of notifications do.
    public func declareExchange(_ name: String, isDurable: Bool = false) throws(Failure) {
        try ask("declare exchange \(name)") { (connection) throws(BrokerProblem) in
            try connection.declareExchange(name, isDurable: isDurable)
        }
    }

    /// Returns when the broker has taken the message.
    public func publish(_ body: [UInt8], exchange: String, routingKey: String) throws(Failure) {
        try publish([body], exchange: exchange, routingKey: routingKey)
    }

    /// Returns when the broker has taken all of them.
    public func publish(_ bodies: [[UInt8]], exchange: String, routingKey: String) throws(Failure) {
        try ask("publish to exchange \(exchange)") { (connection) throws(BrokerProblem) in
            for body in bodies {
                try connection.publish(body, to: exchange, routingKey: routingKey)
                published += 1
                if published - confirmed >= Self.window { try awaitConfirms(connection, upTo: confirmed + 1) }
            }
            try awaitConfirms(connection, upTo: published)
        }
    }

    /// Messages that wait in a queue, and its consumers.
    public func depth(of queue: String) throws(Failure) -> (messages: Int, consumers: Int) {
        try ask("look at queue \(queue)") { (connection) throws(BrokerProblem) in try connection.depth(of: queue, on: BrokerConnection.main)
        }
    }

    public func deleteQueue(_ name: String) throws(Failure) {
        try ask("delete queue \(name)") { (connection) throws(BrokerProblem) in try connection.deleteQueue(name) }
    }

    public func deleteExchange(_ name: String) throws(Failure) {
        try ask("delete exchange \(name)") { (connection) throws(BrokerProblem) in try connection.deleteExchange(name) }
    }

    /// A connection that had a problem is not used again.
    private func ask<Answer>(_ what: String, _ question: (BrokerConnection) throws(BrokerProblem) -> Answer) throws(Failure) -> Answer {
        let host = access.hosts.first.map { "\($0)" } ?? "(none)"
        do throws(BrokerProblem) {
            return try question(try connected())
        } catch {
            connection = nil
            throw error.failure("broker \(host) did not \(what)")
        }
    }

    private func connected() throws(BrokerProblem) -> BrokerConnection {
        if let connection { return connection }
        guard let host = access.hosts.first else { throw BrokerProblem(reach: .connection, text: "no broker is configured") }
        let fresh = try BrokerConnection(to: host, of: access, named: "forecache publisher", bodyBytes: 0)
        try fresh.confirmPublishes()
        (published, confirmed, early) = (0, 0, [])
        connection = fresh
        return fresh
    }

    private func awaitConfirms(_ connection: BrokerConnection, upTo goal: UInt64) throws(BrokerProblem) {
        var deadline = ContinuousClock.now + .seconds(Self.confirmSeconds)
        while confirmed < goal {
            switch try connection.receive() {
            case .confirmed(let tag, let isMultiple, let isTaken):
                guard isTaken else { throw BrokerProblem(reach: .channel, text: "the broker refused message \(tag)") }
                noteConfirmed(tag, isMultiple: isMultiple)
                deadline = .now + .seconds(Self.confirmSeconds)
            case .nothing:
                guard ContinuousClock.now < deadline else { throw BrokerProblem(status: -0x0D) }
                connection.wait(orFor: -1, milliseconds: 500)
            case .part, .delivery, .consumerCancelled: continue
            }
        }
    }

    private func noteConfirmed(_ tag: UInt64, isMultiple: Bool) {
        if isMultiple {
            confirmed = max(confirmed, tag)
            early = early.filter { $0 > confirmed }
        } else {
            early.insert(tag)
        }
        while early.remove(confirmed + 1) != nil { confirmed += 1 }
    }
}
