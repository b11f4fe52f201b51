import ForecacheModel
import FoundationEssentials
import Planning
import StrictYAML

/// Reads `forecache.yaml` strictly: every problem is noted with its place, and reading goes on.
struct ConfigurationReader {
    let files: OperatorFiles
    /// Relative paths count from the configuration file's own directory.
    let directory: String
    var problems = Problems()

    init(file: String, files: OperatorFiles) {
        self.files = files
        self.directory = OperatorFiles.parent(of: file)
    }

    mutating func read(_ text: String, file: String) -> Configuration {
        var configuration = Configuration()
        guard let root = Value.parse(text, file: file, problems: &problems), root.content != .null,
            var keys = Mapping(root, "the configuration", &problems)
        else { return configuration }
        configuration.cloud = keys.take("cloud")?.string("cloud", &problems)
        configuration.notifications = keys.take("notifications").flatMap { notifications($0) }
        configuration.inventory = paths(keys.take("inventory"), "inventory") ?? []
        set(&configuration.hostsGroup, keys.take("hosts_group")) { $0.string("hosts_group", &$1) }
        configuration.sites = keys.take("sites").map { sites($0) } ?? [:]
        configuration.rules = paths(keys.take("rules"), "rules") ?? []
        configuration.ttl = keys.take("ttl").flatMap { ttl($0) } ?? configuration.ttl
        configuration.refreshFraction = keys.take("refresh").flatMap { refresh($0) } ?? configuration.refreshFraction
        set(&configuration.resyncSeconds, keys.take("resync")) { $0.seconds("resync", &$1) }
        configuration.ssh = keys.take("ssh").flatMap { ssh($0) } ?? configuration.ssh
        configuration.node = keys.take("node").flatMap { node($0) } ?? configuration.node
        configuration.peer = keys.take("peer").flatMap { peer($0) } ?? configuration.peer
        set(&configuration.state, keys.take("state")) { $0.string("state", &$1) }
        configuration.state = path(configuration.state)
        configuration.status = keys.take("status").flatMap { status($0) } ?? configuration.status
        set(&configuration.limits, keys.take("limits")) { LimitKeys.read($0, &$1) }
        keys.finish(&problems)
        return configuration
    }

    private mutating func notifications(_ value: Value) -> Configuration.Notifications? {
        guard var keys = Mapping(value, "notifications", &problems) else { return nil }
        let url = keys.take("url").flatMap { $0.string("notifications.url", &problems) }
        let urlFile = keys.take("url_file")
        var settings = Configuration.Notifications(url: Secret(url ?? ""))
        if let urlFile, let file = urlFile.string("notifications.url_file", &problems) {
            if url != nil { problems.add(urlFile.place, "give either url or url_file, not both") }
            switch files.text(path(file)) {
            case .success(let text): settings.url = Secret(text.split(whereSeparator: \.isNewline).first.map(String.init) ?? "")
            case .failure(let failure): problems.add(urlFile.place, failure.description)
            }
        } else if url == nil {
            problems.add(value.place, "notifications needs the key 'url' or 'url_file' (oslo's transport_url)")
        }
        set(&settings.exchanges, keys.take("exchanges")) { $0.strings("notifications.exchanges", &$1) }
        set(&settings.topics, keys.take("topics")) { $0.strings("notifications.topics", &$1) }
        set(&settings.queue, keys.take("queue")) { $0.string("notifications.queue", &$1) }
        set(&settings.prefetch, keys.take("prefetch")) { $0.integer("notifications.prefetch", in: 1...10_000, &$1) }
        if settings.queue.hasPrefix("notifications.") {
            problems.add(
                value.place,
                "queue '\(settings.queue)' is oslo's default queue: consuming it would take messages from others; use a name of our own")
        }
        keys.finish(&problems)
        return settings
    }

    private mutating func sites(_ value: Value) -> [SiteName: SiteSettings] {
        guard let sites = Mapping(value, "sites", &problems) else { return [:] }
        var settings: [SiteName: SiteSettings] = [:]
        for entry in sites.entries {
            guard entry.value.content != .null, var keys = Mapping(entry.value, "site \(entry.key)", &problems) else {
                settings[SiteName(entry.key)] = SiteSettings()
                continue
            }
            var site = SiteSettings()
            site.group = keys.take("group")?.string("group", &problems)
            site.via = keys.take("via").flatMap { via($0) }
            site.forks = keys.take("forks")?.integer("forks", in: 1...10_000, &problems)
            site.glance = keys.take("glance")?.string("glance", &problems)
            site.seed = keys.take("seed")?.string("seed", &problems).map { HostName($0) }
            site.keepFreeBytes = keys.take("keep_free")?.bytes("keep_free", &problems)
            for later in ["fan_out", "rate_limit", "window", "aggregate"] { refuse(keys.take(later), later) }
            keys.finish(&problems)
            settings[SiteName(entry.key)] = site
        }
        return settings
    }

    private mutating func via(_ value: Value) -> Via? {
        guard let via = value.word("via", as: Via.self, &problems) else { return nil }
        switch via {
        case .direct, .proxy: return via
        case .relay, .novaAPI:
            problems.add(value.place, "via '\(via.rawValue)' is not available in this version yet; use direct or proxy")
            return nil
        }
    }

    private mutating func ttl(_ value: Value) -> TTLDefaults? {
        guard var keys = Mapping(value, "ttl", &problems) else { return nil }
        var ttl = TTLDefaults()
        // TripleO's own parameter files count first, so that what is written here wins over them.
        for file in paths(keys.take("environment"), "ttl.environment") ?? [] {
            switch files.text(file) {
            case .success(let text): ttl = TripleOEnvironment.ttl(text, file: file, over: ttl, &problems)
            case .failure(let failure): problems.add(value.place, failure.description)
            }
        }
        set(&ttl.seconds, keys.take("default")) { $0.seconds("ttl.default", &$1) }
        if let roles = keys.take("roles"), let mapping = Mapping(roles, "ttl.roles", &problems) {
            for entry in mapping.entries {
                guard let seconds = entry.value.seconds("ttl of role \(entry.key)", &problems) else { continue }
                ttl.roles[RoleName(entry.key)] = seconds
            }
        }
        keys.finish(&problems)
        return ttl
    }

    private mutating func refresh(_ value: Value) -> Double? {
        guard var keys = Mapping(value, "refresh", &problems) else { return nil }
        defer { keys.finish(&problems) }
        guard let at = keys.require("at", &problems), let text = at.string("refresh.at", &problems) else { return nil }
        guard text.hasSuffix("%"), let percent = Double(text.dropLast()), (5...95).contains(percent) else {
            problems.add(at.place, "refresh.at must be a share of the TTL from 5% to 95%, not '\(text)'")
            return nil
        }
        return percent / 100
    }

    private mutating func ssh(_ value: Value) -> SSHSettings? {
        guard var keys = Mapping(value, "ssh", &problems) else { return nil }
        var ssh = SSHSettings()
        set(&ssh.user, keys.take("user")) { $0.string("ssh.user", &$1) }
        set(&ssh.port, keys.take("port")) { $0.integer("ssh.port", in: 1...65535, &$1) }
        ssh.identityFiles = paths(keys.take("identity"), "ssh.identity") ?? []
        ssh.knownHostsFiles = paths(keys.take("known_hosts"), "ssh.known_hosts") ?? []
        set(&ssh.hostKeyChecking, keys.take("host_key_checking")) { $0.word("ssh.host_key_checking", as: HostKeyChecking.self, &$1) }
        set(&ssh.become, keys.take("become")) { $0.word("ssh.become", as: Become.self, &$1) }
        set(&ssh.connectTimeoutSeconds, keys.take("connect_timeout")) { $0.seconds("ssh.connect_timeout", &$1) }
        ssh.jump = keys.take("jump")?.string("ssh.jump", &problems)
        keys.finish(&problems)
        return ssh
    }

    private mutating func node(_ value: Value) -> Configuration.Node? {
        guard var keys = Mapping(value, "node", &problems) else { return nil }
        var node = Configuration.Node()
        set(&node.cacheDirectory, keys.take("cache_dir")) { $0.string("node.cache_dir", &$1) }
        if let owner = keys.take("owner"), let text = owner.string("node.owner", &problems) {
            let numbers = text.split(separator: ":", omittingEmptySubsequences: false).map { UInt32($0) }
            if numbers.count == 2, !numbers.contains(nil) {
                node.owner = text
            } else {
                problems.add(owner.place, "node.owner must be uid:gid in numbers, such as 42436:42436, not '\(text)'")
            }
        }
        set(&node.container, keys.take("container")) { $0.string("node.container", &$1).map { $0 == "none" ? nil : $0 } }
        set(&node.containerCLI, keys.take("container_cli")) { $0.string("node.container_cli", &$1) }
        if let format = keys.take("format"), format.string("node.format", &problems) != "original" {
            problems.add(
                format.place, "node.format \(format.kind) is not available in this version yet; use original (Glance's bytes as they are)")
        }
        keys.finish(&problems)
        return node
    }

    private mutating func peer(_ value: Value) -> Configuration.Peer? {
        guard var keys = Mapping(value, "peer", &problems) else { return nil }
        var peer = Configuration.Peer()
        set(&peer.user, keys.take("user")) { $0.string("peer.user", &$1) }
        set(&peer.identity, keys.take("identity")) { $0.string("peer.identity", &$1) }
        set(&peer.port, keys.take("port")) { $0.integer("peer.port", in: 1...65535, &$1) }
        set(&peer.network, keys.take("network")) { $0.string("peer.network", &$1) }
        peer.knownHosts = keys.take("known_hosts")?.string("peer.known_hosts", &problems)
        set(&peer.hostKeyChecking, keys.take("host_key_checking")) { $0.word("peer.host_key_checking", as: HostKeyChecking.self, &$1) }
        keys.finish(&problems)
        return peer
    }

    private mutating func status(_ value: Value) -> Configuration.Listen? {
        guard var keys = Mapping(value, "status", &problems) else { return nil }
        defer { keys.finish(&problems) }
        guard let listen = keys.require("listen", &problems), let text = listen.string("status.listen", &problems) else { return nil }
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65535).contains(port),
            colon > text.startIndex
        else {
            problems.add(listen.place, "status.listen must be address:port, such as 127.0.0.1:9797, not '\(text)'")
            return nil
        }
        let host = text[..<colon]
        return Configuration.Listen(host: host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : String(host), port: port)
    }

    // MARK: - Small readings

    private mutating func set<T>(_ target: inout T, _ value: Value?, _ read: (Value, inout Problems) -> T?) {
        guard let value else { return }
        var noted = Problems()
        if let new = read(value, &noted) { target = new }
        problems.add(contentsOf: noted)
    }

    private mutating func refuse(_ value: Value?, _ key: String) {
        if let value { problems.add(value.place, "'\(key)' is not available in this version yet; remove it") }
    }

    private mutating func paths(_ value: Value?, _ what: String) -> [String]? {
        value.flatMap { $0.strings(what, &problems) }?.map { path($0) }
    }

    private func path(_ text: String) -> String { files.absolute(text, from: directory) }
}
