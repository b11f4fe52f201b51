public import ArgumentParser
import Daemon
import Engine
public import ForecacheModel
import Planning
import Rules

/// How `cache` and `plan` deliver: the playbook's own arguments, and their short forms.
struct DeliveryOptions: ParsableArguments {
    @Option(name: [.short, .long], help: "The playbook's arguments: @FILE or key=value; may be given several times.")
    var extraVars: [String] = []

    @Option(help: "direct or proxy.")
    var via: Via?

    @Option(help: "The host that fetches for the others of its site, with --via proxy.")
    var proxyHost: String?

    @Option(help: "How many hosts of a site work at once.")
    var forks: Int?

    func validate() throws {
        if let forks, forks < 1 { throw ValidationError("--forks must be at least 1") }
    }
}

extension Via: ExpressibleByArgument {}

/// Options turned into the engine's by-hand work.
struct HandWork {
    private let byHand: ByHand
    private let hands: Hands
    private let hasRules: Bool

    init(_ common: CommonOptions, _ delivery: DeliveryOptions) throws(Refusal) {
        let playbook = try PlaybookArguments.read(delivery.extraVars, environment: common.environment)
        var common = common
        if let plan = playbook.plan, common.site.isEmpty { common.site = [plan.rawValue] }
        var setup = try common.setupWithHosts()
        hands = try Hands(playbook, via: delivery.via, proxyHost: delivery.proxyHost, forks: delivery.forks)
        setup.policy = try hands.applied(to: setup.policy)
        if let network = playbook.proxyNetwork { setup.configuration.peer.network = network }
        hasRules = !setup.rules.rules.isEmpty
        let shells = try Shells.open(setup, environment: common.environment, logger: common.logger())
        byHand = ByHand(
            policy: setup.policy, limits: setup.configuration.limits, catalog: shells.catalog, hosts: shells.hosts, logger: common.logger())
    }

    func plans(for selectors: [String]) async throws(Refusal) -> [Plan] {
        let named = selectors + hands.images
        if named.isEmpty {
            guard hasRules else { throw .usage("name an image, give a list with -e @FILE, or a configuration with rules") }
            return try await byHand.plans(for: try await byHand.imagesOfRules(), targets: .rules)
        }
        return try await byHand.plans(for: try await byHand.images(named), targets: .everyHost(via: hands.via))
    }

    func execute(_ plans: [Plan]) async -> [Outcome] {
        let lines = ProgressLines()
        return await byHand.execute(plans) { lines.show($0) }
    }
}
