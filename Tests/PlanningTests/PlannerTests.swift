import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import Testing

@Suite struct PlannerTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)
    private let image = Samples.image(1)

    private func survey(
        _ host: HostName, age: Double? = nil, ttl: Int? = nil, imagesType: String? = nil, tools: Set<String> = []
    ) -> HostObservation {
        let files = age.map { [BaseFile(name: BaseFileName(of: image.id), bytes: 1 << 20, allocatedBytes: 1 << 20, ageSeconds: $0)] } ?? []
        return .surveyed(HostSurvey(host: host, surveyedAt: now, ttlSeconds: ttl, imagesType: imagesType, tools: tools, baseFiles: files))
    }

    private func decision(_ fleet: Fleet, via: Via? = nil, mode: RuleMode = .enforce, ttl: Int? = nil) -> Decision {
        Decision(
            image: image,
            placements: fleet.hosts.map {
                Placement(
                    image: image.id, site: $0.site, role: $0.role, host: $0.name, rule: "golden", mode: mode,
                    deliver: DeliverySettings(via: via), ttlSeconds: ttl,
                    reasons: ["tag \"golden\""])
            })
    }

    /// The plan as a person would note it: `host action`, in execution order.
    private func lines(_ plan: Plan) -> [String] {
        plan.sites.flatMap { site in
            site.steps.map { step in
                switch step.action {
                case .fetch: "\(step.host) fetch"
                case .copy(let source, let fallsBack): "\(step.host) copy from \(source)\(fallsBack ? ", else Glance" : "")"
                case .relay(let choices, _): "\(step.host) relay from \(choices.map(\.rawValue).joined(separator: ", "))"
                case .touch: "\(step.host) touch"
                case .none: "\(step.host) none"
                }
            }
        }
    }

    @Test func baseFileNamesAreNovas() {
        // echo -n 07bc2424-753b-4f65-9da5-5a99d8383fe6 | sha1sum
        let id = ImageID("07BC2424-753B-4F65-9DA5-5A99D8383FE6")
        #expect(id.map { BaseFileName(of: $0).text } == "93c48f35eace40ebcd33c4f256ef28b6860fbded")
    }

    @Test func novaIsAskedForWhatItHasNotToldOfAndTouchesTheRestAlong() {
        let fleet = Samples.fleet(sites: 1, hosts: 3, settings: SiteSettings(deliver: DeliverySettings(via: .novaAPI)))
        let decision = decision(fleet)
        #expect(decision.hostsThroughNova(fleet, PlanningDefaults()) == Set(fleet.hosts.map(\.name)))
        let young = HostObservation.told(since: now.addingTimeInterval(-100), isDue: false)
        var observed = Dictionary(fleet.hosts.map { ($0.name, young) }) { first, _ in first }
        let plan = { Planner.plan(decision, fleet: fleet, observed: observed, defaults: PlanningDefaults()) }
        #expect(lines(plan()) == ["dcn1-compute-0 none", "dcn1-compute-1 none", "dcn1-compute-2 none"])
        observed["dcn1-compute-1"] = .told(since: nil, isDue: false)
        #expect(lines(plan()) == ["dcn1-compute-0 touch", "dcn1-compute-1 fetch", "dcn1-compute-2 touch"])
        #expect(plan().movesBytes && PlanCheck.violations(plan(), fleet: fleet, observed: observed).isEmpty)
        observed["dcn1-compute-1"] = .told(since: now.addingTimeInterval(-60_000), isDue: true)
        #expect(lines(plan()) == ["dcn1-compute-0 touch", "dcn1-compute-1 touch", "dcn1-compute-2 touch"])
        #expect(PlanCheck.violations(plan(), fleet: fleet, observed: observed).isEmpty)
        // Nova fetches for whom it does not find the file, so a refusal is one for all of them.
        #expect(plan().movesBytes && !plan().refusing("no").movesBytes && plan().refusing("no").wanted.isEmpty)
    }

    @Test func outsideTheWindowNovaIsNotAskedAtAllWhereItWouldFetch() throws {
        var settings = SiteSettings(deliver: DeliverySettings(via: .novaAPI))
        // `now` is 08:00 UTC.
        let window: Window = try #require(Window("01:00-02:00 UTC"))
        settings.deliver.window = window
        let fleet = Samples.fleet(sites: 1, hosts: 2, settings: settings)
        let observed: [HostName: HostObservation] = [
            "dcn1-compute-0": .told(since: now, isDue: true), "dcn1-compute-1": .told(since: nil, isDue: false),
        ]
        let plan = Planner.plan(decision(fleet), fleet: fleet, observed: observed, defaults: PlanningDefaults(), now: now)
        #expect(lines(plan) == ["dcn1-compute-0 none", "dcn1-compute-1 none"])
    }

    /// One copy crosses the WAN: a host of a site that is at work already waits for those that have it, and copies from them.
    @Test(arguments: [Via.relay, .proxy, .direct]) func aSiteAtWorkGetsNoSecondCopy(via: Via) {
        let fleet = Samples.fleet(sites: 2, hosts: 3)
        var observed = Dictionary(fleet.hosts.map { ($0.name, survey($0.name, tools: ["sftp"])) }) { first, _ in first }
        let plan = {
            Planner.plan(
                decision(fleet, via: via), fleet: fleet, observed: observed, defaults: PlanningDefaults(),
                underWay: ["dcn1-compute-0"], now: now)
        }
        #expect(plan().wanted == Set(fleet.hosts.map(\.name)))
        #expect(plan().sites[1].steps.count == 3 && plan().sites[1].movesBytes)
        let steps = plan().sites[0].steps
        #expect(steps.map(\.host) == ["dcn1-compute-1", "dcn1-compute-2"])
        let waits = Step.Action.none(.arriving(lookAgain: now.addingTimeInterval(60)))
        #expect(steps.map(\.action) == (via == .direct ? [.fetch, .fetch] : [waits, waits]))
        observed["dcn1-compute-1"] = survey("dcn1-compute-1", age: 10)
        let action = plan().sites[0].steps.first { $0.host == "dcn1-compute-2" }?.action
        switch via {
        case .relay: #expect(action == .relay(from: ["dcn1-compute-1"], fallsBackToGlance: true))
        case .proxy: #expect(action == .copy(from: "dcn1-compute-1", fallsBackToGlance: true))
        default: #expect(action == .fetch)
        }
        // Nobody can copy what others have converted, and others' ways bring nothing to these.
        var disk = decision(fleet, via: via)
        disk.image.diskFormat = "qcow2"
        observed["dcn1-compute-1"] = survey("dcn1-compute-1", tools: ["sftp", "qemu-img"])
        observed["dcn1-compute-2"] = survey("dcn1-compute-2", tools: ["sftp", "qemu-img"])
        let own = { (decision: Decision) in
            Planner.plan(
                decision, fleet: fleet, observed: observed, defaults: PlanningDefaults(), underWay: ["dcn1-compute-0"], now: now
            ).sites.filter { $0.site == "dcn1" }.flatMap(\.steps).contains { $0.action == .fetch }
        }
        #expect(own(disk))
        var apart = decision(fleet, via: via)
        apart.placements[0].deliver.fanOut = 7
        #expect(own(apart))
        // Whoever can only fetch has nothing to wait for.
        observed["dcn1-compute-1"] = survey("dcn1-compute-1")
        #expect(plan().sites[0].steps.first { $0.host == "dcn1-compute-1" }?.action == (via == .proxy ? waits : .fetch))
    }

    @Test func directFetchesWhatIsMissingAndLeavesTouchingToTheRefresher() {
        let fleet = Samples.fleet(sites: 1, hosts: 3)
        let observed: [HostName: HostObservation] = [
            "dcn1-compute-0": survey("dcn1-compute-0"), "dcn1-compute-1": survey("dcn1-compute-1", age: 90_000),
            "dcn1-compute-2": survey("dcn1-compute-2", age: 4000),
        ]
        let plan = Planner.plan(decision(fleet, via: .direct), fleet: fleet, observed: observed, defaults: PlanningDefaults())
        #expect(lines(plan) == ["dcn1-compute-0 fetch", "dcn1-compute-1 touch", "dcn1-compute-2 none"])
        // By hand everything that is there is touched, as the playbook does.
        let byHand = Planner.plan(
            decision(fleet, via: .direct), fleet: fleet, observed: observed, defaults: PlanningDefaults(), touchesFreshFiles: true)
        #expect(lines(byHand) == ["dcn1-compute-0 fetch", "dcn1-compute-1 touch", "dcn1-compute-2 touch"])
        #expect(PlanCheck.violations(plan, fleet: fleet, observed: observed).isEmpty)
    }

    @Test func proxyFetchesOnceAndTheOthersCopy() {
        let fleet = Samples.fleet(sites: 1, hosts: 3)
        let observed = Dictionary(uniqueKeysWithValues: fleet.hosts.map { ($0.name, survey($0.name)) })
        let plan = Planner.plan(decision(fleet, via: .proxy), fleet: fleet, observed: observed, defaults: PlanningDefaults())
        #expect(
            lines(plan) == [
                "dcn1-compute-0 fetch", "dcn1-compute-1 copy from dcn1-compute-0, else Glance",
                "dcn1-compute-2 copy from dcn1-compute-0, else Glance",
            ])
        #expect(PlanCheck.violations(plan, fleet: fleet, observed: observed).isEmpty)
    }

    @Test func aHostThatHasTheBaseFileIsTheProxyWhenTheChosenOneIsAway() {
        let fleet = Samples.fleet(sites: 1, hosts: 3)
        let observed: [HostName: HostObservation] = [
            "dcn1-compute-0": .unreachable(reason: "no route"), "dcn1-compute-1": survey("dcn1-compute-1"),
            "dcn1-compute-2": survey("dcn1-compute-2", age: 300),
        ]
        let plan = Planner.plan(decision(fleet, via: .proxy), fleet: fleet, observed: observed, defaults: PlanningDefaults())
        #expect(
            lines(plan) == [
                "dcn1-compute-0 none", "dcn1-compute-2 none", "dcn1-compute-1 copy from dcn1-compute-2, else Glance",
            ])
        #expect(PlanCheck.violations(plan, fleet: fleet, observed: observed).isEmpty)
    }

    @Test func theOperatorsSeedComesFirst() {
        let fleet = Samples.fleet(
            sites: 1, hosts: 2, settings: SiteSettings(deliver: DeliverySettings(via: .proxy), seed: "dcn1-compute-1"))
        let observed = Dictionary(uniqueKeysWithValues: fleet.hosts.map { ($0.name, survey($0.name)) })
        let plan = Planner.plan(
            decision(fleet), fleet: fleet, observed: observed, defaults: PlanningDefaults(copyFallsBackToGlance: false))
        #expect(lines(plan) == ["dcn1-compute-1 fetch", "dcn1-compute-0 copy from dcn1-compute-1"])
    }

    @Test func aBaseFileThatNovaConvertedIsNoSource() {
        let fleet = Samples.fleet(sites: 1, hosts: 2)
        let raw = BaseFile(name: BaseFileName(of: image.id), bytes: 10 << 20, allocatedBytes: 2 << 20, ageSeconds: 300)
        let observed: [HostName: HostObservation] = [
            "dcn1-compute-0": .surveyed(HostSurvey(host: "dcn1-compute-0", surveyedAt: now, baseFiles: [raw])),
            "dcn1-compute-1": survey("dcn1-compute-1"),
        ]
        let plan = Planner.plan(decision(fleet, via: .proxy), fleet: fleet, observed: observed, defaults: PlanningDefaults())
        #expect(lines(plan) == ["dcn1-compute-0 none", "dcn1-compute-1 fetch"])
    }

    @Test func dryRunAndRBDAreLeftAloneWithTheirReasons() {
        let fleet = Samples.fleet(sites: 1, hosts: 1)
        let dry = Planner.plan(
            decision(fleet, mode: .dryRun), fleet: fleet, observed: ["dcn1-compute-0": survey("dcn1-compute-0")],
            defaults: PlanningDefaults())
        #expect(dry.steps.map(\.action) == [.none(.dryRun)])
        let rbd = Planner.plan(
            decision(fleet), fleet: fleet, observed: ["dcn1-compute-0": survey("dcn1-compute-0", imagesType: "rbd")],
            defaults: PlanningDefaults())
        #expect(rbd.steps.first?.reasons.last == "images_type is rbd, which does not use the image cache")
        #expect(rbd.isEmpty)
    }

    @Test func theNodesTTLWinsAndARuleCanOnlyShortenIt() {
        let fleet = Samples.fleet(sites: 1, hosts: 1)
        let defaults = PlanningDefaults(ttl: TTLDefaults(seconds: 86400, roles: ["Compute": 604_800]))
        func ttl(node: Int?, rule: Int?) -> Int? {
            Planner.plan(
                decision(fleet, ttl: rule), fleet: fleet, observed: ["dcn1-compute-0": survey("dcn1-compute-0", ttl: node)],
                defaults: defaults
            ).steps.first?.ttlSeconds
        }
        #expect(ttl(node: 3600, rule: nil) == 3600)
        #expect(ttl(node: nil, rule: nil) == 604_800)
        #expect(ttl(node: nil, rule: 600) == 600)
        #expect(ttl(node: 3600, rule: 2_592_000) == 3600)
        // A slip in one node's nova.conf costs no image its place.
        #expect(ttl(node: 0, rule: nil) == 10)
        #expect(ttl(node: .max, rule: nil) == 315_360_000)
    }

    @Test func plansThatAreNotSoundAreFound() {
        let fleet = Samples.fleet(sites: 1, hosts: 2)
        let orphan = Step(
            host: "dcn1-compute-1", role: "Compute", action: .copy(from: "dcn1-compute-0", fallsBackToGlance: false), rule: "r",
            priority: 1,
            ttlSeconds: 1, reasons: [])
        let plan = Plan(image: image, sites: [SitePlan(site: "dcn1", via: .proxy, forks: 1, copiesAtOnce: 1, steps: [orphan, orphan])])
        let violations = PlanCheck.violations(plan, fleet: fleet, observed: [:])
        #expect(violations.contains("host dcn1-compute-1 copies from dcn1-compute-0, which has no bytes by then"))
        #expect(violations.contains("host dcn1-compute-1 stands in the plan twice"))
    }
}
