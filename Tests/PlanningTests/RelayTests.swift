import ForecacheModel
import ForecacheTestSupport
import Planning
import Testing

@Suite struct RelayTests {
    private static let size = Double(RelayWorld.size)
    /// Seconds that the WAN alone needs.
    private static let wanSeconds = size / 25e6

    @Test(arguments: [(8, 1.15), (16, 1.25)]) func allAreDoneSoonAfterTheSeed(hosts: Int, bar: Double) {
        var world = RelayWorld(hosts: hosts)
        world.run()
        #expect(world.published == hosts && world.violations.isEmpty, "\(world.violations)")
        #expect(world.lastEnd <= Self.wanSeconds * bar)
        #expect(world.wanBytes <= Self.size * 1.001)
        #expect(world.fetches == ["h0"])
    }

    @Test(arguments: 1...6) func fewForksServeInWavesWithoutStandingStill(forks: Int) {
        var world = RelayWorld(hosts: 12, forks: forks)
        world.run()
        #expect(world.published == 12 && world.violations.isEmpty, "\(world.violations)")
        #expect(world.mostPlaces == forks)
        #expect(world.wanBytes <= Self.size * 1.001)
    }

    @Test(arguments: [true, false]) func aMiddleHostThatIsLostCostsTheOthersLittle(isHanging: Bool) {
        var calm = RelayWorld(hosts: 8)
        calm.run()
        var world = RelayWorld(hosts: 8)
        world.run(until: { $0.bytes(1) > Self.size / 2 })
        if isHanging { world.hang(1) } else { world.kill(1) }
        world.run(for: 120)
        let others = [0, 2, 3, 4, 5, 6, 7]
        for host in others { #expect(world.end(host) < calm.end(host) + 5, "host \(host)") }
        #expect(world.wanBytes <= Self.size * 1.02)
        #expect(world.violations.isEmpty, "\(world.violations)")
    }

    @Test(arguments: [true, false]) func theHostWithTheMostBytesGoesOnWhereTheSeedDied(isHanging: Bool) {
        var world = RelayWorld(hosts: 8)
        world.run(until: { $0.bytes(0) > Self.size / 2 })
        if isHanging { world.hang(0) } else { world.kill(0) }
        world.run(for: 200)
        #expect(world.ends.filter { $0.value.end == .published }.count == 7)
        #expect(world.fetches.filter { $0 != "h0" }.count == 1, "one new seed: \(world.fetches)")
        #expect(world.wanBytes <= Self.size * (isHanging ? 1.1 : 1.05))
        #expect(world.violations.isEmpty, "\(world.violations)")
        for host in 1...7 { #expect(world.end(host) < Self.wanSeconds + 12, "host \(host)") }
    }

    @Test func aSlowHostSlowsNobodyElse() {
        var calm = RelayWorld(hosts: 8)
        calm.run()
        var world = RelayWorld(hosts: 8)
        world.limit(1, to: 12.5e6)
        world.run()
        #expect(world.published == 8 && world.violations.isEmpty, "\(world.violations)")
        for host in [0, 2, 5, 6] { #expect(world.end(host) < calm.end(host) + 0.5, "host \(host)") }
        for host in [3, 4, 7] { #expect(world.end(host) < calm.end(host) + 5, "host \(host), which was below it") }
    }

    /// All that are below it are moved to hosts that are not slow themselves.
    @Test func aSlowHostWithHalfOfTheSiteBelowItSlowsNobodyElse() {
        var world = RelayWorld(hosts: 16)
        world.limit(1, to: 12.5e6)
        world.run()
        #expect(world.published == 16 && world.violations.isEmpty, "\(world.violations)")
        for host in 0..<16 where host != 1 { #expect(world.end(host) <= Self.wanSeconds * 1.25, "host \(host)") }
        #expect(world.parents(of: 1).count <= 2, "it is slow by itself")
    }

    /// The first report of a transfer tells of bytes that came before it: a log-in that takes its time afterwards is no source that stands still.
    @Test func whoeverHasBytesAlreadyMayStillTakeItsTimeToLogIn() {
        let (hosts, stands): ([HostName], Int64) = (["h0", "h1", "h2"], 10 << 20)
        let members = hosts.map { Relay.Member($0, choices: $0 == "h0" ? [] : ["h0"]) }
        var relay = Relay(members: members, bytes: 1 << 30, fanOut: 2, forks: 3)
        _ = relay.begin(at: 0)
        for host in hosts {
            _ = relay.take(.entered(host), at: 0)
            _ = relay.take(.began(host, bytes: host == "h1" ? stands : 100 << 20), at: 0)
        }
        let leavesAt = (1...20).first { second in
            for host in hosts {
                let bytes = host == "h1" ? stands : Int64(100 + 25 * second) << 20
                _ = relay.take(.progressed(host, bytes: bytes), at: Double(second))
            }
            return relay.take(.tick, at: Double(second)).contains(.abandon("h1"))
        }
        #expect(leavesAt == 10)
    }

    @Test func aHostWhoseOwnLinkIsSlowIsNotSentAround() {
        var world = RelayWorld(hosts: 8)
        world.limit(7, to: 5e6)
        world.run()
        #expect(world.published == 8 && world.violations.isEmpty)
        #expect(world.parents(of: 7).count <= 4)
    }

    @Test func aFullLANIsNobodysFault() {
        // Two followers of one host share a link as fast as the WAN: everybody is at half the rate, and moving would mend nothing.
        var world = RelayWorld(hosts: 7, lan: 25e6)
        world.run()
        #expect(world.published == 7 && world.violations.isEmpty)
        #expect(world.copies.count <= 6 + 6, "\(world.copies)")
    }

    /// Sixteen hosts that share two cores: a log-in takes a second of one, and whoever leaves for another source makes all others wait.
    @Test func hostsThatAreBusyAreNotSentAround() {
        var world = RelayWorld(hosts: 16)
        (world.cores, world.logInSeconds) = (2, 1)
        world.run()
        #expect(world.published == 16 && world.violations.isEmpty, "\(world.violations)")
        #expect(world.copies.count == 15, "\(world.copies)")
        #expect(world.lastEnd <= Self.wanSeconds * 1.25)
    }

    /// All rates together are bounded, and what a host gets of them is chance: whoever moves gets no more, and has its digest to begin anew.
    @Test func whereProcessorsAreShortNobodyMovesForLong() {
        var world = RelayWorld(hosts: 16)
        (world.cores, world.logInSeconds, world.processorBytesPerSecond) = (2, 1, 150e6)
        world.run()
        #expect(world.published == 16 && world.violations.isEmpty, "\(world.violations)")
        #expect(world.copies.count <= 15 + 12, "\(world.copies.count)")
    }

    /// No source is quicker than the digest that is still being counted, not even the seed's.
    @Test func whoeverHasAllBytesIsLeftAlone() {
        var world = RelayWorld(hosts: 8)
        world.digestSeconds = 20
        world.run()
        #expect(world.published == 8 && world.violations.isEmpty, "\(world.violations)")
        #expect(world.copies.count == 7 && world.fetches == ["h0"], "\(world.copies)")
    }

    @Test func wrongBytesAreFetchedAgainFromAnotherAndTheirSourceIsNotAsked() {
        var world = RelayWorld(hosts: 6)
        world.corrupt(1)
        world.run()
        #expect(world.published == 6 && world.violations.isEmpty, "\(world.violations)")
        #expect(world.wanBytes <= Self.size * 1.001)
        for host in [3, 4] {
            #expect(world.parents(of: host).first == "h1")
            #expect(world.parents(of: host).dropFirst().allSatisfy { $0 != "h1" })
        }
    }

    @Test func bytesThatAnEarlierTryLeftAreNotFetchedAgain() {
        var world = RelayWorld(hosts: 5)
        world.leaveBytes(Self.size * 0.75, on: 3)
        world.run()
        #expect(world.published == 5 && world.violations.isEmpty, "\(world.violations)")
        #expect(world.wanBytes < Self.size * 0.45, "\(world.wanBytes / Self.size)")
    }

    @Test func holdersServeAndNobodyFetches() {
        var world = RelayWorld(hosts: 7, holders: [0])
        world.run()
        #expect(world.published == 6 && world.violations.isEmpty)
        #expect(world.wanBytes == 0 && world.fetches.isEmpty)
    }

    @Test func aHolderThatIsAwayIsReplacedByASeed() {
        var world = RelayWorld(hosts: 5, holders: [0])
        world.kill(0)
        world.run()
        #expect(world.published == 4 && world.violations.isEmpty, "\(world.violations)")
        #expect(world.wanBytes <= Self.size * 1.001)
    }

    @Test func aGlanceThatFailsIsGivenUpForAllAfterAFewTries() {
        var world = RelayWorld(hosts: 40)
        world.glanceFailure = RelayWorld.broken
        world.run(for: 120)
        #expect(world.relay.isOver && world.published == 0)
        #expect(world.fetches.count <= 8, "\(world.fetches)")
        #expect(world.violations.isEmpty)
    }

    @Test(arguments: [(2, true), (3, true), (5, true), (8, true), (4, false)])
    func aGlanceThatRefusesForGoodIsTheReasonOfAll(hosts: Int, fallsBack: Bool) {
        var world = RelayWorld(hosts: hosts, fallsBack: fallsBack)
        world.glanceFailure = Failure(.permanent, "name the CA of this Glance as node.cacert")
        world.run(for: 200)
        #expect(world.relay.isOver && world.reasons.count == hosts)
        #expect(world.reasons.values.allSatisfy { $0 == world.glanceFailure }, "\(world.reasons)")
        #expect(world.fetches.count <= 8 && world.violations.isEmpty)
    }

    @Test func withoutFallingBackOnlyTheSeedFetches() {
        var world = RelayWorld(hosts: 5, fallsBack: false)
        world.run(until: { $0.bytes(0) > Self.size / 2 })
        world.kill(0)
        world.run(for: 200)
        #expect(world.relay.isOver && world.published == 0)
        #expect(Set(world.fetches) == ["h0"] && world.violations.isEmpty)
    }

    @Test func twoHundredHostsAreDecidedQuickly() {
        var world = RelayWorld(hosts: 200, forks: 32)
        let start = ContinuousClock.now
        world.run()
        #expect(world.published == 200 && world.violations.isEmpty)
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    /// Random trees, forks, deaths, hangs, rates and wrong bytes: everybody who is alive finishes, places are never exceeded, nobody waits for itself.
    /// All places are held by hosts that failed once, and the next one to fetch still stands in the line for one.
    @Test(arguments: 1...3) func theOneThatIsToFetchNeverWaitsForThoseThatWaitForIt(places: Int) {
        var world = RelayWorld(hosts: 4)
        world.placesInAll = places
        world.glanceFailure = RelayWorld.broken
        world.run(for: 3)
        world.glanceFailure = nil
        world.run(for: 200)
        #expect(world.published == 4 && world.violations.isEmpty, "\(world.ends) \(world.violations)")
    }

    @Test func whoeverCannotEvenBeginSaysNothingAboutItsSource() {
        let choices: [HostName: [HostName]] = ["holder": [], "full-1": ["holder"], "full-2": ["holder"], "well": ["full-1", "holder"]]
        let members = choices.sorted { $0.key < $1.key }.map {
            Relay.Member($0.key, choices: $0.value, fallsBackToGlance: false, isHolder: $0.key == "holder")
        }
        var relay = Relay(members: members, bytes: 1 << 30, fanOut: 2, forks: 4)
        var (actions, given) = (relay.begin(at: 0), [Relay.Action]())
        for second in 1...60 where !relay.isOver {
            for action in actions {
                switch action {
                case .enter(let host): given += relay.take(.entered(host), at: Double(second))
                case .transfer("well", _, _): given += relay.take(.received("well"), at: Double(second))
                case .transfer(let host, _, _): given += relay.take(.failed(host, Failure(.retriable, "no space")), at: Double(second))
                case .publish(let host): given += relay.take(.published(host), at: Double(second))
                case .abandon, .leave, .giveUp: break
                }
            }
            actions = given + relay.take(.tick, at: Double(second))
            given = []
        }
        #expect(relay.isOver && actions.contains(.leave("well")), "\(actions)")
    }

    @Test func whoeverWaitsForItsTurnAtTheRateLimitIsNoSeedThatHangs() {
        var relay = Relay(
            members: [Relay.Member("a", choices: []), Relay.Member("b", choices: ["a"])], bytes: 1 << 30, fanOut: 2, forks: 2)
        _ = relay.begin(at: 0)
        #expect(relay.take(.entered("a"), at: 0) == [.transfer("a", from: .glance, isGrowing: false)])
        _ = relay.take(.waits("a"), at: 0)
        for second in 1...600 { #expect(relay.take(.tick, at: Double(second)) == []) }
        _ = relay.take(.proceeds("a"), at: 600)
        var actions: [Relay.Action] = []
        for second in 601...620 { actions += relay.take(.tick, at: Double(second)) }
        #expect(actions.first == .abandon("a"), "silence after that is silence")
    }

    /// The last five of 20,000 went wrong once: who had waited long gave up beside the first good copy, or fetched it once more each, and hosts that hang were asked
    /// in turn for ever.
    @Test(arguments: Array(0..<200) + [837, 1960, 4933, 9956, 13644]) func whateverHappensWhoeverIsAliveFinishes(seed: Int) {
        var random = SplitMix64(seed: UInt64(seed))
        let hosts = random.below(20) + 2
        var world = RelayWorld(
            hosts: hosts, fanOut: random.below(4) + 1, forks: random.below(hosts) + 1, lan: [25e6, 60e6, 125e6][random.below(3)])
        var lost: Set<Int> = []
        var wrong = 0
        for _ in 0..<random.below(5) {
            let at = Double(random.below(250)) / 10
            world.run(for: at - world.now)
            let host = random.below(hosts)
            switch random.below(4) {
            case 0 where lost.count < hosts - 1:
                world.kill(host)
                lost.insert(host)
            case 1 where lost.count < hosts - 1:
                world.hang(host)
                lost.insert(host)
            case 2: world.limit(host, to: 10e6)
            default:
                if world.now < 1 {
                    world.corrupt(host)
                    wrong += 1
                }
            }
        }
        world.run(for: 1200, until: { world in (0..<hosts).allSatisfy { lost.contains($0) || world.end($0) < .infinity } })
        let alive = (0..<hosts).filter { !lost.contains($0) }
        let finished = alive.filter { world.ends[HostName("h\($0)")]?.end == .published }
        #expect(finished == alive, "seed \(seed): \(Set(alive).subtracting(finished)) of \(hosts), lost \(lost)")
        #expect(world.violations.isEmpty, "seed \(seed): \(world.violations.prefix(3))")
        #expect(world.wanBytes <= Self.size * Double(2 + lost.count + 3 * wrong), "seed \(seed): \(world.wanBytes / Self.size) × the image")
    }
}
