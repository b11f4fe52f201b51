public import ForecacheModel
import Foundation

/// What `SSHFleet` needs beyond a host's own settings: `node:` and `peer:` of the configuration, and what unlocks keys.
public struct SSHFleetSettings: Sendable {
    /// Nova's `_base` on the nodes.
    public var cacheDirectory: String
    /// `uid:gid` of base files, as Nova's own.
    public var owner: String
    /// The container that copies run in; nil: on the node itself.
    public var container: String?
    /// `podman`, `docker` or a path.
    public var containerCLI: String
    /// Nova's configuration on the nodes; nil: the first of the usual places that is readable.
    public var novaConfiguration: String?
    /// PEM file on the nodes that Glance's certificate is checked with; nil: their own store.
    public var caFile: String?
    public var peer: PeerSettings
    /// Unlocks encrypted identity files.
    public var passphrase: Secret?
    /// Socket of an ssh-agent.
    public var agentSocket: String?

    /// Without a value the last two are `FORECACHE_SSH_PASSPHRASE` and `SSH_AUTH_SOCK` of the environment.
    public init(
        cacheDirectory: String = "/var/lib/nova/instances/_base", owner: String = "42436:42436",
        container: String? = "nova_compute", containerCLI: String = "podman", novaConfiguration: String? = nil, caFile: String? = nil,
        peer: PeerSettings = PeerSettings(),
        passphrase: Secret? = nil, agentSocket: String? = nil
    ) {
        self.cacheDirectory = cacheDirectory
        self.owner = owner
        self.container = container
        self.containerCLI = containerCLI
        self.novaConfiguration = novaConfiguration
        self.caFile = caFile
        self.peer = peer
        let environment = ProcessInfo.processInfo.environment
        self.passphrase = passphrase ?? environment["FORECACHE_SSH_PASSPHRASE"].map { Secret($0) }
        self.agentSocket = agentSocket ?? environment["SSH_AUTH_SOCK"]
    }
}

/// How nodes copy from each other: the SSH set-up of cold migration. Nil means what the copy user's own ssh configuration says.
public struct PeerSettings: Hashable, Sendable {
    /// The user to log in as at the peer.
    public var user: String?
    /// Path of the private key on the node.
    public var identity: String?
    public var port: Int?
    /// Path of a known_hosts file on the node.
    public var knownHosts: String?
    public var hostKeyChecking: HostKeyChecking

    public init(
        user: String? = "nova_migration", identity: String? = "/etc/nova/migration/identity", port: Int? = 2022,
        knownHosts: String? = nil, hostKeyChecking: HostKeyChecking = .strict
    ) {
        self.user = user
        self.identity = identity
        self.port = port
        self.knownHosts = knownHosts
        self.hostKeyChecking = hostKeyChecking
    }
}

extension HostKeyChecking {
    /// ssh's `StrictHostKeyChecking`.
    var asOpenSSHHasIt: String {
        switch self {
        case .strict: "yes"
        case .acceptNew: "accept-new"
        case .off: "no"
        }
    }
}
