public import Engine
public import ForecacheModel
import Foundation
public import Logging

/// OpenStack's notifications from RabbitMQ (AMQP 0-9-1), through a durable queue of our own that is bound to the publishers' exchanges.
///
/// Each `run` has one thread that owns its connection and does all that blocks; see `Subscription`.
public final class RabbitMQSource: NotificationSource {
    private let settings: RabbitMQSettings
    private let limits: Limits
    private let logger: Logger

    public init(settings: RabbitMQSettings, limits: Limits, logger: Logger) {
        self.settings = settings
        self.limits = limits
        self.logger = logger
    }

    /// The same notifications through a queue that goes with the connection: for looking on. Takes nothing from others.
    public static func temporary(settings: RabbitMQSettings, limits: Limits, logger: Logger) -> RabbitMQSource {
        var settings = settings
        settings.isTemporary = true
        return RabbitMQSource(settings: settings, limits: limits, logger: logger)
    }

    /// Returns within 500 ms of cancellation, plus what `handle` needs to return. A connection attempt that is under way then is left to its own deadline.
    public func run(handle: @escaping @Sendable (NotificationSourceEvent) async throws(Failure) -> Void) async throws(Failure) {
        try settings.check()
        let handover = try Handover()
        // Ends when `stop` told it to, which every way out of this function does.
        Thread.detachNewThread { [settings, limits, logger] in
            Subscription(settings: settings, limits: limits, logger: logger, handover: handover).run()
        }
        do throws(Failure) {
            for await event in handover.events {
                try await handle(event)
                handover.markHandled()
            }
        } catch {
            await handover.stop()
            throw error
        }
        await handover.stop()
    }
}
