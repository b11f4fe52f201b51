public import ForecacheModel
public import Planning
import StrictYAML

/// `forecache.yaml` as a value; deploy/forecache.example.yaml explains every key. Paths are absolute, `~` is expanded.
public struct Configuration: Hashable, Sendable {
    /// clouds.yaml entry; nil: the `OS_*` environment.
    public var cloud: String?
    public var notifications: Notifications?
    public var inventory: [String] = []
    public var hostsGroup = "nova_compute"
    public var sites: [SiteName: SiteSettings] = [:]
    /// Where the file says them, for problems that only the inventory shows.
    var sitePlaces: [SiteName: Place] = [:]
    var hostsGroupPlace: Place?
    public var rules: [String] = []
    public var ttl = TTLDefaults()
    /// Share of the TTL at which a base file is touched again.
    public var refreshFraction = 0.6
    public var resyncSeconds = 600
    /// `reload.max_new_placements`: a change of the files that wants more new placements waits for approval; nil: none does.
    public var maxNewPlacements: Int?
    /// Only images with a valid `img_signature` are handed to hosts.
    public var verifiesSignatures = false
    /// Directory of the signers' certificates, `<uuid>.pem`; nil: they are asked of Barbican.
    public var signatureCertificates: String?
    public var ssh = SSHSettings()
    public var node = Node()
    public var peer = Peer()
    public var state = "/var/lib/forecache/forecache.sqlite"
    public var status = Listen()
    public var limits = Limits()

    public init() {}

    /// Where notifications come from.
    public struct Notifications: Hashable, Sendable {
        /// oslo `transport_url`; empty where it is `unread`.
        public var url: Secret
        /// Why `url_file` cannot be read: only who speaks to the broker needs it.
        var unread: Problem?
        /// `control_exchange` of the publishers.
        public var exchanges = ["glance"]
        public var topics = ["notifications"]
        public var queue = "forecache"
        public var prefetch = 1000
        /// Where Nova's versioned notifications come, which tell how `via: nova-api` ends.
        public var novaExchange = "nova"
        public var novaTopic = "versioned_notifications"
    }

    /// The nodes' own layout; the defaults are TripleO's.
    public struct Node: Hashable, Sendable {
        public var cacheDirectory = "/var/lib/nova/instances/_base"
        /// uid:gid of Nova on the hosts.
        public var owner = "42436:42436"
        /// Nova's container; nil (`none` in the file) where Nova is not containerised.
        public var container: String? = "nova_compute"
        public var containerCLI = "podman"
        /// Path of nova.conf on the hosts; nil: the first of the usual places that is readable.
        public var novaConfiguration: String?
        /// PEM file on the hosts that Glance's certificate is checked with; nil: their own store.
        public var caFile: String?
        /// What base files are made of.
        public var format = WantedFormat.auto
    }

    /// How hosts copy from each other: the cold-migration account.
    public struct Peer: Hashable, Sendable {
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

    public struct Listen: Hashable, Sendable {
        public var host = "127.0.0.1"
        public var port = 9797
    }
}
