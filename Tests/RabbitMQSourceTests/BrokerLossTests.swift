import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import RabbitMQSource
import Testing

/// What happens when the broker goes: on a broker of its own, because everybody else's would go with it. A machine that stands still for two heartbeats is one
/// more loss, so each phase counts from its own beginning.
@Suite(.timeLimit(.minutes(10))) struct BrokerLossTests {
    @Test func theSubscriptionComesBackByItself() async throws {
        try await Lab().withOwnBroker { lab in
            var room = try Room(in: lab)
            room.settings.access.heartbeatSeconds = 5
            try await room.open { room in
                let record = Record()
                try await running(room.source(), record) {
                    try await eventually("subscribed") { record.count("subscribed") >= 1 }
                    try await closedByTheOperator(room, record)
                    try await frozen(room, record)
                    try await restarted(room, record)
                }
                // However often we try meanwhile, one loss is told once.
                let events = record.events.filter { $0 != "deliveries" }
                #expect(!zip(events, events.dropFirst()).contains { $0 == ("lost", "lost") }, "\(events)")
            }
        }
    }

    /// Until a loss that says so, or any, comes after `count` others.
    private func isLost(_ word: String? = nil, after count: Int, _ record: Record) async throws {
        try await eventually("a loss with '\(word ?? "")' after \(count) others") {
            record.failures.dropFirst(count).contains { $0.kind == .retriable && word.map($0.description.contains) ?? true }
        }
    }

    private func isSubscribed(_ how: String, after count: Int, _ record: Record) async throws {
        try await eventually("subscribed \(how)") { record.count("subscribed") > count }
    }

    private func closedByTheOperator(_ room: Room, _ record: Record) async throws {
        let (losses, subscriptions) = (record.failures.count, record.count("subscribed"))
        try await room.lab.rabbitmqctl("close_all_connections", "--vhost", room.settings.access.virtualHost, "maintenance")
        try await isLost("maintenance", after: losses, record)
        try await isSubscribed("again", after: subscriptions, record)
        // The publisher was thrown out too: its first question finds out.
        await #expect(throws: Failure.self) { try await room.publish("into the void") }
        try await room.publish("after close")
        try await eventually("the message") { record.texts.last == "after close" }
    }

    private func frozen(_ room: Room, _ record: Record) async throws {
        let losses = record.failures.count
        try room.lab.signalBroker(SIGSTOP)
        defer { try? room.lab.signalBroker(SIGCONT) }  // Where it runs again already, nothing happens.
        try await isLost("heartbeat", after: losses, record)
        let subscriptions = record.count("subscribed")
        try room.lab.signalBroker(SIGCONT)
        try await isSubscribed("again", after: subscriptions, record)
    }

    /// The exchange is not durable, as Glance's is not: it and our binding go with the broker, the queue and its messages stay.
    private func restarted(_ room: Room, _ record: Record) async throws {
        let losses = record.failures.count
        try await room.lab.rabbitmq("stop")
        try await isLost(after: losses, record)
        var subscriptions = record.count("subscribed")
        try await room.lab.rabbitmq("start")
        try await isSubscribed("without the exchange", after: subscriptions, record)
        subscriptions = record.count("subscribed")
        // The room's own publisher has lost its connection as well.
        let publisher = Publisher(access: room.settings.access)
        try await publisher.declareExchange(room.exchange)
        try await isSubscribed("with it", after: subscriptions, record)
        try await publisher.publish(Array("after restart".utf8), exchange: room.exchange, routingKey: "notifications.info")
        try await eventually("the message") { record.texts.last == "after restart" }
        // Each at least once: a loss before the acknowledgement brings a message again.
        #expect(Set(record.texts) == ["after close", "after restart"])
    }
}
