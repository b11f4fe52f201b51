import Engine
public import ForecacheModel
public import FoundationEssentials
public import Logging
import Notifications

/// Notifications as they arrive, on a temporary queue of their own: nothing is taken from the service or from others.
public struct EventListening: Sendable {
    /// One notification as `events` prints it.
    public struct Line: Encodable, Sendable {
        public var receivedAt: Date
        public var exchange: String
        public var routingKey: String
        /// The image that it names; nil where it names none.
        @OrNull public var image: ImageID?
        @OrNull public var type: String?
        @OrNull public var messageID: String?
        @OrNull public var publisher: String?
        /// Why it could not be understood.
        @OrNull public var odd: String?
    }

    private let setup: Setup
    private let logger: Logger

    public init(setup: Setup, logger: Logger) {
        self.setup = setup
        self.logger = logger
    }

    /// Runs until cancelled, or until `most` lines were shown. Throws `.unreachable` where the broker cannot be subscribed to at all; a subscription that is
    /// lost later is made again.
    public func run(
        most: Int?, record: EventRecord? = nil, note: @escaping @Sendable (String) -> Void, show: @escaping @Sendable (Line) -> Void
    ) async throws(Refusal) {
        let source = try Shells.source(setup, isTemporary: true, logger: logger)
        let limits = setup.configuration.limits
        let counter = Counter(most: most)
        do throws(Failure) {
            try await source.run { event throws(Failure) in
                switch event {
                case .subscribed:
                    await counter.subscribed()
                    note("listening")
                case .lost(let failure):
                    // Whoever looks on by hand wants to know now, not to wait for a broker that may never come.
                    guard await counter.wasSubscribed else {
                        throw Failure(failure.kind, "no notifications to listen to", cause: "\(failure)")
                    }
                    note("subscription lost, trying again: \(failure)")
                case .deliveries(let deliveries):
                    for delivery in deliveries {
                        let now = Date()
                        try record?.append(delivery, receivedAt: now)
                        show(Line(delivery, limits: limits, at: now))
                        if await counter.isLast() { throw Failure(.cancelled, "shown as many as asked for") }
                    }
                }
            }
        } catch {
            if error.kind != .cancelled { throw Refusal(error) }
        }
    }

    private actor Counter {
        private var left: Int?
        private(set) var wasSubscribed = false

        func subscribed() { wasSubscribed = true }

        init(most: Int?) { left = most }

        func isLast() -> Bool {
            left = left.map { $0 - 1 }
            return left.map { $0 <= 0 } ?? false
        }
    }
}

extension EventListening.Line {
    init(_ delivery: Delivery, limits: Limits, at now: Date) {
        self.init(
            receivedAt: now, exchange: delivery.exchange, routingKey: delivery.routingKey, image: nil, type: nil, messageID: nil,
            publisher: nil, odd: nil)
        switch NotificationDecoder.decode(delivery.body, limits: limits) {
        case .image(let event):
            image = event.image
            type = event.type
            messageID = event.messageID
            publisher = event.publisher
        case .irrelevant(let type): self.type = type
        case .odd(let reason): odd = reason
        }
    }
}
