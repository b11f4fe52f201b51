import Engine
import ForecacheModel
import Foundation
import RabbitMQSource
import Testing

/// What happens when the broker goes: on a broker of its own, because everybody else's would go with it.
@Suite(.timeLimit(.minutes(5))) struct BrokerLossTests {
    @Test func theSubscriptionComesBackByItself() async throws {
        try await Lab().withOwnBroker { lab in
            var room = try Room(in: lab)
            room.settings.access.heartbeatSeconds = 1
            try await room.open { room in
                let record = Record()
                try await running(room.source(), record) {
                    try await eventually("subscribed") { record.count("subscribed") == 1 }
                    try await closedByTheOperator(room, record)
                    try await frozen(room, record)
                    try await restarted(room, record)
                }
            }
        }
    }

    private func closedByTheOperator(_ room: Room, _ record: Record) async throws {
        try await room.lab.rabbitmqctl("close_all_connections", "--vhost", room.settings.access.virtualHost, "maintenance")
        try await eventually("subscribed again") { record.count("subscribed") == 2 }
        #expect(record.count("lost") == 1)
        #expect(record.failures[0].description.contains("maintenance"), "\(record.failures)")
        #expect(record.failures[0].kind == .retriable)
        // The publisher was thrown out too: its first question finds out.
        await #expect(throws: Failure.self) { try await room.publish("into the void") }
        try await room.publish("after close")
        try await eventually("the message") { record.texts == ["after close"] }
    }

    private func frozen(_ room: Room, _ record: Record) async throws {
        try room.lab.signalBroker(SIGSTOP)
        defer { try? room.lab.signalBroker(SIGCONT) }  // Where it runs again already, nothing happens.
        try await eventually("the heartbeat is missed") { record.count("lost") == 2 }
        #expect(record.failures[1].description.contains("heartbeat"), "\(record.failures)")
        try room.lab.signalBroker(SIGCONT)
        try await eventually("subscribed again") { record.count("subscribed") == 3 }
        #expect(record.count("lost") == 2)
    }

    /// The exchange is not durable, as Glance's is not: it and our binding go with the broker, the queue and its messages stay.
    private func restarted(_ room: Room, _ record: Record) async throws {
        try await room.lab.rabbitmq("stop")
        try await eventually("lost") { record.count("lost") == 3 }
        try await room.lab.rabbitmq("start")
        try await eventually("subscribed without the exchange") { record.count("subscribed") == 4 }
        // The room's own publisher has lost its connection as well.
        let publisher = Publisher(access: room.settings.access)
        try await publisher.declareExchange(room.exchange)
        try await eventually("subscribed with it") { record.count("subscribed") == 5 }
        try await publisher.publish(Array("after restart".utf8), exchange: room.exchange, routingKey: "notifications.info")
        try await eventually("the message") { record.texts == ["after close", "after restart"] }
        #expect(record.count("lost") == 3)
    }
}
