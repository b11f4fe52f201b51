/// How bytes reach the hosts of a site.
public enum Via: String, Hashable, Sendable, Encodable, CaseIterable {
    /// Every host fetches from Glance.
    case direct
    /// One seed fetches; when it is done the others copy from it.
    case proxy
    /// One seed fetches; the others form a tree and copy while it is still arriving.
    case relay
    /// Nova's own pre-caching API.
    case novaAPI = "nova-api"
}

/// Whether an unknown host key is accepted.
public enum HostKeyChecking: String, Hashable, Sendable, CaseIterable {
    /// Only keys of `known_hosts` are accepted.
    case strict
    /// Any key is accepted; a *changed* or revoked one never is.
    case acceptNew = "accept-new"
    /// No check at all, as Ansible's `StrictHostKeyChecking=no` has it; doctor and logs warn.
    case off
}

/// How the controller becomes root on a host.
public enum Become: String, Hashable, Sendable, CaseIterable {
    case none, sudo
}

/// How to log in to one host: the configuration's `ssh:`, overridden by the inventory's own host variables.
public struct SSHSettings: Hashable, Sendable {
    public var user: String
    public var port: Int
    /// Paths of private keys, tried in order. Empty: the agent of `SSH_AUTH_SOCK` only.
    public var identityFiles: [String]
    public var knownHostsFiles: [String]
    public var hostKeyChecking: HostKeyChecking
    public var become: Become
    public var connectTimeoutSeconds: Int
    /// The bastion that every connection goes through.
    public var jump: JumpHost?

    public init(
        user: String = "tripleo-admin", port: Int = 22, identityFiles: [String] = [], knownHostsFiles: [String] = [],
        hostKeyChecking: HostKeyChecking = .strict, become: Become = .sudo, connectTimeoutSeconds: Int = 10, jump: JumpHost? = nil
    ) {
        self.user = user
        self.port = port
        self.identityFiles = identityFiles
        self.knownHostsFiles = knownHostsFiles
        self.hostKeyChecking = hostKeyChecking
        self.become = become
        self.connectTimeoutSeconds = connectTimeoutSeconds
        self.jump = jump
    }
}

/// A bastion, as `ProxyJump` names one.
public struct JumpHost: Hashable, Sendable {
    /// Nil: whoever logs in to the host behind it.
    public var user: String?
    /// A name or an address, without brackets.
    public var host: String
    public var port: Int

    public init(user: String? = nil, host: String, port: Int = 22) {
        self.user = user
        self.host = host
        self.port = port
    }
}

/// One compute node.
public struct Host: Hashable, Sendable {
    public var name: HostName
    public var site: SiteName
    public var role: RoleName
    /// Where the controller connects to (`ansible_host`).
    public var address: String
    /// Where its peers copy from (`<peer network>_ip`); nil where the inventory has none.
    public var peerAddress: String?
    public var ssh: SSHSettings
    /// The inventory file that defines it.
    public var file: String

    public init(
        name: HostName, site: SiteName, role: RoleName, address: String, peerAddress: String? = nil, ssh: SSHSettings = SSHSettings(),
        file: String = ""
    ) {
        self.name = name
        self.site = site
        self.role = role
        self.address = address
        self.peerAddress = peerAddress
        self.ssh = ssh
        self.file = file
    }
}

/// What an operator sets per site; nil means "the default".
public struct SiteSettings: Hashable, Sendable {
    /// An inventory group that defines the site's hosts, instead of a stack.
    public var group: String?
    /// What counts where the rule says nothing else.
    public var deliver: DeliverySettings
    /// How many hosts of the site work at once.
    public var forks: Int?
    /// Glance endpoint that this site's hosts use, instead of the catalog's.
    public var glance: String?
    /// The host that fetches for the others under `proxy` and `relay`; default: the first host.
    public var seed: HostName?
    /// Bytes to leave free on each host.
    public var keepFreeBytes: Int64?
    /// The host aggregate that `nova-api` sends images to; nil: the one of the site's own name.
    public var aggregate: String?

    public init(
        group: String? = nil, deliver: DeliverySettings = DeliverySettings(), forks: Int? = nil, glance: String? = nil,
        seed: HostName? = nil, keepFreeBytes: Int64? = nil, aggregate: String? = nil
    ) {
        self.group = group
        self.deliver = deliver
        self.forks = forks
        self.glance = glance
        self.seed = seed
        self.keepFreeBytes = keepFreeBytes
        self.aggregate = aggregate
    }
}

/// A set of compute nodes behind one WAN link.
public struct Site: Hashable, Sendable {
    public var name: SiteName
    public var settings: SiteSettings
    /// In the inventory's order: the first one is the default seed.
    public var hosts: [Host]

    public init(name: SiteName, settings: SiteSettings = SiteSettings(), hosts: [Host]) {
        self.name = name
        self.settings = settings
        self.hosts = hosts
    }
}

/// All sites, roles and hosts, read from Ansible inventories.
public struct Fleet: Hashable, Sendable {
    /// In name order. A host name stands in exactly one site.
    public let sites: [Site]
    private let places: [HostName: Place]

    private struct Place: Hashable, Sendable {
        var site: Int
        var host: Int
    }

    public init(sites: [Site]) {
        self.sites = sites.sorted { $0.name < $1.name }
        var places: [HostName: Place] = [:]
        for (siteIndex, site) in self.sites.enumerated() {
            for (hostIndex, host) in site.hosts.enumerated() { places[host.name] = Place(site: siteIndex, host: hostIndex) }
        }
        self.places = places
    }

    public var hosts: [Host] { sites.flatMap(\.hosts) }

    public func host(_ name: HostName) -> Host? { places[name].map { sites[$0.site].hosts[$0.host] } }

    public func site(_ name: SiteName) -> Site? {
        var (low, high) = (0, sites.count)
        while low < high {
            let middle = (low + high) / 2
            if sites[middle].name < name { low = middle + 1 } else { high = middle }
        }
        return low < sites.count && sites[low].name == name ? sites[low] : nil
    }

    /// The fleet cut down to the named sites and roles; an empty list means all.
    public func filtered(sites wantedSites: [SiteName], roles: [RoleName]) -> Fleet {
        Fleet(
            sites: sites.compactMap { site in
                guard wantedSites.isEmpty || wantedSites.contains(site.name) else { return nil }
                var kept = site
                kept.hosts = site.hosts.filter { roles.isEmpty || roles.contains($0.role) }
                return kept.hosts.isEmpty ? nil : kept
            })
    }
}
