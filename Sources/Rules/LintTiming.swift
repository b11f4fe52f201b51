public import ForecacheModel
public import StrictYAML

/// What the configuration says that rules are held against.
public struct LintContext: Sendable {
    /// Share of the TTL at which a base file is touched again.
    public var refreshFraction: Double
    public var resyncSeconds: Int
    /// A host's TTL as the operator wrote it; nil where only the host itself knows.
    public var ttlSeconds: @Sendable (Host) -> Int?
    /// Where the configuration stands, for what is its own doing.
    public var configuration: Place

    public init(refreshFraction: Double, resyncSeconds: Int, configuration: Place, ttlSeconds: @escaping @Sendable (Host) -> Int?) {
        self.refreshFraction = refreshFraction
        self.resyncSeconds = resyncSeconds
        self.configuration = configuration
        self.ttlSeconds = ttlSeconds
    }
}

/// Times that do not fit together: margins, windows and TTLs.
enum LintTiming {
    static func warnings(on rule: Rule, fleet: Fleet?, context: LintContext?, _ warnings: inout Problems) {
        let hosts = fleet.map { fleet in targeted(by: rule, in: fleet) } ?? []
        checkWindow(rule, fleet, hosts, &warnings)
        guard let context, let ttl = rule.ttlSeconds else { return }
        if let reason = tightness(of: ttl, context) { warnings.add(rule.place, "rule '\(rule.name)': \(reason)") }
        let shorter = hosts.compactMap { host in context.ttlSeconds(host).flatMap { $0 < ttl ? (host, $0) : nil } }
        if let (host, own) = shorter.first {
            let others = shorter.count > 1 ? " and of \(shorter.count - 1) more hosts" : ""
            warnings.add(
                rule.place,
                "rule '\(rule.name)' has a ttl of \(said(ttl)), longer than the \(said(own)) of host \(host.name)\(others); the host's own counts there, for Nova removes the file after it"
            )
        }
    }

    /// Hosts whose own TTL leaves too little time: the configuration's doing, told once.
    static func warnings(on fleet: Fleet, context: LintContext, _ warnings: inout Problems) {
        var told: Set<Int> = []
        for host in fleet.hosts {
            guard let ttl = context.ttlSeconds(host), let reason = tightness(of: ttl, context), told.insert(ttl).inserted else { continue }
            warnings.add(context.configuration, "host \(host.name): \(reason)")
        }
    }

    /// The rest of a TTL is the time to find out and to try again, and what an event did not tell is found out by the next resync.
    private static func tightness(of ttl: Int, _ context: LintContext) -> String? {
        let margin = Int(Double(ttl) * (1 - context.refreshFraction))
        guard margin < context.resyncSeconds else { return nil }
        return
            "a ttl of \(said(ttl)) leaves \(said(margin)) after the refresh, less than one resync (\(said(context.resyncSeconds))); lengthen it, or lower refresh.at or resync"
    }

    private static func checkWindow(_ rule: Rule, _ fleet: Fleet?, _ hosts: [Host], _ warnings: inout Problems) {
        var settings = [rule.deliver]
        if let fleet, !hosts.isEmpty {
            let names = Set(hosts.map(\.site))
            settings = fleet.sites.filter { names.contains($0.name) }.map { rule.deliver.over($0.settings.deliver) }
        }
        for deliver in settings {
            guard let window = deliver.window, let rate = deliver.rateLimit, let most = deliver.maxSizeBytes ?? rule.match.largest else {
                continue
            }
            let seconds = window.minutes * 60
            let moved = Double(rate) * Double(seconds)
            guard moved < Double(most) else { continue }
            warnings.add(
                rule.place,
                "rule '\(rule.name)': the window \(window) is open for \(said(seconds)), in which \(gib(Double(rate) * Double(seconds))) GiB cross the link at its rate; an image of \(gib(Double(most))) GiB takes more than one window"
            )
            return
        }
    }

    private static func targeted(by rule: Rule, in fleet: Fleet) -> [Host] {
        // Where match names the site or role, any host may be meant.
        guard rule.targets.captures.isEmpty else { return fleet.hosts }
        var hosts: [Host] = []
        rule.targets.forEachHost(in: fleet, Binding()) { site, host in hosts.append(fleet.sites[site].hosts[host]) }
        return hosts
    }

    private static func said(_ seconds: Int) -> String {
        switch seconds {
        case 1... where seconds % 86400 == 0: "\(seconds / 86400)d"
        case 1... where seconds % 3600 == 0: "\(seconds / 3600)h"
        case 1... where seconds % 60 == 0: "\(seconds / 60)m"
        default: "\(seconds)s"
        }
    }

    private static func gib(_ bytes: Double) -> String { "\((bytes / 0x1p30 * 10).rounded() / 10)" }
}

extension Window {
    fileprivate var minutes: Int { closesAt > opensAt ? closesAt - opensAt : closesAt + 1440 - opensAt }
}

extension Match {
    /// The most bytes that an image may have to match; nil where there is no such bound.
    fileprivate var largest: Int64? {
        switch self {
        case .condition(.maxSize(let most, _)): most
        case .all(let branches): branches.compactMap(\.largest).min()
        case .any, .not, .always, .condition: nil
        }
    }
}
