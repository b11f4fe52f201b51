public import ForecacheModel
public import Planning

/// `forecache.yaml` as a value; deploy/forecache.example.yaml explains every key. Paths are absolute, `~` is expanded.
public struct Configuration: Sendable {
    /// clouds.yaml entry; nil: the `OS_*` environment.
    public var cloud: String?
    public var notifications: Notifications?
    public var inventory: [String] = []
    public var hostsGroup = "nova_compute"
    public var sites: [SiteName: SiteSettings] = [:]
    public var rules: [String] = []
    public var ttl = TTLDefaults()
    /// Share of the TTL at which a base file is touched again.
    public var refreshFraction = 0.6
    public var resyncSeconds = 600
    public var ssh = SSHSettings()
    public var node = Node()
    public var peer = Peer()
    public var state = "/var/lib/forecache/forecache.sqlite"
    public var status = Listen()
    public var limits = Limits()

    public init() {}

    /// Where notifications come from.
    public struct Notifications: Sendable {
        /// oslo `transport_url`.
        public var url: Secret
        /// `control_exchange` of the publishers.
        public var exchanges = ["glance"]
        public var topics = ["notifications"]
        public var queue = "forecache"
        public var prefetch = 100
    }

    /// The nodes' own layout; the defaults are TripleO's.
    public struct Node: Sendable {
        public var cacheDirectory = "/var/lib/nova/instances/_base"
        /// uid:gid of Nova on the hosts.
        public var owner = "42436:42436"
        /// Nova's container; nil (`none` in the file) where Nova is not containerised.
        public var container: String? = "nova_compute"
        public var containerCLI = "podman"
    }

    /// How hosts copy from each other: the cold-migration account.
    public struct Peer: Sendable {
        public var user = "nova_migration"
        /// Path of the private key on the hosts.
        public var identity = "/etc/nova/migration/identity"
        public var port = 2022
        /// The host variable `<network>_ip` is the address that peers copy from.
        public var network = "internal_api"
        /// Path of a known_hosts file on the hosts; nil: the copying user's own ssh configuration.
        public var knownHosts: String?
        public var hostKeyChecking = HostKeyChecking.strict
    }

    public struct Listen: Sendable {
        public var host = "127.0.0.1"
        public var port = 9797
    }
}
