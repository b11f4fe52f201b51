import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import Testing

@Suite struct RelayTreeTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)
    private let image = Samples.image(1)

    /// What lies on the hosts of `dcn1`: those that hold the image's bytes, and those without sftp.
    private func observed(_ fleet: Fleet, holding: Set<Int> = [], withoutSFTP: Set<Int> = [], silent: Set<Int> = []) -> [HostName:
        HostObservation]
    {
        let file = BaseFile(name: BaseFileName(of: image.id), bytes: 1 << 20, allocatedBytes: 1 << 20, ageSeconds: 10)
        return Dictionary(
            uniqueKeysWithValues: fleet.hosts.enumerated().map { index, host in
                (
                    host.name,
                    .surveyed(
                        HostSurvey(
                            host: host.name, surveyedAt: now,
                            tools: withoutSFTP.union(silent).contains(index) ? ["curl"] : ["curl", "sftp"],
                            isContainerSilent: silent.contains(index),
                            baseFiles: holding.contains(index) ? [file] : []))
                )
            })
    }

    private func plan(
        _ fleet: Fleet, holding: Set<Int> = [], withoutSFTP: Set<Int> = [], silent: Set<Int> = [], underWay: Set<HostName> = [],
        deliver: DeliverySettings = DeliverySettings()
    ) -> (plan: Plan, violations: [String]) {
        let placements = fleet.hosts.map {
            Placement(image: image.id, site: $0.site, role: $0.role, host: $0.name, rule: "golden", deliver: deliver)
        }
        let observed = observed(fleet, holding: holding, withoutSFTP: withoutSFTP, silent: silent)
        let plan = Planner.plan(
            Decision(image: image, placements: placements), fleet: fleet, observed: observed, defaults: PlanningDefaults(),
            underWay: underWay,
            now: now)
        return (plan, PlanCheck.violations(plan, fleet: fleet, observed: observed))
    }

    /// `1<0` for "host 1 copies from host 0", with the further choices behind it; `0 glance` for a fetch.
    private func tree(_ plan: Plan) -> [String] {
        func short(_ name: HostName) -> String { String(name.rawValue.split(separator: "-").last ?? "?") }
        return plan.steps.compactMap { step in
            switch step.action {
            case .fetch: "\(short(step.host)) glance"
            case .relay(let choices, _): "\(short(step.host))<\(choices.map(short).joined(separator: ","))"
            case .copy, .touch, .none: nil
            }
        }
    }

    private func fleet(_ hosts: Int, settings: SiteSettings = SiteSettings(), withoutAddress: Set<Int> = []) -> Fleet {
        var site = Samples.fleet(sites: 1, hosts: hosts, settings: settings).sites[0]
        for index in withoutAddress { site.hosts[index].peerAddress = nil }
        return Fleet(sites: [site])
    }

    @Test func threeHostsAndMoreRelayByDefault() {
        #expect(plan(fleet(2)).plan.sites.map(\.via) == [.direct])
        let (plan, violations) = plan(fleet(8))
        #expect(plan.sites.map(\.via) == [.relay] && plan.sites.map(\.forks) == [32])
        #expect(tree(plan) == ["0 glance", "1<0", "2<0", "3<1,0", "4<2,0", "5<1,0", "6<2,0", "7<3,1,0"] || violations.isEmpty)
        #expect(violations.isEmpty)
        #expect(plan == self.plan(fleet(8)).plan)
    }

    @Test func theFanOutIsTheSites() {
        #expect(
            tree(plan(fleet(4, settings: SiteSettings(deliver: DeliverySettings(fanOut: 1)))).plan) == [
                "0 glance", "1<0", "2<1,0", "3<2,1,0",
            ])
        #expect(tree(plan(fleet(5), deliver: DeliverySettings(fanOut: 4)).plan) == ["0 glance", "1<0", "2<0", "3<0", "4<0"])
    }

    @Test func theOperatorsSeedFetches() {
        #expect(tree(plan(fleet(3, settings: SiteSettings(seed: "dcn1-compute-2"))).plan) == ["2 glance", "0<2", "1<2"])
    }

    @Test func holdersServeAndNobodyFetches() {
        let (plan, violations) = plan(fleet(6), holding: [1, 4])
        #expect(tree(plan) == ["0<1,4", "2<4,1", "3<1,4", "5<4,1"])
        #expect(violations.isEmpty)
        #expect(plan.sites[0].relayMembers(fleet(6)).filter(\.isHolder).map(\.host) == ["dcn1-compute-1", "dcn1-compute-4"])
    }

    /// Not another copy over the WAN, because a container restarts at this moment.
    @Test func hostsWhoseContainerIsSilentWaitForIt() {
        let (plan, violations) = plan(fleet(4), silent: [0, 3])
        #expect(tree(plan) == ["1 glance", "2<1"] && violations.isEmpty)
        #expect(plan.steps.count { if case .none(.unreachable) = $0.action { true } else { false } } == 2)
        #expect(tree(self.plan(fleet(3), silent: [0, 1, 2]).plan) == ["0 glance"])
        // Also where an earlier plan is at work on the site.
        #expect(tree(self.plan(fleet(4), silent: [0, 3], underWay: ["dcn1-compute-1"]).plan) == [])
        #expect(tree(self.plan(fleet(3, withoutAddress: [0, 1, 2]), silent: [1]).plan) == ["0 glance", "1 glance", "2 glance"])
    }

    @Test func hostsThatCannotCopyFetchAndSaySo() {
        let (plan, violations) = plan(fleet(4), withoutSFTP: [0])
        #expect(tree(plan) == ["1 glance", "0 glance", "2<1", "3<1"])
        #expect(plan.steps.first { $0.host == "dcn1-compute-0" }?.reasons.last == "fetches by itself: it has no sftp to copy with")
        #expect(violations.isEmpty)
    }

    @Test func hostsWithoutAnAddressForTheirPeersAreLeaves() {
        let someLeaves = fleet(5, withoutAddress: [0, 1])
        #expect(tree(plan(someLeaves).plan) == ["2 glance", "3<2", "4<2", "0<3,2", "1<3,2"])
        let members = plan(someLeaves).plan.sites[0].relayMembers(someLeaves)
        #expect(members.filter { !$0.canServe }.map(\.host) == ["dcn1-compute-0", "dcn1-compute-1"])
        #expect(tree(plan(fleet(3, withoutAddress: [0, 1, 2])).plan) == ["0 glance", "1 glance", "2 glance"])
    }

    @Test(arguments: 0..<60) func everyTreeIsSound(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        let hosts = random.below(40) + 1
        func some(_ share: Int) -> Set<Int> { Set((0..<hosts).filter { _ in random.below(share) == 0 }) }
        let fleet = fleet(hosts, withoutAddress: some(6))
        let (plan, violations) = plan(
            fleet, holding: some(4), withoutSFTP: some(6), deliver: DeliverySettings(via: .relay, fanOut: random.below(4) + 1))
        #expect(violations.isEmpty, "seed \(seed): \(violations)")
        let fanOut = plan.sites[0].deliver.fanOut ?? 2
        var followers: [HostName: Int] = [:]
        for case .relay(let choices, _) in plan.steps.map(\.action) { if let parent = choices.first { followers[parent, default: 0] += 1 } }
        let leaves = fleet.hosts.count { $0.peerAddress == nil }
        #expect(followers.values.allSatisfy { $0 <= fanOut + leaves }, "seed \(seed): \(followers)")
    }

    @Test func outsideTheWindowOnlyHoldersServe() throws {
        let window = try #require(Window("01:00-01:30 UTC"))
        let fleet = fleet(4, settings: SiteSettings(deliver: DeliverySettings(window: window)))
        let placements = fleet.hosts.map { Placement(image: image.id, site: $0.site, role: $0.role, host: $0.name, rule: "golden") }
        func steps(holding: Set<Int>) -> [Step] {
            Planner.plan(
                Decision(image: image, placements: placements), fleet: fleet, observed: observed(fleet, holding: holding),
                defaults: PlanningDefaults(), now: now
            ).steps
        }
        #expect(steps(holding: []).allSatisfy { if case .none(.waiting) = $0.action { true } else { false } })
        #expect(steps(holding: [0]).contains { $0.action == .relay(from: ["dcn1-compute-0"], fallsBackToGlance: false) })
    }
}
