import ForecacheModel
import FoundationEssentials
import Inventory
import Planning
import RabbitMQSource
import Rules
import StrictYAML

/// Reads `forecache.yaml` strictly: every problem is noted with its place, and reading goes on.
struct ConfigurationReader {
    let files: OperatorFiles
    /// Relative paths count from the configuration file's own directory.
    let directory: String
    var problems = Problems()
    /// Sites that are left to Nova, whose notifications tell how that ends.
    private var novaSites: [Place] = []

    init(file: String, files: OperatorFiles) {
        self.files = files
        self.directory = OperatorFiles.parent(of: file)
    }

    mutating func read(_ text: String, file: String) -> Configuration {
        var configuration = Configuration()
        configuration.ssh = files.sshDefaults
        guard let root = Value.parse(text, file: file, problems: &problems), root.content != .null,
            var keys = Mapping(root, "the configuration", &problems)
        else { return configuration }
        // Without it less is looked at; a section whose keys are all commented out has its defaults.
        keys.refuseKeysWithoutValue(of: ["verify_signatures"], &problems)
        configuration.cloud = keys.take("cloud")?.string("cloud", &problems)
        configuration.notifications = keys.take("notifications").flatMap { notifications($0) }
        configuration.inventory = paths(keys.take("inventory"), "inventory") ?? []
        let hostsGroup = keys.take("hosts_group")
        set(&configuration.hostsGroup, hostsGroup) { $0.string("hosts_group", &$1) }
        configuration.hostsGroupPlace = hostsGroup?.place
        if let value = keys.take("sites") { (configuration.sites, configuration.sitePlaces) = sites(value) }
        configuration.rules = paths(keys.take("rules"), "rules") ?? []
        configuration.ttl = keys.take("ttl").flatMap { ttl($0) } ?? configuration.ttl
        configuration.refreshFraction = keys.take("refresh").flatMap { refresh($0) } ?? configuration.refreshFraction
        set(&configuration.resyncSeconds, keys.take("resync")) { Self.duration("resync", of: $0, atLeast: 10, &$1) }
        set(&configuration.verifiesSignatures, keys.take("verify_signatures")) { $0.bool("verify_signatures", &$1) }
        if let value = keys.take("signature_certificates") {
            configuration.signatureCertificates = value.string("signature_certificates", &problems).map { path($0) }
            if !configuration.verifiesSignatures {
                problems.add(value.place, "signature_certificates counts with 'verify_signatures: true' only")
            }
        }
        configuration.maxNewPlacements = keys.take("reload").flatMap { reload($0) }
        configuration.ssh = keys.take("ssh").flatMap { ssh($0) } ?? configuration.ssh
        configuration.node = keys.take("node").flatMap { node($0) } ?? configuration.node
        configuration.peer = keys.take("peer").flatMap { peer($0) } ?? configuration.peer
        set(&configuration.state, keys.take("state")) { $0.string("state", &$1) }
        configuration.state = path(configuration.state)
        configuration.status = keys.take("status").flatMap { status($0) } ?? configuration.status
        if configuration.notifications == nil, let site = novaSites.first {
            problems.add(
                site, "via nova-api hears how hosts end through Nova's notifications: add 'notifications' with oslo's transport_url")
        }
        set(&configuration.limits, keys.take("limits")) { LimitKeys.read($0, &$1) }
        keys.finish(&problems)
        return configuration
    }

    private mutating func notifications(_ value: Value) -> Configuration.Notifications? {
        // Said without the text that stands there: somebody who writes the URL right here has written a password.
        if case .scalar = value.content {
            problems.add(value.place, "notifications must be a mapping with the key 'url' or 'url_file', not text")
            return nil
        }
        guard var keys = Mapping(value, "notifications", &problems) else { return nil }
        var settings = Configuration.Notifications(url: Secret(""))
        switch transportURL(&keys) {
        case .success(let url)?: settings.url = url
        case .failure(let unread)?: settings.unread = unread
        case nil: break
        }
        let exchanges = keys.take("exchanges")
        set(&settings.exchanges, exchanges) { $0.strings("notifications.exchanges", &$1) }
        let topics = keys.take("topics")
        set(&settings.topics, topics) { $0.strings("notifications.topics", &$1) }
        let queue = keys.take("queue")
        set(&settings.queue, queue) { $0.string("notifications.queue", &$1) }
        set(&settings.prefetch, keys.take("prefetch")) { $0.integer("notifications.prefetch", in: 1...10_000, &$1) }
        if let nova = keys.take("nova"), var keys = Mapping(nova, "notifications.nova", &problems) {
            set(&settings.novaExchange, keys.take("exchange")) { $0.string("notifications.nova.exchange", &$1) }
            set(&settings.novaTopic, keys.take("topic")) { $0.string("notifications.nova.topic", &$1) }
            checkNames([settings.novaExchange, settings.novaTopic], "notifications.nova", at: nova.place)
            keys.finish(&problems)
        }
        keys.finish(&problems)
        checkNames(settings.exchanges, "notifications.exchanges", at: (exchanges ?? value).place)
        checkNames(settings.topics, "notifications.topics", at: (topics ?? value).place)
        checkNames([settings.queue], "notifications.queue", at: (queue ?? value).place)
        if settings.topics.contains(where: { settings.queue.hasPrefix("\($0).") }) {
            problems.add(
                (queue ?? value).place,
                "queue '\(settings.queue)' is oslo's own for that topic: consuming it would take messages from others; use a name of our own"
            )
        }
        return settings
    }

    /// From `url`, or the first line of `url_file`; the failure is that file's, with the place that names it. Problems are told without any part of the URL.
    private mutating func transportURL(_ keys: inout Mapping) -> Result<Secret, Problem>? {
        let (url, urlFile) = (keys.take("url"), keys.take("url_file"))
        if url != nil, let urlFile { problems.add(urlFile.place, "give either url or url_file, not both") }
        guard let source = url ?? urlFile else {
            problems.add(keys.place, "notifications needs the key 'url' or 'url_file' (oslo's transport_url)")
            return nil
        }
        var secret: Secret?
        if let url {
            secret = url.string("notifications.url", &problems).map { Secret($0) }
        } else if let file = source.string("notifications.url_file", &problems) {
            switch files.text(path(file)) {
            case .success(let text): secret = Secret(text.split(whereSeparator: \.isNewline).first.map(String.init) ?? "")
            case .failure(let failure): return .failure(Problem(source.place, failure.description))
            }
        }
        guard let secret else { return nil }
        do throws(Failure) {
            _ = try TransportURL.parse(secret)
        } catch {
            problems.add(source.place, error.description)
        }
        return .success(secret)
    }

    /// AMQP's names have at most 255 bytes; room for the suffixes that are added.
    private mutating func checkNames(_ names: [String], _ what: String, at place: Place) {
        if names.isEmpty { problems.add(place, "\(what) must name at least one") }
        if names.contains(where: { $0.isEmpty || $0.utf8.count > 200 || $0.utf8.contains(0) }) {
            problems.add(place, "a name in \(what) must have 1 to 200 bytes")
        }
    }

    private mutating func sites(_ value: Value) -> ([SiteName: SiteSettings], [SiteName: Place]) {
        guard let sites = Mapping(value, "sites", &problems) else { return ([:], [:]) }
        var settings: [SiteName: SiteSettings] = [:]
        var places: [SiteName: Place] = [:]
        for entry in sites.entries {
            places[SiteName(entry.key)] = entry.keyPlace
            guard entry.value.content != .null, var keys = Mapping(entry.value, "site \(entry.key)", &problems) else {
                settings[SiteName(entry.key)] = SiteSettings()
                continue
            }
            keys.refuseKeysWithoutValue(&problems)
            var site = SiteSettings()
            site.group = keys.take("group")?.string("group", &problems)
            site.deliver = DeliveryReader.read(&keys, "site \(entry.key)", &problems)
            site.forks = keys.take("forks")?.integer("forks", in: LimitKeys.forks, &problems)
            site.glance = keys.take("glance").flatMap { webAddress($0, "site \(entry.key).glance") }
            site.seed = keys.take("seed")?.string("seed", &problems).map { HostName($0) }
            site.keepFreeBytes = keys.take("keep_free")?.bytes("keep_free", &problems)
            site.aggregate = keys.take("aggregate")?.string("aggregate", &problems)
            keys.finish(&problems)
            if site.deliver.via == .novaAPI { novaSites.append(entry.keyPlace) }
            settings[SiteName(entry.key)] = site
        }
        return (settings, places)
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
        set(&ttl.seconds, keys.take("default")) { Self.duration("ttl.default", of: $0, atLeast: 60, &$1) }
        if let roles = keys.take("roles"), let mapping = Mapping(roles, "ttl.roles", &problems) {
            for entry in mapping.entries {
                guard let seconds = Self.duration("ttl of role \(entry.key)", of: entry.value, atLeast: 60, &problems) else { continue }
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

    private mutating func reload(_ value: Value) -> Int? {
        guard var keys = Mapping(value, "reload", &problems) else { return nil }
        defer { keys.finish(&problems) }
        return keys.require("max_new_placements", &problems)?.integer("reload.max_new_placements", in: 0...10_000_000, &problems)
    }

    private mutating func ssh(_ value: Value) -> SSHSettings? {
        guard var keys = Mapping(value, "ssh", &problems) else { return nil }
        var ssh = files.sshDefaults
        set(&ssh.user, keys.take("user")) { $0.string("ssh.user", &$1) }
        set(&ssh.port, keys.take("port")) { $0.integer("ssh.port", in: 1...65535, &$1) }
        ssh.identityFiles = paths(keys.take("identity"), "ssh.identity") ?? ssh.identityFiles
        ssh.knownHostsFiles = paths(keys.take("known_hosts"), "ssh.known_hosts") ?? ssh.knownHostsFiles
        set(&ssh.hostKeyChecking, keys.take("host_key_checking")) { $0.word("ssh.host_key_checking", as: HostKeyChecking.self, &$1) }
        set(&ssh.become, keys.take("become")) { $0.word("ssh.become", as: Become.self, &$1) }
        set(&ssh.connectTimeoutSeconds, keys.take("connect_timeout")) { Self.duration("ssh.connect_timeout", of: $0, atLeast: 1, &$1) }
        if let jump = keys.take("jump"), let text = jump.string("ssh.jump", &problems) {
            ssh.jump = JumpHost(text)
            if ssh.jump == nil { problems.add(jump.place, "ssh.jump must be [user@]host[:port], not \(jump.kind)") }
        }
        keys.finish(&problems)
        return ssh
    }

    private mutating func node(_ value: Value) -> Configuration.Node? {
        guard var keys = Mapping(value, "node", &problems) else { return nil }
        var node = Configuration.Node()
        set(&node.cacheDirectory, keys.take("cache_dir")) { Self.pathOnHosts("node.cache_dir", of: $0, &$1) }
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
        node.novaConfiguration = keys.take("nova_conf").flatMap { Self.pathOnHosts("node.nova_conf", of: $0, &problems) }
        node.caFile = keys.take("cacert").flatMap { Self.pathOnHosts("node.cacert", of: $0, &problems) }
        set(&node.format, keys.take("format")) { $0.word("node.format", as: WantedFormat.self, &$1) }
        keys.finish(&problems)
        return node
    }

    private mutating func peer(_ value: Value) -> Configuration.Peer? {
        guard var keys = Mapping(value, "peer", &problems) else { return nil }
        var peer = Configuration.Peer()
        set(&peer.user, keys.take("user")) { $0.string("peer.user", &$1) }
        set(&peer.identity, keys.take("identity")) { Self.pathOnHosts("peer.identity", of: $0, &$1) }
        set(&peer.port, keys.take("port")) { $0.integer("peer.port", in: 1...65535, &$1) }
        set(&peer.network, keys.take("network")) { $0.string("peer.network", &$1) }
        peer.knownHosts = keys.take("known_hosts").flatMap { Self.pathOnHosts("peer.known_hosts", of: $0, &problems) }
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
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        return Configuration.Listen(host: String(isBracketed ? host.dropFirst().dropLast() : host), port: port)
    }

    // MARK: - Small readings

    private mutating func set<T>(_ target: inout T, _ value: Value?, _ read: (Value, inout Problems) -> T?) {
        guard let value else { return }
        var noted = Problems()
        if let new = read(value, &noted) { target = new }
        problems.add(contentsOf: noted)
    }

    /// No directory of ours counts there, and no `~`.
    private static func pathOnHosts(_ what: String, of value: Value, _ problems: inout Problems) -> String? {
        guard let path = value.string(what, &problems) else { return nil }
        if path.hasPrefix("/") { return path }
        problems.add(value.place, "\(what) is a path on the hosts and must begin with /, not \(value.kind)")
        return nil
    }

    private mutating func webAddress(_ value: Value, _ what: String) -> String? {
        guard let text = value.string(what, &problems) else { return nil }
        if let url = URL(string: text), ["http", "https"].contains(url.scheme), url.host()?.isEmpty == false { return text }
        problems.add(value.place, "\(what) must be a URL such as http://172.23.2.10:9292, not \(value.kind)")
        return nil
    }

    /// Below `atLeast` seconds the program would do nothing else, or nothing at all.
    private static func duration(_ what: String, of value: Value, atLeast: Int, _ problems: inout Problems) -> Int? {
        guard let seconds = value.seconds(what, &problems) else { return nil }
        if seconds < atLeast { problems.add(value.place, "\(what) must be at least \(atLeast) s, not \(value.kind)") }
        return seconds
    }

    private mutating func paths(_ value: Value?, _ what: String) -> [String]? {
        value.flatMap { $0.strings(what, &problems) }?.map { path($0) }
    }

    private func path(_ text: String) -> String { files.absolute(text, from: directory) }
}
