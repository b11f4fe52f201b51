import ForecacheModel
import ForecacheTestSupport
import RabbitMQSource
import Testing

@Suite struct TransportURLTests {
    @Test func severalHostsWithTheirAccounts() throws {
        let access = try TransportURL.parse(
            Secret("rabbit://glance:s%40cr%2Fet@rabbit1:5673,other:pw@[fd00::1]:5674,rabbit3/open%2Fstack?ssl=0"))
        #expect(access.hosts.map(\.description) == ["rabbit1:5673", "[fd00::1]:5674", "rabbit3:5672"])
        #expect(access.hosts.map(\.user) == ["glance", "other", "other"])
        #expect(access.hosts.map { $0.password.reveal() } == ["s@cr/et", "pw", "pw"])
        #expect(access.virtualHost == "open/stack")
        #expect(access.tls == nil)
    }

    @Test func tlsOptions() throws {
        let access = try TransportURL.parse(
            Secret(
                "rabbit://u:p@h/v?ssl=True&ssl_ca_file=/etc/ca%20x.pem&ssl_cert_file=/c&ssl_key_file=/k&heartbeat_timeout_threshold=30&rabbit_qos_prefetch_count=3"
            ))
        #expect(access.tls == BrokerTLS(caFile: "/etc/ca x.pem", clientCertificateFile: "/c", clientKeyFile: "/k"))
        #expect(access.hosts[0].port == 5672)
        #expect(access.heartbeatSeconds == 30)
    }

    @Test(arguments: [
        ("amqp://h", "h:5672", "/", false), ("amqps://h", "h:5671", "/", true), ("amqps://h/?ssl=0", "h:5671", "/", false),
        ("kombu+rabbit://h:1/", "h:1", "/", false), ("rabbit://u:p@h//", "h:5672", "/", false),
        ("RABBIT://h.example:5672/v\n", "h.example:5672", "v", false),
    ])
    func schemesAndDefaults(url: String, host: String, virtualHost: String, isTLS: Bool) throws {
        let access = try TransportURL.parse(Secret(url))
        #expect(access.hosts.map(\.description) == [host])
        #expect(access.virtualHost == virtualHost)
        #expect((access.tls != nil) == isTLS)
    }

    @Test func aUserWithoutPassword() throws {
        let access = try TransportURL.parse(Secret("rabbit://me@h/"))
        #expect(access.hosts[0].user == "me")
        #expect(access.hosts[0].password == Secret(""))
    }

    @Test(arguments: [
        "", "zecret", "http://zecret@h/", "rabbit://", "rabbit:///v", "rabbit://u:zec/ret@h:5672/v", "rabbit://u:zec#ret@h/v",
        "rabbit://u:zec,ret@h/v",
        "rabbit://u:zec?ret@h/v", "rabbit://u:p@h:zecret/v", "rabbit://u:zec%ret@h/v", "rabbit://u:p@h/v%zzecret", "rabbit://u:p@h:0/",
        "rabbit://u:p@h:70000/",
        "rabbit://u:p@[::1/v", "rabbit://u:p@h/v?zecret=1", "rabbit://u:p@h/v?ssl=zecret", "rabbit://u:p@h/v?ssl=1&ssl_cert_file=/zecret",
        "rabbit://u:p@h/v?heartbeat_timeout_threshold=0", "rabbit://u:p@h,/v", "rabbit://u:p@h zecret/v", "rabbit://u:zecret%00@h/v",
    ])
    func whatIsRefusedIsNotRepeated(url: String) {
        #expect {
            try TransportURL.parse(Secret(url))
        } throws: { error in
            let text = "\(error)"
            return (error as? Failure)?.kind == .permanent && !text.contains("zec") && !text.contains("ret@")
        }
    }

    /// Whatever comes, it is taken apart or refused, and never a trap.
    @Test func anyTextIsTakenOrRefused() {
        var random = SplitMix64(seed: 20_260_801)
        let pieces = ["rabbit://", "u", ":", "p", "@", "h", "/", "?", "&", "=", "ssl", "1", ",", "[", "]", "%", "%41", "é", "#", "\0", " "]
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...14, using: &random)).map { _ in pieces[Int.random(in: 0..<pieces.count, using: &random)] }
                .joined()
            // Which of the two is the other tests' question.
            _ = try? TransportURL.parse(Secret("rabbit://" + text))
        }
    }
}
