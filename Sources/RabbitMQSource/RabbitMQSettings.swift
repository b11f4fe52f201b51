public import ForecacheModel

/// Where the brokers are and how to log in: what oslo's `transport_url` says.
public struct BrokerAccess: Hashable, Sendable {
    /// Tried in turn; at least one.
    public var hosts: [BrokerHost]
    public var virtualHost: String
    /// Nil: no TLS.
    public var tls: BrokerTLS?
    /// Asked of the broker; a connection that is silent for twice as long is given up.
    public var heartbeatSeconds: Int

    public init(hosts: [BrokerHost], virtualHost: String = "/", tls: BrokerTLS? = nil, heartbeatSeconds: Int = 60) {
        self.hosts = hosts
        self.virtualHost = virtualHost
        self.tls = tls
        self.heartbeatSeconds = heartbeatSeconds
    }
}

/// One broker and the account on it.
public struct BrokerHost: Hashable, Sendable, CustomStringConvertible {
    /// Name or address, IPv6 without brackets.
    public var host: String
    public var port: Int
    public var user: String
    public var password: Secret

    public init(host: String, port: Int = 5672, user: String, password: Secret) {
        self.host = host
        self.port = port
        self.user = user
        self.password = password
    }

    /// `host:port`, for people.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// TLS 1.2 or later.
public struct BrokerTLS: Hashable, Sendable {
    /// PEM file of the authorities to trust; nil: the system's own.
    public var caFile: String?
    /// PEM files for brokers that ask for a client certificate; both or none.
    public var clientCertificateFile: String?
    public var clientKeyFile: String?
    /// False takes any certificate.
    public var isVerified: Bool

    public init(caFile: String? = nil, clientCertificateFile: String? = nil, clientKeyFile: String? = nil, isVerified: Bool = true) {
        self.caFile = caFile
        self.clientCertificateFile = clientCertificateFile
        self.clientKeyFile = clientKeyFile
        self.isVerified = isVerified
    }
}

/// What to consume, and through which queue.
public struct RabbitMQSettings: Hashable, Sendable {
    public var access: BrokerAccess
    /// `control_exchange` of the publishers. They are theirs: we never create one.
    public var exchanges: [String]
    /// oslo's notification topics; `<topic>.info` and `<topic>.error` are bound.
    public var topics: [String]
    /// Our own durable queue, declared by us. For a temporary one, the beginning of its name.
    public var queue: String
    /// Messages that are with us and not yet acknowledged, 1…65535; also the longest batch.
    public var prefetch: Int
    /// A queue of its own that goes with the connection: takes nothing from others, and misses what comes while we are away.
    public var isTemporary: Bool

    public init(
        access: BrokerAccess, exchanges: [String] = ["glance"], topics: [String] = ["notifications"], queue: String = "forecache",
        prefetch: Int = 1000, isTemporary: Bool = false
    ) {
        self.access = access
        self.exchanges = exchanges
        self.topics = topics
        self.queue = queue
        self.prefetch = prefetch
        self.isTemporary = isTemporary
    }

    /// The name of a queue that goes with its connection.
    func temporaryQueue() -> String { "\(queue).temporary.\(String(UInt64.random(in: .min ... .max), radix: 16))" }

    /// What can never work, however often it is tried.
    func check() throws(Failure) {
        var problems: [String] = []
        if access.hosts.isEmpty { problems.append("no broker") }
        if !(1...65535).contains(prefetch) { problems.append("a prefetch of \(prefetch) (1 to 65535)") }
        if exchanges.isEmpty { problems.append("no exchange") }
        if topics.isEmpty { problems.append("no topic") }
        // AMQP's short strings; room for the suffixes that we add.
        for name in [queue] + exchanges + topics where name.isEmpty || name.utf8.count > 200 || name.utf8.contains(0) {
            problems.append("a queue, exchange or topic name that is empty or longer than 200 bytes")
        }
        guard problems.isEmpty else {
            throw Failure(.permanent, "notifications cannot be consumed with \(problems.joined(separator: ", "))")
        }
    }
}
