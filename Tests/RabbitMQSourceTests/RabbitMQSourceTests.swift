import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import RabbitMQSource
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(3))) struct RabbitMQSourceTests {
    @Test func deliversInOrderAndAcknowledgesAfterTheHandler() async throws {
        try await Room().open { room in
            let record = Record()
            try await running(room.source(), record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
                try await room.publish("one", "two", "three")
                try await room.publisher.publish(Array("bad".utf8), exchange: room.exchange, routingKey: "notifications.error")
                try await room.publisher.publish(Array("other".utf8), exchange: room.exchange, routingKey: "versioned_notifications.info")
                try await eventually("four messages") { record.texts.count == 4 }
            }
            #expect(record.texts == ["one", "two", "three", "bad"])
            #expect(record.count("lost") == 0)
            try await eventually("nothing left") { try await room.publisher.depth(of: room.settings.queue) == (0, 0) }
        }
    }

    @Test func deliveriesOfAHandlerThatFailsComeAgain() async throws {
        try await Room().open { room in
            let failure = Failure(.fatal, "the ledger cannot be written")
            let first = Record { event throws(Failure) in
                if case .deliveries = event { throw failure }
            }
            await #expect(throws: failure) {
                try await running(room.source(), first) {
                    try await eventually("subscribed") { first.count("subscribed") == 1 }
                    try await room.publish("one", "two")
                    try await eventually("a batch") { first.count("deliveries") == 1 }
                }
            }
            let second = Record()
            try await running(room.source(), second) {
                try await eventually("both again") { Set(second.texts) == ["one", "two"] }
            }
            #expect(second.redelivered > 0)
        }
    }

    @Test func nothingIsAcknowledgedWhileTheHandlerWorks() async throws {
        var room = try Room()
        room.settings.prefetch = 2
        try await room.open { room in
            let (gate, opener) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingOldest(1))
            let record = Record { event in
                if case .deliveries = event { for await _ in gate { break } }
            }
            try await running(room.source(), record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
                try await room.publish("one", "two", "three", "four", "five")
                try await eventually("a batch") { record.count("deliveries") == 1 }
                // Two are with us, three must still wait at the broker: prefetch counts what is not acknowledged.
                try await eventually("three wait") { try await room.publisher.depth(of: room.settings.queue).messages == 3 }
                opener.finish()
                try await eventually("all") { record.texts == ["one", "two", "three", "four", "five"] }
            }
            #expect(record.batches.allSatisfy { $0 <= 2 })
        }
    }

    @Test func whatWaitsInMemoryIsBoundedInBytesToo() async throws {
        try await Room().open { room in
            let (first, record) = (Record(), Record())
            try await running(room.source(), first) {
                try await eventually("subscribed") { first.count("subscribed") == 1 }
            }
            let texts = (0..<40).map { "message \(100 + $0)" }
            for text in texts { try await room.publish(text) }
            try await running(room.source { $0.waitingMessageBytes = 25 }, record) {
                try await eventually("all") { record.texts == texts }
            }
            // Eleven bytes each: the third crosses the line.
            #expect(record.batches.allSatisfy { $0 <= 3 })
        }
    }

    @Test func messagesOfTheTimeAwayAreThereAfterwards() async throws {
        try await Room().open { room in
            let first = Record()
            try await running(room.source(), first) {
                try await eventually("subscribed") { first.count("subscribed") == 1 }
            }
            try await room.publish("while away")
            let second = Record()
            try await running(room.source(), second) {
                try await eventually("the message") { second.texts == ["while away"] }
            }
        }
    }

    @Test func anExchangeThatComesLaterIsBoundThen() async throws {
        try await Room().open(hasExchange: false) { room in
            let record = Record()
            try await running(room.source(), record) {
                try await eventually("subscribed without it") { record.count("subscribed") == 1 }
                try await room.publisher.declareExchange(room.exchange, isDurable: true)
                // Bound now, and said so, because what came before the binding was lost.
                try await eventually("subscribed again") { record.count("subscribed") == 2 }
                try await room.publish("first")
                try await eventually("the message") { record.texts == ["first"] }
            }
            #expect(record.count("lost") == 0)
        }
    }

    @Test func oneMissingExchangeDoesNotKeepTheOthersAway() async throws {
        var room = try Room()
        room.settings.exchanges.insert("test-never-declared", at: 0)
        try await room.open { room in
            let record = Record()
            try await running(room.source(), record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
                try await room.publish("one")
                try await eventually("the message") { record.texts == ["one"] }
            }
        }
    }

    @Test func aQueueThatIsDeletedIsDeclaredAgain() async throws {
        try await Room().open { room in
            let record = Record()
            try await running(room.source(), record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
                try await room.publisher.deleteQueue(room.settings.queue)
                try await eventually("subscribed again") { record.count("subscribed") == 2 }
                try await room.publish("after")
                try await eventually("the message") { record.texts == ["after"] }
            }
            #expect(record.count("lost") == 1)
            #expect(record.failures.first?.description.contains("was deleted") == true)
        }
    }

    @Test func cancellationIsQuick() async throws {
        try await Room().open { room in
            let record = Record()
            // Ended and awaited below.
            let run = Task { try await room.source().run { event throws(Failure) in try await record.note(event) } }
            try await eventually("subscribed") { record.count("subscribed") == 1 }
            let began = ContinuousClock.now
            run.cancel()
            try await run.value
            #expect(ContinuousClock.now - began < .seconds(5))
        }
    }

    @Test func cancellationIsQuickWhileABrokerKeepsUsWaiting() async throws {
        let mute = try MuteServer()
        let access = BrokerAccess(hosts: [BrokerHost(host: "127.0.0.1", port: mute.port, user: "u", password: Secret("p"))])
        let source = RabbitMQSource(settings: RabbitMQSettings(access: access), limits: Limits(), logger: quiet)
        // Ended and awaited below.
        let run = Task { try await source.run { _ in } }
        try await eventually("the log-in is under way") { mute.hasVisitor() }
        let began = ContinuousClock.now
        run.cancel()
        try await run.value
        #expect(ContinuousClock.now - began < .seconds(5))
    }

    @Test func theTemporaryQueueTakesNothingFromOthersAndGoes() async throws {
        try await Room().open { room in
            let (own, onlooker) = (Record(), Record())
            let looking = RabbitMQSource.temporary(settings: room.settings, limits: Limits(), logger: quiet)
            try await running(room.source(), own) {
                try await running(looking, onlooker) {
                    try await eventually("both subscribed") { own.count("subscribed") == 1 && onlooker.count("subscribed") == 1 }
                    try await room.publish("one")
                    try await eventually("both have it") { own.texts == ["one"] && onlooker.texts == ["one"] }
                }
                try await room.publish("two")
                try await eventually("the own queue goes on") { own.texts == ["one", "two"] }
            }
        }
    }

    @Test func aMessageThatIsTooLargeIsCutOffAndTheNextOneComesWhole() async throws {
        try await Room().open { room in
            let record = Record()
            try await running(room.source { $0.messageBytes = 1000 }, record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
                try await room.publish(String(repeating: "x", count: 3_000_000), "", "after")
                try await eventually("three messages") { record.texts.count == 3 }
            }
            #expect(record.texts == [String(repeating: "x", count: 1001), "", "after"])
        }
    }

    @Test func aFloodComesThroughWholeAndInOrder() async throws {
        try await Room().open { room in
            let count = 20_000
            let record = Record()
            let filler = String(repeating: "x", count: 900)
            let first = Record()
            try await running(room.source(), first) {
                try await eventually("subscribed") { first.count("subscribed") == 1 }
            }
            try await room.publisher.publish(
                (0..<count).map { Array("\($0) \(filler)".utf8) }, exchange: room.exchange, routingKey: "notifications.info")
            let began = ContinuousClock.now
            try await running(room.source(), record) {
                try await eventually("all of them") { record.batches.reduce(0, +) >= count }
            }
            let seconds = (ContinuousClock.now - began).seconds
            print("flood: \(count) messages in \(seconds) s, \(Int(Double(count) / seconds))/s, \(record.batches.count) batches")
            #expect(record.texts.map { $0.prefix { $0 != " " } } == (0..<count).map { Substring("\($0)") })
            #expect(record.batches.allSatisfy { $0 <= room.settings.prefetch })
            try await eventually("nothing left") { try await room.publisher.depth(of: room.settings.queue).messages == 0 }
        }
    }

    @Test func theReportLooksAndTouchesNothingOfOurs() async throws {
        try await Room().open { room in
            var settings = room.settings
            settings.exchanges.append("test-never-declared")
            let before = try await BrokerReport.make(settings)
            #expect(before.exchanges == [room.exchange])
            #expect(before.missingExchanges["test-never-declared"]?.contains("NOT_FOUND") == true)
            #expect(before.refusedExchanges.isEmpty && before.queueRefusal == nil)
            #expect(before.ownQueue == nil)

            let record = Record()
            try await running(room.source(), record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
            }
            try await room.publish("one")
            // A room's queue plays the one that publishers make for themselves.
            settings.topics = ["x"]
            let after = try await BrokerReport.make(settings)
            #expect(after.ownQueue?.name == room.settings.queue && after.ownQueue?.messages == 1 && after.ownQueue?.consumers == 0)
            #expect(after.publishersQueues.isEmpty)
        }
    }
}

/// Takes connections and never says a word.
private struct MuteServer: ~Copyable {
    private let listener: Int32
    let port: Int

    init() throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (listener, size) = (self.listener, length)
        let isOpen = withUnsafeMutableBytes(of: &address) { bytes in
            let address = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
            return bind(listener, address, size) == 0 && listen(listener, 4) == 0 && getsockname(listener, address, &length) == 0
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        try #require(isOpen)
    }

    /// True once somebody has connected; the connection stays open.
    borrowing func hasVisitor() -> Bool {
        var watched = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        return poll(&watched, 1, 0) == 1
    }

    deinit { close(listener) }
}
