import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import RabbitMQSource
import Testing

/// A user of the broker that may do less than it needs, and the commands that mend it.
@Suite(.timeLimit(.minutes(3))) struct PermissionTests {
    /// A room whose own account may configure, write and read what these patterns match, and nothing else.
    private func limited(configure: String, write: String, read: String, _ body: (Room) async throws -> Void) async throws {
        var room = try Room()
        let (user, lab) = ("limited-\(UUID().uuidString.lowercased())", room.lab)
        for index in room.settings.access.hosts.indices {
            room.settings.access.hosts[index].user = user
            room.settings.access.hosts[index].password = Secret("pencil")
        }
        let name = room.settings.queue
        let patterns = [configure, write, read].map { $0.replacingOccurrences(of: "OWN", with: name) }
        try await lab.rabbitmqctl("add_user", user, "pencil")
        let result: Result<Void, any Error>
        do {
            try await lab.rabbitmqctl(
                "set_permissions", "-p", room.settings.access.virtualHost, user, patterns[0], patterns[1], patterns[2])
            result = .success(try await room.open(body))
        } catch {
            result = .failure(error)
        }
        try await lab.rabbitmqctl("delete_user", user)
        try result.get()
    }

    private func permissions(_ room: Room) throws -> String {
        let host = try #require(room.settings.access.hosts.first)
        return BrokerCommands.permissions(
            for: host.user, at: room.settings.access.virtualHost, queue: room.settings.queue, exchanges: room.settings.exchanges)
    }

    @Test func anExchangeThatMayNotBeReadIsALossWithItsRemedyUntilItMay() async throws {
        try await limited(configure: "^OWN", write: "^OWN", read: "^OWN\\.") { room in
            // The queue has the exchange's name: its own temporary queues may be read, the exchange and the durable queue may not.
            let record = Record()
            var temporary = room
            temporary.settings.isTemporary = true
            try await running(temporary.source(), record) {
                try await eventually("a refusal") { record.count("lost") == 1 }
                #expect(record.count("subscribed") == 0)
                let failure = try #require(record.failures.first)
                #expect(failure.kind == .permanent)
                #expect(failure.description.contains("ACCESS_REFUSED"), "\(failure)")
                #expect(failure.description.contains("rabbitmqctl set_permissions "), "\(failure)")
                #expect(failure.description.contains("'READ|^\(room.exchange)$'"), "\(failure)")
                try await room.lab.atTheBroker(permissions(room))
                try await eventually("subscribed") { record.count("subscribed") == 1 }
                try await room.publish("one")
                try await eventually("the message") { record.texts == ["one"] }
            }
        }
    }

    @Test func anExchangeThatIsNotThereYetIsNoRefusal() async throws {
        try await limited(configure: "^OWN", write: "^OWN", read: "^OWN") { room in
            var room = room
            room.settings.exchanges.append("test-never-declared")
            let record = Record()
            try await running(room.source(), record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
            }
            #expect(record.count("lost") == 0)
        }
    }

    @Test func theReportTellsWhatMayNotBeReadFromWhatIsNotThere() async throws {
        try await limited(configure: "^OWN", write: "^OWN", read: "^OWN\\.") { room in
            var settings = room.settings
            settings.exchanges.append("test-never-declared")
            let refused = try await BrokerReport.make(settings)
            #expect(refused.exchanges == [])
            #expect(Array(refused.refusedExchanges.keys) == [room.exchange])
            #expect(refused.refusedExchanges[room.exchange]?.contains("ACCESS_REFUSED") == true)
            #expect(Array(refused.missingExchanges.keys) == ["test-never-declared"])
            #expect(refused.queueRefusal == nil && refused.user == room.settings.access.hosts.first?.user)
            try await room.lab.atTheBroker(permissions(room))
            #expect(try await BrokerReport.make(settings).exchanges == [room.exchange])
        }
    }

    @Test(arguments: [("^no$", "^OWN", "^OWN"), ("^OWN", "^OWN", "^no$")])
    func theReportTellsThatThereMayBeNoQueue(configure: String, write: String, read: String) async throws {
        try await limited(configure: configure, write: write, read: read) { room in
            let report = try await BrokerReport.make(room.settings)
            #expect(report.queueRefusal?.contains("ACCESS_REFUSED") == true)
            #expect(report.exchanges.isEmpty && report.refusedExchanges.isEmpty && report.missingExchanges.isEmpty)
            try await room.lab.atTheBroker(permissions(room))
            #expect(try await BrokerReport.make(room.settings).queueRefusal == nil)
        }
    }

    /// The built program, as an operator calls it.
    private func doctor(_ room: Room, sites: String) throws -> [(level: String, text: String, remedy: String)] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let folder = FileManager.default.temporaryDirectory.appending(path: room.exchange)
        defer { try? FileManager.default.removeItem(at: folder) }  // the system clears its temporary directory
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let (access, host) = (room.settings.access, try #require(room.settings.access.hosts.first))
        let url = "rabbit://\(host.user):\(host.password.reveal())@\(host.host):\(host.port)/\(access.virtualHost)"
        let notifications =
            "{ url: '\(url)', exchanges: [\(room.exchange)], queue: \(room.settings.queue), nova: { exchange: never-declared } }"
        try Data("dcn1: { hosts: { h: } }\nnova_compute: { hosts: { h: } }\n".utf8).write(to: folder.appending(path: "dcn1.yaml"))
        let text = "notifications: \(notifications)\ninventory: [dcn1.yaml]\nstate: state.sqlite\nsites: \(sites)\n"
        try Data(text.utf8).write(to: folder.appending(path: "f.yaml"))
        let (process, output) = (Process(), Pipe())
        let binary = ProcessInfo.processInfo.environment["FORECACHE_BINARY"] ?? root.appending(path: ".build/debug/forecache").path
        process.executableURL = URL(filePath: binary)
        process.arguments = ["doctor", "--config", folder.appending(path: "f.yaml").path, "--output", "json"]
        process.environment = ["HOME": folder.path, "PATH": "/usr/bin:/bin"]
        (process.standardOutput, process.standardError) = (output, FileHandle.nullDevice)
        try process.run()
        let json = try JSONSerialization.jsonObject(with: output.fileHandleForReading.readDataToEndOfFile()) as? [String: Any]
        process.waitUntilExit()
        let findings = try #require(json?["findings"] as? [[String: Any]]).filter { $0["check"] as? String == "rabbitmq" }
        return findings.map { finding in
            (finding["level"] as? String ?? "", finding["text"] as? String ?? "", finding["remedy"] as? String ?? "")
        }
    }

    @Test func doctorNamesTheWholeCommandAndLooksAtNovasExchangeWhereASiteUsesIt() async throws {
        try await limited(configure: "^OWN", write: "^OWN", read: "^OWN\\.") { room in
            let failed = try doctor(room, sites: "{}").filter { $0.level == "fail" }
            #expect(failed.map(\.remedy) == [try permissions(room)])
            #expect(failed.first?.text.contains("exchange '\(room.exchange)' may not be read by") == true)

            var both = room
            both.settings.exchanges.append("never-declared")
            let withNova = try doctor(room, sites: "{ dcn1: { via: nova-api } }")
            #expect(withNova.filter { $0.level == "fail" }.map(\.remedy) == [try permissions(both)])
            #expect(withNova.contains { $0.level == "warn" && $0.text.hasPrefix("exchange 'never-declared' is not there") })
            try await room.lab.atTheBroker(permissions(room))
            #expect(try doctor(room, sites: "{}").allSatisfy { $0.level != "fail" })
        }
    }

    @Test func boundsHoldAlsoWhereAnotherPolicyMatchesEveryQueue() async throws {
        try await Room().open { room in
            let (lab, host) = (room.lab, room.settings.access.virtualHost)
            let bounds = BrokerCommands.bounds(at: host, queue: room.settings.queue, topics: ["topic-\(room.settings.queue)"])
            try await lab.rabbitmqctl(
                "set_policy", "-p", host, "--apply-to", "queues", "all-\(room.exchange)", "^\(room.exchange)", "{\"max-length\":10}")
            try await lab.atTheBroker(bounds.replacingOccurrences(of: "10000", with: "2"))
            let record = Record()
            try await running(room.source(), record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
            }
            try await room.publish("one", "two", "three")
            try await eventually("the oldest went") { try await room.publisher.depth(of: room.settings.queue).messages == 2 }
            for policy in ["all-\(room.exchange)", "forecache"] { try await lab.rabbitmqctl("clear_policy", "-p", host, policy) }
        }
    }

    @Test func theReadmeHasTheSameCommands() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
        for exchanges in [["glance"], ["glance", "nova"]] {
            let command = BrokerCommands.permissions(for: "forecache", at: "/", queue: "forecache", exchanges: exchanges)
            #expect(readme.contains(try #require(command.split(separator: " ").last)), "\(command)")
        }
        #expect(readme.contains(BrokerCommands.permissions(for: "forecache", at: "/", queue: "forecache", exchanges: ["glance"])))
        // There the policy has more keys.
        #expect(readme.contains(BrokerCommands.bounds(at: "/", queue: "forecache", topics: []).dropLast(2)))
        let wider = BrokerCommands.bounds(at: "/", queue: "forecache", topics: ["notifications"]).split(separator: " ")
        #expect(readme.contains(try #require(wider.first { $0.hasPrefix("'^(") })))
    }
}
