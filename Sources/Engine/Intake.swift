public import ForecacheModel
import FoundationEssentials
public import Logging
import Notifications

/// From the broker to a committed work row: decode, drop doubles, write down, hand the rows over to the work loop. The source acknowledges when this has returned.
public actor Intake<C: Clock> where C.Instant == WallInstant {
    private let source: any NotificationSource
    private let ledger: any Ledger
    private let resync: Resync<C>
    private let counters: EngineCounters
    private let limits: Limits
    private let clock: C
    private let logger: Logger
    private let handOver: @Sendable ([WorkRow]) async -> Void
    private var recent = RecentMessages()

    /// - Parameter handOver: takes rows right after they were committed; nothing is lost where it does not, as they stand in the ledger.
    public init(
        source: any NotificationSource, ledger: any Ledger, resync: Resync<C>, counters: EngineCounters, limits: Limits, clock: C,
        logger: Logger, handOver: @escaping @Sendable ([WorkRow]) async -> Void
    ) {
        self.source = source
        self.ledger = ledger
        self.resync = resync
        self.counters = counters
        self.limits = limits
        self.clock = clock
        self.logger = logger
        self.handOver = handOver
    }

    /// Runs until cancelled; throws where the ledger cannot be written, with the messages unacknowledged.
    public func run() async throws(Failure) {
        try await source.run { event throws(Failure) in try await self.handle(event) }
    }

    private func handle(_ event: NotificationSourceEvent) async throws(Failure) {
        switch event {
        case .subscribed:
            counters.subscribed(true)
            logger.notice("subscribed")
            await resync.requestNow()  // whatever happened while nobody listened is found by looking
        case .lost(let failure):
            counters.subscribed(false)
            logger.warning("subscription lost, trying again", metadata: ["reason": "\(failure)"])
        case .deliveries(let deliveries):
            try await take(deliveries)
        }
    }

    private func take(_ deliveries: [Delivery]) async throws(Failure) {
        let now = clock.now.date
        // An upload is six messages within milliseconds: one row is enough for all that came together.
        var images: [ImageID] = []
        var named: Set<ImageID> = []
        for delivery in deliveries {
            switch NotificationDecoder.decode(delivery.body, limits: limits) {
            case .image(let event):
                let isNew = event.messageID.map { recent.isNew($0) } ?? true
                counters.received(isNew ? .image : .duplicate, at: now)
                if isNew {
                    if named.insert(event.image).inserted { images.append(event.image) }
                    logger.debug("event", metadata: ["type": "\(event.type)", "image": "\(event.image)"])
                }
            case .irrelevant: counters.received(.irrelevant, at: now)
            case .odd(let reason):
                counters.received(.odd, at: now)
                try await keep(delivery, reason: reason, at: now)
            }
        }
        guard !images.isEmpty else { return }
        await handOver(try await ledger.request(images, cause: .event, at: now))
    }

    private func keep(_ delivery: Delivery, reason: String, at now: Date) async throws(Failure) {
        logger.warning(
            "notification not understood, kept for a look", metadata: ["routing_key": "\(delivery.routingKey)", "reason": "\(reason)"])
        let excerpt = String(decoding: delivery.body.prefix(2000), as: UTF8.self)
        try await ledger.keep(
            OddMessage(
                receivedAt: now, exchange: delivery.exchange, routingKey: delivery.routingKey, reason: reason, excerpt: excerpt))
    }
}
