import ForecacheModel
import Logging

/// The bindings of our queue to the publishers' exchanges.
///
/// An exchange comes into being with its publisher's first notification, and a non-durable one goes with the broker, bindings and all: so they are
/// renewed after every connect and every half minute (binding again changes nothing), and sooner where an exchange is missing.
struct Bindings {
    private static let renewalSeconds = 30

    private let settings: RabbitMQSettings
    private let queue: String
    private let logger: Logger
    /// Exchanges that are not bound; each has been logged once.
    private var missing: Set<String> = []
    private var roundsMissing = 0
    private var dueAt = ContinuousClock.now

    init(settings: RabbitMQSettings, queue: String, logger: Logger) {
        self.settings = settings
        self.queue = queue
        self.logger = logger
    }

    var bound: [String] { settings.exchanges.filter { !missing.contains($0) } }
    var isDue: Bool { millisecondsUntilDue == 0 }
    var millisecondsUntilDue: Int32 { (dueAt - .now).milliseconds }

    /// After a reconnect missing exchanges are looked for eagerly again.
    mutating func forgetSchedule() { roundsMissing = 0 }

    /// Binds what can be bound; true where an exchange was bound that had been missing. Throws where the broker does not let us: that does not heal by itself, and a
    /// subscription that hears nothing from an exchange must not look like one that does.
    mutating func renew(on connection: BrokerConnection) throws(BrokerProblem) -> Bool {
        var hasNew = false
        for exchange in settings.exchanges {
            do throws(BrokerProblem) {
                try connection.bind(queue, to: exchange, topics: settings.topics)
                guard missing.remove(exchange) != nil else { continue }
                hasNew = true
                logger.notice("exchange found and bound", metadata: ["exchange": "\(exchange)", "queue": "\(queue)"])
            } catch {
                guard error.reach == .channel else { throw error }
                guard !error.isRefusal else {
                    throw error.advised(BrokerCommands.reading(exchange, for: connection.host.user, at: settings.access.virtualHost))
                }
                guard missing.insert(exchange).inserted else { continue }
                logger.warning(
                    "exchange cannot be bound yet; its publisher creates it with its first notification",
                    metadata: ["exchange": "\(exchange)", "queue": "\(queue)", "reason": "\(error.text)"])
            }
        }
        let seconds = missing.isEmpty ? Self.renewalSeconds : min(Self.renewalSeconds, 1 << min(roundsMissing, 5))
        roundsMissing = missing.isEmpty ? 0 : roundsMissing + 1
        dueAt = .now + .seconds(seconds)
        return hasNew
    }
}
