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

    @Option(help: "direct, proxy or nova-api.")
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
struct HandWork: Sendable {
    private let byHand: ByHand
    private let hands: Hands
    private let hasRules: Bool
    private let logOut: @Sendable () async -> Void
    private let progress: ProgressLines

    init(_ common: CommonOptions, _ delivery: DeliveryOptions? = nil, progress style: ProgressStyle = .auto) throws(Refusal) {
        let setup: Setup
        (setup, hands) = try Self.setup(common, delivery)
        hasRules = !setup.rules.rules.isEmpty
        let shells = try Shells.open(setup, environment: common.environment, logger: common.logger())
        logOut = { await shells.close() }
        progress = ProgressLines(answers: common.output == .text, style: style)
        byHand = ByHand(
            policy: setup.policy, limits: setup.configuration.limits, peerNetwork: setup.configuration.peer.network,
            catalog: shells.catalog, hosts: shells.hosts, nova: shells.nova, signatures: shells.signatures, logger: common.logger())
    }

    /// The operator's files with what the call says over them.
    private static func setup(_ common: CommonOptions, _ delivery: DeliveryOptions?) throws(Refusal) -> (Setup, Hands) {
        let playbook = try PlaybookArguments.read(delivery?.extraVars ?? [], environment: common.environment)
        let hands = try Hands(playbook, via: delivery?.via, proxyHost: delivery?.proxyHost, forks: delivery?.forks)
        var setup = try common.setupWithHosts(playbook)
        setup.policy = try hands.applied(to: setup.policy)
        // Somebody who asks for so many by hand means it; the bound in all is for what runs by itself.
        if let forks = delivery?.forks { setup.configuration.limits.forks = max(setup.configuration.limits.forks, forks) }
        return (setup, hands)
    }

    /// What `cache` would do with these images, or the service with those that the rules want. `byRules`: named images, too, go only where rules want them.
    static func review(
        _ common: CommonOptions, _ delivery: DeliveryOptions, _ selectors: [String], from source: PlanReview.Source = .live,
        byRules: Bool = false
    ) async throws(Refusal) -> PlanReview {
        let (setup, hands) = try setup(common, delivery)
        let named = selectors + hands.images
        guard !setup.rules.rules.isEmpty || (!named.isEmpty && !byRules) else {
            throw .usage("name an image, give a list with -e @FILE, or a configuration with rules")
        }
        let reviewer = try PlanReview.Reviewer(setup, from: source, environment: common.environment, logger: common.logger())
        for note in reviewer.notes { say("note: \(note)") }
        let isByRules = named.isEmpty || byRules
        return try await reviewer.review(named, targets: isByRules ? .rules : .everyHost(via: hands.via)) { say("note: \($0)") }
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
        for plan in plans { progress.planned(plan) }
        let outcomes = await byHand.execute(plans) { progress.show($0) }
        await logOut()
        return outcomes
    }

    /// Touches what is there, and says of the other hosts that nothing is.
    func refresh(_ plans: [Plan]) async -> [Outcome] {
        let leftAlone = plans.flatMap(\.leftAlone)
        let outcomes = await execute(plans.map(\.touchesOnly))
        for outcome in leftAlone { progress.show(.ended(outcome)) }
        return outcomes + leftAlone
    }
}
