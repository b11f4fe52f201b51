public import Engine
public import ForecacheModel
import Planning
import StrictYAML

/// What an operator's hand changes in the policy for one command: how to deliver, through which proxy, with how many forks.
public struct Hands: Sendable {
    /// Images of the playbook's list; nil where there is none.
    public let images: [String]?
    /// Of every site; nil: as rules and the site's settings say.
    private let via: Via?
    private let proxyHost: HostName?
    /// Of the proxy host's own site.
    private let viaOfProxy: Via?
    private let forks: Int?
    private let copiesAtOnce: Int?
    private let fallsBack: Bool

    /// Throws `.usage` where the options contradict each other, or are out of their range.
    public init(_ playbook: PlaybookArguments, via: Via? = nil, proxyHost: String? = nil, forks: Int? = nil) throws(Refusal) {
        let named = proxyHost.map { HostName($0) } ?? playbook.proxyHost
        // Said as false it is the playbook's own way, every host from Glance; unsaid, the site's settings count.
        self.via = via ?? playbook.usesProxy.map { $0 ? .proxy : .direct }
        // Who names a proxy means its site, and says nothing of the others.
        self.viaOfProxy = via ?? (proxyHost == nil ? self.via : .proxy)
        if let forks, !LimitKeys.forks.contains(forks) {
            let (least, most) = (LimitKeys.forks.lowerBound, LimitKeys.forks.upperBound)
            throw .usage("--forks must be a whole number from \(least) to \(most), not \(forks)")
        }
        if proxyHost != nil, let via, via == .direct || via == .novaAPI {
            throw .usage("--proxy-host goes with --via proxy, not with --via \(via.rawValue)")
        }
        self.images = playbook.images
        self.proxyHost = named
        self.forks = forks
        self.copiesAtOnce = playbook.proxyConcurrency
        // The playbook's default is to stop; ours is to go on through Glance unless the playbook's argument says otherwise.
        self.fallsBack = playbook.ignoresProxyError ?? (playbook.usesProxy != true)
    }

    /// Throws `.misconfigured` where what was asked for cannot end well with this configuration.
    public func check(_ configuration: Configuration) throws(Refusal) {
        guard via == .novaAPI, configuration.notifications == nil else { return }
        throw .misconfigured(
            Failure(
                .permanent,
                "via nova-api hears how each host ends through Nova's notifications, and the configuration has no 'notifications'; "
                    + "add `notifications: { url_file: FILE }` with oslo's transport_url"))
    }

    /// How the call has sites deliver, over rules and settings; a site without an entry is left to them.
    public func via(in fleet: Fleet) -> [SiteName: Via] {
        let ofProxy = proxyHost.flatMap { fleet.host($0)?.site }
        return fleet.sites.reduce(into: [:]) { $0[$1.name] = $1.name == ofProxy ? viaOfProxy : via }
    }

    /// Throws `.usage`, before anything moves, where the proxy is no host of the selection; one that would not be used must only be in the `inventory`.
    public func applied(to policy: Policy, of inventory: Fleet) throws(Refusal) -> Policy {
        var policy = policy
        var sites = policy.fleet.sites
        if let proxyHost {
            let isUsed = viaOfProxy == .proxy || viaOfProxy == .relay
            let (fleet, which) = isUsed ? (policy.fleet, "that were selected") : (inventory, "of the inventory")
            guard let site = fleet.host(proxyHost)?.site else {
                let hosts = fleet.hosts.map(\.name.rawValue)
                let near = Nearest.word(to: proxyHost.rawValue, among: hosts).map { "; did you mean '\($0)'?" } ?? "."
                let what = "proxy host '\(proxyHost.rawValue.printable)' is not among the \(hosts.count) compute hosts \(which)\(near)"
                throw .usage("\(what) Nothing was moved")
            }
            for index in sites.indices where isUsed && sites[index].name == site { sites[index].settings.seed = proxyHost }
        }
        if let forks {
            for index in sites.indices { sites[index].settings.forks = forks }
            policy.defaults.forks = forks
        }
        policy.fleet = Fleet(sites: sites)
        policy.defaults.copiesAtOnce = copiesAtOnce
        policy.defaults.copyFallsBackToGlance = fallsBack
        return policy
    }
}
