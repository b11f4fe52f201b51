import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import RabbitMQSource
import Testing

@Suite(.timeLimit(.minutes(3))) struct RefusalTests {
    @Test func tlsWithTheRightAuthority() async throws {
        let tls = try Lab().access("RABBITMQ_TLS_URL")
        var room = try Room()
        room.settings.access = tls
        try await room.open { room in
            let record = Record()
            try await running(room.source(), record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
                try await room.publish(String(repeating: "y", count: 500_000), "small")
                try await eventually("two messages") { record.texts.count == 2 }
            }
            #expect(record.texts.map(\.count) == [500_000, 5])
        }
    }

    @Test func tlsByNameAndByAddress() async throws {
        for host in ["localhost", "127.0.0.1"] {
            var access = try Lab().access("RABBITMQ_TLS_URL")
            access.hosts[0].host = host
            try await Publisher(access: access).declareExchange("amq.topic", isDurable: true)
        }
    }

    @Test func tlsWithAnotherAuthorityIsRefused() async throws {
        var access = try Lab().access("RABBITMQ_TLS_URL")
        access.tls?.caFile = nil
        let text = try await refusal(access)
        #expect(text.contains("cert verification failed"), "\(text)")
        #expect(text.contains("ssl_ca_file"), "\(text)")
        access.tls?.isVerified = false
        try await Publisher(access: access).declareExchange("amq.topic", isDurable: true)
    }

    @Test func tlsWithAnotherHostNameIsRefused() async throws {
        // The resolver takes both for 127.0.0.1; the certificate has neither, the one as a name, the other as an address.
        for (host, said) in [("127.1", "hostname verification failed"), ("::ffff:127.0.0.1", "cert verification failed")] {
            var access = try Lab().access("RABBITMQ_TLS_URL")
            access.hosts[0].host = host
            let text = try await refusal(access)
            #expect(text.contains(said) && text.contains("certificate"), "\(text)")
        }
    }

    @Test func aNameThatDoesNotResolveIsSaid() async throws {
        var access = try Lab().access()
        access.hosts[0].host = "no-such-host.invalid"
        let text = try await refusal(access)
        #expect(text.contains("no-such-host.invalid") && text.contains("resolver"), "\(text)")
    }

    @Test func aMissingAuthorityFileIsNamed() async throws {
        var access = try Lab().access("RABBITMQ_TLS_URL")
        access.tls?.caFile = "/nonexistent/ca.pem"
        let text = try await refusal(access)
        #expect(text.contains("TLS files"), "\(text)")
    }

    @Test func plainOnTheTLSPortIsRefusedInTime() async throws {
        var access = try Lab().access("RABBITMQ_TLS_URL")
        access.tls = nil
        _ = try await refusal(access)
    }

    @Test func aWrongPasswordIsSaidWithItsRemedyAndWithoutThePassword() async throws {
        var access = try Lab().access()
        access.hosts[0].password = Secret("not-the-password")
        let text = try await refusal(access)
        #expect(text.contains("ACCESS_REFUSED") && text.contains("check user, password"), "\(text)")
        #expect(!text.contains("not-the-password"))
    }

    @Test func aWrongVirtualHostIsSaid() async throws {
        var access = try Lab().access()
        access.virtualHost = "no-such-vhost"
        let text = try await refusal(access)
        #expect(text.contains("no-such-vhost") && text.contains("virtual host"), "\(text)")
    }

    @Test func nobodyListening() async throws {
        var access = try Lab().access()
        access.hosts[0].port = 1
        let text = try await refusal(access)
        #expect(text.contains(":1 "), "\(text)")
    }

    @Test func theNextBrokerIsTried() async throws {
        let good = try Lab().access().hosts[0]
        var bad = good
        bad.port = 1
        let hosts = [bad, bad, good, bad]
        var room = try Room()
        room.settings.access.hosts = hosts
        try await room.open { room in
            let record = Record()
            try await running(room.source(), record) {
                try await eventually("subscribed") { record.count("subscribed") == 1 }
            }
            #expect(record.count("lost") == 0)
        }
    }

    /// What the source says about a broker that does not take it; it says so once and goes on trying.
    private func refusal(_ access: BrokerAccess) async throws -> String {
        let record = Record()
        let settings = RabbitMQSettings(access: access, queue: "test-refused", isTemporary: true)
        let source = RabbitMQSource(settings: settings, limits: Limits(), logger: quiet)
        try await running(source, record) {
            try await eventually("a refusal") { record.count("lost") == 1 }
        }
        #expect(record.count("subscribed") == 0)
        return try #require(record.failures.first).description
    }
}
