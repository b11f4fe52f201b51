import ForecacheModel
import Foundation
import Planning
import StrictYAML
import Testing

@testable import Daemon

@Suite struct ConfigurationTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func read(_ text: String) -> (configuration: Configuration, problems: [String]) {
        var reader = ConfigurationReader(file: "\(folder.path)/f.yaml", files: OperatorFiles(environment: folder.environment))
        let configuration = reader.read(text, file: "f.yaml")
        return (configuration, reader.problems.list.sorted().map(\.description))
    }

    // MARK: - What is understood

    @Test func sitesThatAreLeftToNovaNeedItsNotifications() throws {
        let sites = "sites: { dcn1: { via: nova-api, aggregate: edge }, dcn2: { via: direct } }"
        let url = "notifications: { url: \"rabbit://u:p@h/\", nova: { exchange: cells, topic: versioned } }"
        let (configuration, problems) = read("\(sites)\n\(url)")
        #expect(problems == [])
        let dcn1 = SiteSettings(deliver: DeliverySettings(via: .novaAPI), aggregate: "edge")
        #expect(configuration.sites["dcn1"] == dcn1)
        #expect(configuration.notifications?.novaExchange == "cells" && configuration.notifications?.novaTopic == "versioned")
        #expect(read(sites).problems.count == 1)
        #expect(read(sites).problems.first?.contains("f.yaml:1:10: via nova-api hears how hosts end") == true)
        #expect(read("notifications: { url: \"rabbit://u:p@h/\" }").configuration.notifications?.novaTopic == "versioned_notifications")
    }

    @Test func addressesAndPathsOnHostsAreLookedAt() {
        let (configuration, problems) = read(
            """
            sites: { a: { glance: "https://[::1]:9292/v2" }, b: { glance: glance.example.org }, c: { glance: "ftp://h" } }
            ssh: { jump: "stack@bastion 22" }
            node: { cache_dir: instances/_base }
            peer: { identity: ~/.ssh/id_rsa, known_hosts: known_hosts }
            """)
        #expect(
            problems == [
                "f.yaml:1:63: site b.glance must be a URL such as http://172.23.2.10:9292, not 'glance.example.org'",
                "f.yaml:1:98: site c.glance must be a URL such as http://172.23.2.10:9292, not 'ftp://h'",
                "f.yaml:2:14: ssh.jump must be [user@]host[:port], not 'stack@bastion 22'",
                "f.yaml:3:20: node.cache_dir is a path on the hosts and must begin with /, not 'instances/_base'",
                "f.yaml:4:19: peer.identity is a path on the hosts and must begin with /, not '~/.ssh/id_rsa'",
                "f.yaml:4:47: peer.known_hosts is a path on the hosts and must begin with /, not 'known_hosts'",
            ])
        #expect(configuration.sites["a"]?.glance == "https://[::1]:9292/v2")
        #expect(read("ssh: { jump: \"ssh://stack@bastion:22\" }").configuration.ssh.jump == JumpHost(user: "stack", host: "bastion"))
    }

    @Test func signaturesAreAskedForByOneKeyAndFoundByAnother() throws {
        let configuration = read("verify_signatures: true\nsignature_certificates: signers").configuration
        #expect(configuration.verifiesSignatures)
        #expect(configuration.signatureCertificates == "\(folder.path)/signers")
        #expect(!read("").configuration.verifiesSignatures)
        #expect(read("signature_certificates: signers").problems.first?.contains("'verify_signatures: true' only") == true)
    }

    @Test func everyKeyIsAccepted() throws {
        let (configuration, problems) = read(
            """
            cloud: overcloud
            notifications: { url: "rabbit://u:p@h1:5672,u:p@h2:5672/v", exchanges: [glance, g2], topics: [t], queue: mine, prefetch: 7 }
            inventory: [inventories/, /abs]
            hosts_group: compute
            sites:
              dcn1: { group: g, via: proxy, forks: 3, glance: "http://10.0.0.9:9292", seed: h1, keep_free: 20GiB }
              dcn2:
            rules: rules/
            ttl: { default: 12h, roles: { ComputeSite1: 30d } }
            refresh: { at: 25% }
            resync: 5m
            ssh: { user: u, port: 2200, identity: [~/k], known_hosts: kh, host_key_checking: accept-new, become: none, connect_timeout: 3s, jump: "b@h:1" }
            node: { cache_dir: /c, owner: "1:2", container: none, container_cli: docker, nova_conf: /n.conf, cacert: /ca.pem, format: original }
            peer: { user: m, identity: /i, port: 1, network: tenant, known_hosts: /kh, host_key_checking: off }
            state: state.sqlite
            status: { listen: "[::1]:1" }
            limits: { forks: 9 }
            """)
        #expect(problems == [])
        #expect(configuration.cloud == "overcloud")
        let notifications = try #require(configuration.notifications)
        #expect(notifications.url.reveal() == "rabbit://u:p@h1:5672,u:p@h2:5672/v")
        #expect((notifications.exchanges, notifications.topics) == (["glance", "g2"], ["t"]))
        #expect((notifications.queue, notifications.prefetch) == ("mine", 7))
        #expect(configuration.inventory == ["\(folder.path)/inventories/", "/abs"])
        #expect(configuration.hostsGroup == "compute")
        let dcn1 = SiteSettings(
            group: "g", deliver: DeliverySettings(via: .proxy), forks: 3, glance: "http://10.0.0.9:9292", seed: "h1",
            keepFreeBytes: 20 << 30)
        #expect(configuration.sites == ["dcn1": dcn1, "dcn2": SiteSettings()])
        #expect(configuration.rules == ["\(folder.path)/rules/"])
        #expect(configuration.ttl == TTLDefaults(seconds: 43200, roles: ["ComputeSite1": 2_592_000]))
        #expect((configuration.refreshFraction, configuration.resyncSeconds) == (0.25, 300))
        let ssh = SSHSettings(
            user: "u", port: 2200, identityFiles: ["\(folder.path)/k"], knownHostsFiles: ["\(folder.path)/kh"],
            hostKeyChecking: .acceptNew, become: .none, connectTimeoutSeconds: 3, jump: JumpHost(user: "b", host: "h", port: 1))
        #expect(configuration.ssh == ssh)
        #expect((configuration.node.cacheDirectory, configuration.node.owner) == ("/c", "1:2"))
        #expect(configuration.node.container == nil)
        #expect(configuration.node.containerCLI == "docker")
        #expect((configuration.node.novaConfiguration, configuration.node.caFile) == ("/n.conf", "/ca.pem"))
        #expect((configuration.peer.user, configuration.peer.identity, configuration.peer.port) == ("m", "/i", 1))
        #expect((configuration.peer.network, configuration.peer.knownHosts) == ("tenant", "/kh"))
        #expect(configuration.peer.hostKeyChecking == .off)
        #expect(configuration.state == "\(folder.path)/state.sqlite")
        #expect((configuration.status.host, configuration.status.port) == ("::1", 1))
        #expect(configuration.limits.forks == 9)
    }

    @Test func nothingIsTheDefaults() {
        let (configuration, problems) = read("")
        #expect(problems == [])
        #expect(configuration.hostsGroup == "nova_compute")
        #expect(configuration.state == "/var/lib/forecache/forecache.sqlite")
        #expect((configuration.status.host, configuration.status.port) == ("127.0.0.1", 9797))
        #expect(configuration.limits == Limits())
        #expect(configuration.ssh.identityFiles == [])
    }

    @Test func withoutAWordAboutKeysThoseOfSSHItselfServe() throws {
        try folder.write(".ssh/id_ed25519", "")
        let configuration = read("ssh: { user: x }").configuration
        #expect(configuration.ssh.identityFiles == ["\(folder.path)/.ssh/id_ed25519"])
        // Where nobody has one yet, the first host key that is accepted makes it.
        #expect(configuration.ssh.knownHostsFiles == ["\(folder.path)/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"])
        #expect(read("ssh: { identity: [] }").configuration.ssh.identityFiles == [])
    }

    @Test func theURLMayLieInAFileOfItsOwn() throws {
        try folder.write("url", "\nrabbit://u:p@h/\nand more\n")
        let (configuration, problems) = read("notifications: { url_file: url }")
        #expect(problems == [])
        #expect(configuration.notifications?.url.reveal() == "rabbit://u:p@h/")
    }

    private static func file(_ path: String) throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    @Test func theExampleLoadsWithoutAWordAndHasEveryKey() throws {
        let text = try Self.file("deploy/forecache.example.yaml")
        let (configuration, problems) = read(text)
        #expect(problems == [])
        // A section begins with a key at the margin, or with one that is commented out.
        var (sections, section) = ([String: String](), "")
        for line in text.split(separator: "\n") {
            if let key = line.firstMatch(of: /^(?:# )?([a-z_]+):/) { section = String(key.output.1) }
            sections[section, default: ""] += "\(line)\n"
        }
        let keys = try Self.keysOfTheReaders()
        #expect(keys.count > 80)
        for (name, key) in keys {
            let isThere = name == "read" ? sections[key] != nil : sections[name]?.contains(try Regex("[ {]\(key): ")) == true
            #expect(isThere, "the example has no \(name == "read" ? "" : "\(name).")\(key)")
        }
        #expect(configuration.limits == Limits(), "the example shows the defaults")
        #expect(configuration.node.container == "nova_compute")
    }

    /// What the readers ask for, by the function that asks, which is called as its section; `read` is the whole file.
    private static func keysOfTheReaders() throws -> [(section: String, key: String)] {
        var (keys, section) = ([(section: String, key: String)](), "")
        for line in try file("Sources/Daemon/Configuration/ConfigurationReader.swift").split(separator: "\n") {
            if let function = line.firstMatch(of: /func ([A-Za-z]+)\(/) { section = String(function.output.1) }
            if section == "transportURL" { section = "notifications" }
            keys += line.matches(of: /(?:take|require)\("([a-z_]+)"/).map { (section, String($0.output.1)) }
        }
        let limits = try file("Sources/Daemon/Configuration/LimitKeys.swift").matches(of: /\("([a-z_]+)", \\\./)
        let delivery = try file("Sources/Rules/DeliveryReader.swift").matches(of: /take\("([a-z_]+)"/)
        return keys + limits.map { ("limits", String($0.output.1)) } + delivery.map { ("sites", String($0.output.1)) }
    }

    // MARK: - What is refused

    @Test func everyProblemIsToldAtOnceWithItsPlace() {
        let problems = read(
            """
            clod: x
            notifications:
              url: rabbit://u:p@h/
              prefetsch: 3
            sites: { dcn1: { forks: 0, rate_limit: fast, window: "01:00-05:00 Europe/Berlim" } }
            refresh: { at: 99% }
            resync: 0
            ttl: { default: 0 }
            node: { owner: nova, format: qcow2 }
            status: { listen: 9797 }
            """
        ).problems
        #expect(
            problems == [
                "f.yaml:1:1: unknown key 'clod' in the configuration; did you mean 'cloud'?",
                "f.yaml:4:3: unknown key 'prefetsch' in notifications; did you mean 'prefetch'?",
                "f.yaml:5:25: forks must be a whole number from 1 to 10000, not '0'",
                "f.yaml:5:40: site dcn1.rate_limit must be a rate of more than 0 such as 20MiB/s or 500KiB/s, not 'fast'",
                "f.yaml:5:54: site dcn1.window names the time zone 'Europe/Berlim', which the time zone database has not; write one like Europe/London",
                "f.yaml:6:16: refresh.at must be a share of the TTL from 5% to 95%, not '99%'",
                "f.yaml:7:9: resync must be at least 10 s, not '0'",
                "f.yaml:8:17: ttl.default must be at least 60 s, not '0'",
                "f.yaml:9:16: node.owner must be uid:gid in numbers, such as 42436:42436, not 'nova'",
                "f.yaml:9:30: node.format must be one of auto, raw, original, not 'qcow2'",
                "f.yaml:10:19: status.listen must be address:port, such as 127.0.0.1:9797, not '9797'",
            ])
    }

    @Test func aSiteSaysHowBytesReachIt() throws {
        let (configuration, problems) = read(
            """
            sites:
              dcn1: { via: relay, fan_out: 3, rate_limit: 50MiB/s, window: "01:00-05:00 Europe/Berlin", max_size: 50GiB, streams: 4,
                      source: controller }
            limits: { images_per_site: 2, images_in_flight: 9 }
            """)
        #expect(problems == [])
        let window: Window = try #require(Window("01:00-05:00 Europe/Berlin"))
        let expected = DeliverySettings(
            via: .relay, fanOut: 3, rateLimit: 50 << 20, window: window,
            maxSizeBytes: 50 << 30, streams: 4, source: .controller)
        #expect(configuration.sites["dcn1"]?.deliver == expected)
        #expect((configuration.limits.imagesPerSite, configuration.limits.imagesInFlight) == (2, 9))
    }

    @Test(arguments: ["window", "rate_limit", "max_size", "keep_free", "seed"]) func aSitesKeyWithoutAValueIsNoKeyLeftOut(key: String) {
        #expect(
            read("sites: { dcn1: { \(key): } }").problems == [
                "f.yaml:1:18: key '\(key)' in site dcn1 has no value; give one or leave the key out"
            ])
    }

    @Test func whatHoldsThingsBackHasAValueAndSectionsHaveTheirDefaults() {
        #expect(
            read("refresh:\nreload:\nstatus:\nverify_signatures:\n").problems == [
                "f.yaml:4:1: key 'verify_signatures' in the configuration has no value; give one or leave the key out"
            ])
    }

    @Test func aConfigurationMustBeAMapping() {
        #expect(read("- a").problems == ["f.yaml:1:1: the configuration must be a mapping of keys and values, not a list"])
    }

    @Test func queuesOfOthersAreNotConsumed() {
        #expect(
            read("notifications: { url: 'rabbit://h/', queue: notifications.info }").problems == [
                "f.yaml:1:45: queue 'notifications.info' is oslo's own for that topic: consuming it would take messages from others; use a name of our own"
            ])
    }

    @Test func notificationsNeedNames() {
        #expect(
            read("notifications: { url: 'rabbit://h/', exchanges: [], queue: '' }").problems == [
                "f.yaml:1:49: notifications.exchanges must name at least one",
                "f.yaml:1:60: notifications.queue must not be empty",
            ])
    }

    // MARK: - Secrets

    @Test(arguments: [
        "notifications: rabbit://u:s3cret@h/", "notifications: { url: 'http://u:s3cret@h/' }",
        "notifications: { url: 'rabbit://u:s3/cret@h/' }",
        "notifications: { url: 's3cret' }", "notifications: { url: { 's3cret': 1 } }", "notifications: { url_file: url }",
    ])
    func noPartOfTheURLIsInAProblem(text: String) throws {
        try folder.write("url", "s3cret://u:s3cret@h/")
        let problems = read(text).problems
        #expect(problems.count == 1)
        #expect(!problems.joined().contains("s3"))
        #expect(problems.joined().hasPrefix("f.yaml:1:"))
    }

    /// A problem of those alone who listen to the broker.
    @Test func aURLFileThatIsNotThereIsNamed() {
        let (configuration, problems) = read("notifications: { url_file: nowhere, queue: mine }")
        #expect(problems == [])
        #expect(configuration.notifications?.queue == "mine")
        #expect(
            configuration.notifications?.unread?.description
                == "f.yaml:1:28: cannot read \(folder.path)/nowhere: no such file or directory")
    }

    // MARK: - Limits and TripleO

    @Test func everyLimitHasAKeyAndARange() throws {
        let keys = [
            "forks", "forks_per_site", "relay_forks_per_site", "images_at_once", "images_in_flight", "images_per_site",
            "survey_max_age_seconds", "away_seconds", "backoff_seconds", "backoff_max_seconds", "catalog_tries", "stall_seconds",
            "command_seconds", "publish_seconds", "precache_silence_seconds", "node_line_bytes", "message_bytes",
            "waiting_message_bytes", "odd_messages", "history", "touches_per_command", "temporary_seconds", "drain_seconds",
            "status_clients",
        ]
        #expect(Mirror(reflecting: Limits()).children.count == keys.count, "a limit without a key")
        for key in keys {
            #expect(read("limits: { \(key): x }").problems.count == 1)
            let problem = try #require(read("limits: { \(key): -1 }").problems.first)
            #expect(problem.contains("limits.\(key) must be a whole number from "))
        }
        #expect(
            read("limits: { fork: 3 }").problems == ["f.yaml:1:11: unknown key 'fork' in limits; did you mean 'forks'?"])
    }

    @Test func systemdWaitsForTheLongestDrain() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let unit = try String(contentsOf: root.appending(path: "deploy/forecache.service"), encoding: .utf8)
        let seconds = try #require(unit.firstMatch(of: /TimeoutStopSec=(\d+)\n/)?.output.1)
        #expect(read("limits: { drain_seconds: \(seconds) }").problems.count == 1, "no drain may be as long")
    }

    @Test func tripleOParametersGiveTheTTLs() throws {
        try folder.write(
            "nova-cache-environment.yaml",
            """
            resource_registry: { "OS::TripleO::X": y.yaml }
            parameter_defaults:
              NovaImageCacheTTL: 2592000
              ComputeSite1Parameters:
                 NovaImageCacheTTL: 604800
                 Other: [1]
              ComputeSite2Parameters: { NovaImageCacheTTL: 3600 }
              CloudName: overcloud
            """)
        let (configuration, problems) = read("ttl: { environment: [nova-cache-environment.yaml], roles: { ComputeSite2: 2h } }")
        #expect(problems == [])
        #expect(configuration.ttl == TTLDefaults(seconds: 2_592_000, roles: ["ComputeSite1": 604_800, "ComputeSite2": 7200]))
    }

    @Test func wrongParametersAreToldWithTheirOwnFile() throws {
        let path = try folder.write("e.yaml", "parameter_defaults:\n  NovaImageCacheTTL: never\n  AParameters: { NovaImageCacheTTL: 0 }\n")
        #expect(
            read("ttl: { environment: e.yaml }").problems == [
                "\(path):2:22: NovaImageCacheTTL must be a whole number of at least 1, not 'never'",
                "\(path):3:37: NovaImageCacheTTL of role A must be a whole number of at least 1, not '0'",
            ])
    }
}
