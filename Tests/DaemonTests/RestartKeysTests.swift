import ForecacheModel
import Planning
import Testing

@testable import Daemon

/// What is told of each setting after a reload: in force, or at restart.
@Suite struct RestartKeysTests {
    private typealias Change = (property: String, keys: [String], make: @Sendable (inout Configuration) -> Void)

    /// Every property of `Configuration`, once at least, with the keys that are told when it changes; none: it is in force at once.
    private static let changes: [Change] = [
        ("cloud", ["cloud"], { $0.cloud = "other" }),
        ("notifications", ["notifications.url"], { $0.notifications?.url = Secret("rabbit://other//") }),
        ("notifications", ["notifications"], { $0.notifications?.queue = "other" }),
        ("notifications", ["notifications.url", "notifications"], { $0.notifications = nil }),
        ("inventory", [], { $0.inventory = ["/other"] }),
        ("hostsGroup", [], { $0.hostsGroup = "other" }),
        ("sites", [], { $0.sites = ["dcn1": SiteSettings()] }),
        ("sitePlaces", [], { $0.sitePlaces = [:] }),
        ("hostsGroupPlace", [], { $0.hostsGroupPlace = nil }),
        ("rules", [], { $0.rules = ["/other"] }),
        ("ttl", [], { $0.ttl.seconds += 1 }),
        ("refreshFraction", ["refresh"], { $0.refreshFraction = 0.5 }),
        ("resyncSeconds", ["resync"], { $0.resyncSeconds += 1 }),
        ("maxNewPlacements", [], { $0.maxNewPlacements = 1 }),
        ("verifiesSignatures", ["verify_signatures"], { $0.verifiesSignatures = true }),
        ("signatureCertificates", ["signature_certificates"], { $0.signatureCertificates = "/other" }),
        ("ssh", [], { $0.ssh.port += 1 }),
        ("node", ["node"], { $0.node.owner = "1:1" }),
        ("node", [], { $0.node.format = .raw }),
        ("peer", ["peer"], { $0.peer.port += 1 }),
        ("peer", [], { $0.peer.network = "other" }),
        ("state", ["state"], { $0.state = "/other" }),
        ("status", ["status.listen"], { $0.status.port += 1 }),
        ("limits", ["limits"], { $0.limits.forks += 1 }),
        ("limits", [], { $0.limits.forksPerSite += 1 }),
        ("limits", [], { $0.limits.relayForksPerSite += 1 }),
    ]

    @Test func noSettingIsForgotten() {
        #expect(Set(Self.changes.map(\.property)) == Set(Mirror(reflecting: Configuration()).children.compactMap(\.label)))
    }

    @Test(arguments: changes.indices) func whatCountsFromTheNextStartIsNamed(_ index: Int) {
        var started = Configuration()
        started.notifications = Configuration.Notifications(url: Secret("rabbit://one//"))
        var changed = started
        Self.changes[index].make(&changed)
        #expect(changed.differencesAtRestart(from: started) == Self.changes[index].keys, "\(Self.changes[index].property)")
    }
}
