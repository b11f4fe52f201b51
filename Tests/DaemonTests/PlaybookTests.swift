import Engine
import ForecacheModel
import Planning
import Rules
import StrictYAML
import Testing

@testable import Daemon

@Suite struct PlaybookTests {
    private static let prefix = "tripleo_nova_image_cache_"
    private let folder: Folder

    init() throws { folder = try Folder() }

    private func read(_ arguments: String...) throws(Refusal) -> PlaybookArguments {
        try PlaybookArguments.read(arguments, environment: folder.environment)
    }

    private func problems(_ arguments: String...) -> [String] {
        do throws(Refusal) {
            _ = try PlaybookArguments.read(arguments, environment: folder.environment)
            return []
        } catch {
            #expect(error.exitCode == 78)
            return (error.message ?? "").split(separator: "\n").map(String.init)
        }
    }

    @Test func theArgumentFileOfTheDocumentIsUnderstood() throws {
        let path = try folder.write(
            "dcn1_nova_cache_args.yml",
            """
            tripleo_nova_image_cache_use_proxy: true
            tripleo_nova_image_cache_proxy_hostname: dcn1-compute-1
            tripleo_nova_image_cache_proxy_network: storage
            tripleo_nova_image_cache_ignore_proxy_error: "yes"
            tripleo_nova_image_cache_proxy_concurrency: 3
            tripleo_nova_image_cache_images:
              - id: 07bc2424-753b-4f65-9da5-5a99d8383fe6
              - id: d5187afa-c821-4f22-aa4b-4e76382bef86
                state: present
            tripleo_nova_image_cache_plan: dcn1
            somebody_elses: 1
            """)
        let arguments = try read("@\(path)")
        #expect(arguments.images == ["07bc2424-753b-4f65-9da5-5a99d8383fe6", "d5187afa-c821-4f22-aa4b-4e76382bef86"])
        #expect((arguments.usesProxy, arguments.ignoresProxyError) == (true, true))
        #expect((arguments.proxyHost, arguments.proxyNetwork) == ("dcn1-compute-1", "storage"))
        #expect((arguments.proxyConcurrency, arguments.plan) == (3, "dcn1"))
    }

    @Test func pairsAndJSONAreUnderstoodAndTheLastWins() throws {
        let arguments = try read(
            #"{"tripleo_nova_image_cache_images": [{"id": "a"}], "tripleo_nova_image_cache_plan": "dcn1"}"#,
            "tripleo_nova_image_cache_plan='dcn2' tripleo_nova_image_cache_use_proxy=1",
            #"tripleo_nova_image_cache_images=[{"id": "b c"}, {'id': 'd'}]"#)
        #expect(arguments.images == ["b c", "d"])
        #expect((arguments.plan, arguments.usesProxy) == ("dcn2", true))
    }

    @Test func anEmptyListIsNotTheSameAsNone() throws {
        #expect(try read("\(Self.prefix)images=[]").images == [])
        #expect(try read("@\(try folder.write("a.yml", "\(Self.prefix)images:\n"))", "\(Self.prefix)plan=dcn1").images == nil)
    }

    @Test func anyOtherStateIsAnError() throws {
        let path = try folder.write("a.yml", "\(Self.prefix)images:\n  - id: x\n    state: absent\n  - state: present\n")
        #expect(
            problems("@\(path)") == [
                "\(path):3:12: state must be present, not 'absent': forecache never removes base files, Nova does",
                "\(path):4:5: an image needs the key 'id'",
            ])
    }

    @Test func slipsAreErrorsAndOthersVariablesAreNot() {
        #expect(
            problems("\(Self.prefix)proxy_host_name=x tripleo_nova_image_cach_images=y other=z \(Self.prefix)use_proxy=maybe") == [
                "-e:1:1: \(Self.prefix)use_proxy must be true or false, not 'maybe'",
                "-e:1:1: unknown key 'tripleo_nova_image_cach_images' in the playbook's arguments; did you mean '\(Self.prefix)images'?",
                "-e:1:1: unknown key '\(Self.prefix)proxy_host_name' in the playbook's arguments; did you mean '\(Self.prefix)proxy_hostname'?",
            ])
        let cut = problems("tripleo_nova_cache_images=[] tripleo_nova_compute_x=1")
        #expect(cut.count == 1, "\(cut)")
        #expect(
            cut.first?.hasPrefix("-e:1:1: unknown key 'tripleo_nova_cache_images' in the playbook's arguments; known are \(Self.prefix)")
                == true)
        #expect(problems("nonsense") == ["-e:1:1: extra variables are @FILE or key=value, not 'nonsense'"])
        #expect(problems("@/nowhere.yml") == ["/nowhere.yml:1:1: cannot read /nowhere.yml: no such file or directory"])
    }

    // MARK: - Hands

    private func policy(_ sites: [SiteName] = ["a"]) -> Policy {
        let sites = sites.map { site in
            Site(
                name: site,
                hosts: (0...1).map { Host(name: HostName("\(site)\($0)"), site: site, role: "Compute", address: "192.0.2.1") })
        }
        return Policy(rules: RuleSet(rules: []), fleet: Fleet(sites: sites), defaults: PlanningDefaults())
    }

    private func via(_ hands: Hands) -> [SiteName: Via] { hands.via(in: policy(["a", "b"]).fleet) }

    private func refusal(_ body: () throws(Refusal) -> Void) -> Refusal? {
        do throws(Refusal) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    @Test func theProxyOfTheArgumentsBecomesTheSeed() throws {
        var playbook = PlaybookArguments()
        (playbook.usesProxy, playbook.proxyHost, playbook.proxyConcurrency) = (true, "a1", 2)
        let hands = try Hands(playbook, forks: 7)
        let applied = try hands.applied(to: policy())
        #expect(via(hands) == ["a": .proxy, "b": .proxy])
        #expect(applied.fleet.site("a")?.settings.seed == "a1")
        #expect(applied.fleet.site("a")?.settings.forks == 7)
        #expect(applied.defaults.copiesAtOnce == 2)
        #expect(!applied.defaults.copyFallsBackToGlance, "the playbook stops unless ignore_proxy_error is set")
        playbook.ignoresProxyError = true
        #expect(try Hands(playbook).applied(to: policy()).defaults.copyFallsBackToGlance)
    }

    @Test func noProxySaidInSoManyWordsMeansEveryHostStraightFromGlance() throws {
        let playbook = try read("\(Self.prefix)use_proxy=false \(Self.prefix)proxy_hostname=a1")
        let hands = try Hands(playbook)
        #expect(via(hands) == ["a": .direct, "b": .direct])
        #expect(try hands.applied(to: policy()).fleet.site("a")?.settings.seed == nil)
        #expect(try hands.applied(to: policy()).defaults.copyFallsBackToGlance)
        #expect(try via(Hands(read())).isEmpty, "unsaid, the site's settings count")
        // What the call says wins over its argument file.
        #expect(try via(Hands(playbook, via: .relay)) == ["a": .relay, "b": .relay])
        #expect(try via(Hands(playbook, proxyHost: "a0")) == ["a": .proxy, "b": .direct])
    }

    @Test func aProxyHostAloneMeansProxyForItsOwnSite() throws {
        let hands = try Hands(PlaybookArguments(), proxyHost: "a1")
        #expect(via(hands) == ["a": .proxy])
        #expect(try hands.applied(to: policy()).fleet.site("a")?.settings.seed == "a1")
        let relayed = try Hands(PlaybookArguments(), via: .relay, proxyHost: "a1")
        #expect(via(relayed) == ["a": .relay, "b": .relay])
        #expect(try relayed.applied(to: policy()).fleet.site("a")?.settings.seed == "a1")
    }

    @Test func aProxyThatIsNotThereIsAnErrorBeforeAnythingMoves() {
        let refusal = refusal { () throws(Refusal) in _ = try Hands(PlaybookArguments(), proxyHost: "a2").applied(to: policy()) }
        #expect(refusal?.exitCode == 64)
        #expect(
            refusal?.message
                == "proxy host 'a2' is not among the 2 compute hosts that were selected; did you mean 'a0'? Nothing was moved")
    }

    /// The call may be for other sites than the one that the argument file was written for.
    @Test(arguments: ["", " tripleo_nova_image_cache_use_proxy=false"]) func aProxyHostThatIsNotUsedMustOnlyBeInTheInventory(more: String)
        throws
    {
        let selected = policy(["b"])
        let whole = policy(["a", "b"]).fleet
        _ = try Hands(read("\(Self.prefix)proxy_hostname=a1" + more)).applied(to: selected, of: whole)
        let used = try read("\(Self.prefix)proxy_hostname=a1 \(Self.prefix)use_proxy=true")
        let unselected = refusal { () throws(Refusal) in _ = try Hands(used).applied(to: selected, of: whole) }
        #expect(unselected?.message?.hasPrefix("proxy host 'a1' is not among the 2 compute hosts that were selected; ") == true)
        let unknown = try read("\(Self.prefix)proxy_hostname=a2" + more)
        let absent = refusal { () throws(Refusal) in _ = try Hands(unknown).applied(to: selected, of: whole) }
        #expect(absent?.exitCode == 64)
        #expect(absent?.message?.hasPrefix("proxy host 'a2' is not among the 4 compute hosts of the inventory; ") == true)
    }

    @Test func contradictionsAreUsageErrors() {
        #expect(refusal { () throws(Refusal) in _ = try Hands(PlaybookArguments(), via: .direct, proxyHost: "a1") }?.exitCode == 64)
        for forks in [0, 10_001, .max] {
            let refusal = refusal { () throws(Refusal) in _ = try Hands(PlaybookArguments(), forks: forks) }
            #expect(refusal?.exitCode == 64)
            #expect(refusal?.message == "--forks must be a whole number from 1 to 10000, not \(forks)")
        }
    }
}

extension Hands {
    /// Where everything is selected.
    fileprivate func applied(to policy: Policy) throws(Refusal) -> Policy { try applied(to: policy, of: policy.fleet) }
}
