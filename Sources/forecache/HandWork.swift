public import ArgumentParser
import Daemon
import Engine
public import ForecacheModel
import Planning
import Rules

/// How `cache` and `plan` deliver: the playbook's own arguments, and their short forms.
struct DeliveryOptions: ParsableArguments {
    @Option(
        name: [.customShort("e", allowingJoined: true), .long],
        help: "The playbook's arguments: @FILE or key=value; may be given several times.")
    var extraVars: [String] = []

    @Option(help: "relay and proxy bring one copy to each site, direct one to each host; nova-api leaves it to Nova.")
    var via: Via?

    @Option(help: "The host that fetches for the others of its site, with --via proxy or relay; alone it means proxy, there.")
    var proxyHost: String?

    @Option(help: "How many hosts of a site work at once.")
    var forks: Int?
}

extension Via: ExpressibleByArgument {}

/// Options turned into the engine's by-hand work.
struct HandWork: Sendable {
    private let choice: ImageChoice
    private let byHand: ByHand
    /// Why nobody would hear how Nova's work ends, though the configuration has `notifications`.
    private let unheard: Failure?
    /// Nil: what the rules want.
    private let named: [String]?
    private let logOut: @Sendable () async -> Void
    private let progress: ProgressLines

    /// On the images that are named, or on what the rules want.
    init(
        _ selectors: [String], _ common: CommonOptions, _ delivery: DeliveryOptions? = nil, progress style: ProgressStyle
    ) throws(Refusal) {
        let (setup, hands, named) = try Self.setup(common, delivery, selectors)
        self.named = named
        // A list that was forgotten or misspelt is not "all that the rules want".
        if named == nil, let delivery, !delivery.extraVars.isEmpty { throw .usage(Self.noImages) }
        guard named != nil || !setup.rules.rules.isEmpty else { throw .usage(Self.nothingToDo) }
        let shells = try Shells.open(setup, environment: common.environment, logger: common.logger())
        logOut = { await shells.close() }
        progress = ProgressLines(answers: common.output == .text, style: style)
        choice = ImageChoice(
            policy: setup.policy, catalog: shells.catalog, matchTimes: named == nil ? setup.matchTimes { say("note: \($0)") } : nil)
        byHand = ByHand(
            choice, limits: setup.configuration.limits, peerNetwork: setup.configuration.peer.network, via: hands.via(in: setup.fleet),
            hosts: shells.hosts, nova: shells.nova, signatures: shells.signatures, inspects: delivery != nil, logger: common.logger())
        unheard = shells.unheard
    }

    /// The operator's files with what the call says over them, and the images that it names; nil: it leaves them to the rules.
    private static func setup(
        _ common: CommonOptions, _ delivery: DeliveryOptions?, _ selectors: [String]
    ) throws(Refusal) -> (Setup, Hands, named: [String]?) {
        let playbook = try PlaybookArguments.read(delivery?.extraVars ?? [], environment: common.environment)
        let hands = try Hands(playbook, via: delivery?.via, proxyHost: delivery?.proxyHost, forks: delivery?.forks)
        let named = selectors.isEmpty ? hands.images : selectors + (hands.images ?? [])
        var setup = try common.setupWithHosts(playbook)
        try hands.check(setup.configuration)
        setup.policy = try hands.applied(to: setup.policy, of: setup.inventory)
        // Somebody who asks for so many by hand means it; the bound in all is for what runs by itself.
        if let forks = delivery?.forks { setup.configuration.limits.forks = max(setup.configuration.limits.forks, forks) }
        return (setup, hands, named)
    }

    /// What `cache` would do with these images, or the service with those that the rules want. `byRules`: named images, too, go only where rules want them.
    static func review(
        _ common: CommonOptions, _ delivery: DeliveryOptions, _ selectors: [String], from source: PlanReview.Source = .live,
        byRules: Bool = false
    ) async throws(Refusal) -> PlanReview {
        let (setup, hands, named) = try setup(common, delivery, selectors)
        guard !setup.rules.rules.isEmpty || (named != nil && !byRules) else { throw .usage(byRules ? noRules : nothingToDo) }
        if named == nil, !byRules, !delivery.extraVars.isEmpty { say("note: \(listless)") }
        let reviewer = try PlanReview.Reviewer(
            setup, from: source, targets: named == nil || byRules ? .rules : .everyHost, via: hands.via(in: setup.fleet),
            environment: common.environment, logger: common.logger())
        for note in reviewer.notes { say("note: \(note)") }
        return try await reviewer.review(named) { say("note: \($0)") }
    }

    private static let nothingToDo = "name an image, give a list with -e @FILE, or a configuration with rules"
    private static let noRules =
        "where images go is left to the rules, and there are none; name rule files with `rules: [PATH]` in the configuration"
    private static let noImages = """
        -e names no images: add tripleo_nova_image_cache_images to it, or name an image. For what the rules want leave -e out: --site, --via and \
        --proxy-host stand for its plan, use_proxy and proxy_hostname, `peer: { network: … }` of the configuration for its proxy_network
        """
    private static let listless = "-e names no images, so this is all that the rules want; 'cache' without --check refuses that"

    func plans() async throws(Refusal) -> [Plan] {
        guard let named else { return try await byHand.plans(for: try await choice.imagesOfRules(), targets: .rules) }
        return try await byHand.plans(named: named)
    }

    /// Throws, before anything moves, where these plans cannot be executed as they are.
    func execute(_ plans: [Plan]) async throws(Refusal) -> [Outcome] {
        let proxies = byHand.withoutPeerAddress(plans)
        guard proxies.isEmpty else { throw .failed(Failure(.permanent, "\(proxies.joined(separator: "\n")). Nothing was moved")) }
        if let unheard, plans.contains(where: \.asksNova) { throw .misconfigured(unheard) }
        for plan in plans { progress.planned(plan) }
        let outcomes = await byHand.execute(plans) { progress.show($0) }
        await logOut()
        return outcomes
    }

    /// Touches what is there, and says of the other hosts that nothing is.
    func refresh(_ plans: [Plan]) async throws(Refusal) -> [Outcome] {
        let leftAlone = plans.flatMap(\.leftAlone)
        let outcomes = try await execute(plans.map(\.touchesOnly))
        for outcome in leftAlone { progress.show(.ended(outcome)) }
        return outcomes + leftAlone
    }
}
