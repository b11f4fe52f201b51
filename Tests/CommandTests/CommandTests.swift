import Foundation
import Testing

/// Standard output, standard error and exit codes as the contract has them, without any server.
@Suite(.timeLimit(.minutes(4))) struct CommandTests {
    private var program: Program

    init() throws { program = try Program() }

    // MARK: - Usage

    @Test(arguments: [
        (["cache", "--nonsense"], "nonsense"), (["nonsense"], "nonsense"),
        (["cache", "--via", "nova-api", "--proxy-host", "h", "x"], "not with --via nova-api"),
        (["cache", "--via", "pigeon", "x"], "pigeon"),
        (["cache", "--forks", "0", "x"], "--forks must be a whole number from 1 to 10000, not 0"),
        (["events", "--count", "0"], "--count must be at least 1"),
        (["inventory"], "give an Ansible inventory with -i"), (["survey", "--output", "xml"], "xml"),
        (["cache", "--via", "direct", "--proxy-host", "h", "x"], "--proxy-host goes with --via proxy"),
        (["cache", "--forks", "9223372036854775807", "x"], "--forks must be a whole number from 1 to 10000"),
        (["inventory", "-i", ""], "an inventory (-i) is empty"), (["inventory", "--config", ""], "--config is empty"),
        (["rules", "lint", ""], "a PATH is empty"), (["rules", "test", ""], "a PATH is empty"),
        (["rules", "lint"], "name rule files or directories, or give a configuration with rules"),
    ])
    func wordsThatAreOffAreUsageErrors(arguments: [String], says: String) async throws {
        let ended = try await program.run(arguments)
        #expect(ended.code == 64)
        #expect(ended.output == "")
        #expect(ended.errors.contains(says))
    }

    @Test func helpTeachesEveryCommandAndExitCode() async throws {
        let ended = try await program.run("--help")
        #expect(ended.code == 0)
        let words = "watch cache refresh plan survey status rules inventory events replay approve doctor scan 69 78"
        for word in words.split(separator: " ") { #expect(ended.output.contains(word)) }
        #expect(try await program.run("--version").output.hasPrefix("forecache "))
    }

    @Test func unknownSitesAndRolesAreNamed() async throws {
        let inventory = try program.writeInventory()
        let site = try await program.run("inventory", "-i", inventory, "--site", "dcn2", "--role", "Compte")
        #expect((site.code, site.output) == (64, ""))
        #expect(site.errors.contains("the inventory has no site 'dcn2'; did you mean 'dcn1'?"))
        #expect(site.errors.contains("the inventory has no role 'Compte'; did you mean 'Compute'?"))
    }

    // MARK: - Configuration, rules, inventory

    @Test func everyProblemOfTheConfigurationIsListed() async throws {
        let config = try program.write("f.yaml", "clod: x\nlimits: { forks: none }\ninventory: [missing]\n")
        for command in ["watch", "cache", "refresh", "plan", "survey", "status", "inventory", "events"] {
            let ended = try await program.run(command, "--config", config, "--output", "json")
            #expect((ended.code, ended.output) == (78, ""), "\(command)")
            #expect(ended.errors.contains("\(config):1:1: unknown key 'clod' in the configuration; did you mean 'cloud'?"))
            #expect(ended.errors.contains("\(config):2:18: limits.forks must be a whole number from 1 to 10000, not 'none'"))
            #expect(ended.errors.contains("cannot read \(program.path("missing")): no such file or directory"))
        }
    }

    @Test func aConfigurationThatIsNotThereIsNamed() async throws {
        let ended = try await program.run("status", "--config", "/nowhere.yaml")
        #expect((ended.code, ended.output) == (78, ""))
        #expect(ended.errors.contains("cannot read /nowhere.yaml: no such file or directory"))
    }

    @Test func sitesThatNoStackIsCalledAreProblemsOfTheConfiguration() async throws {
        let inventory = try program.writeInventory()
        let config = try program.write("f.yaml", "inventory: [inventories]\nsites:\n  dcn2: { via: proxy }\n  dcn1: { seed: nobody }\n")
        let own = try await program.run("inventory", "--config", config)
        #expect((own.code, own.output) == (78, ""))
        #expect(own.errors.contains("\(config):3:3: sites.dcn2: no stack is called so; did you mean 'dcn1'?"))
        #expect(own.errors.contains("\(config):4:3: sites.dcn1.seed: 'nobody' is no host of that site"))

        try program.write("f.yaml", "inventory: [inventories]\nsites:\n  dcn2: { via: proxy }\n")
        let other = try await program.run("inventory", "--config", config, "-i", inventory)
        #expect(other.code == 0, "only some of the sites are asked for")
        #expect(other.errors.contains("note: \(config):3:3: sites.dcn2: no stack is called so"))
    }

    @Test func aDirectoryWithoutInventoriesIsNamed() async throws {
        try program.write("empty/README.md", "")
        let ended = try await program.run("inventory", "-i", program.path("empty"))
        #expect((ended.code, ended.output) == (78, ""))
        #expect(ended.errors.contains("\(program.path("empty")):1:1: no inventory file is in here"))
        let missing = try await program.run("inventory", "-i", "missing")
        #expect(missing.errors == "forecache: missing:1:1: cannot read missing: no such file or directory\n", "and nothing else is wrong")
    }

    @Test(arguments: [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")])
    func anAnswerThatCannotBeWrittenIsAFailure(redirection: String, reason: String) async throws {
        let ended = try await program.run(["inventory", "-i", try program.writeInventory()], redirection: redirection)
        #expect(ended.code == 1)
        #expect(ended.errors == "forecache: the answer could not be written to standard output: \(reason)\n")
    }

    @Test func theInventoryIsPrintedAsUnderstood() async throws {
        let inventory = try program.writeInventory()
        let ended = try await program.run("inventory", "-i", program.path("inventories"), "--output", "json")
        #expect(ended.code == 0)
        let sites = try #require(try ended.json()["sites"] as? [[String: Any]])
        #expect(sites.map { $0["name"] as? String } == ["dcn1"])
        let hosts = try #require(sites.first?["hosts"] as? [[String: Any]])
        #expect(hosts.map { $0["name"] as? String } == ["dcn1-compute-0", "dcn1-compute-1"])
        #expect(hosts.map { $0["peer_address"] as? String } == ["127.0.0.2", nil])
        #expect(hosts.allSatisfy { $0["port"] as? Int == 1 && $0["file"] as? String == inventory })
        let text = try await program.run("inventory", "-i", inventory).output.split(separator: "\n")
        #expect(text.first == "SITE  HOST            ROLE     LOGIN               PEER ADDRESS  FILE")
        #expect(text.dropFirst().first == "dcn1  dcn1-compute-0  Compute  nobody@127.0.0.1:1  127.0.0.2     \(inventory)")
    }

    @Test func rulesAreChecked() async throws {
        let good = try program.write(
            "good.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: all, match: { always: true }, targets: { sites: [dcn1] } }\n")
        let fine = try await program.run("rules", "lint", good)
        #expect((fine.code, fine.output, fine.errors) == (0, "1 rule, 0 warnings\n", ""))

        let bad = try program.write(
            "bad.yaml",
            "apiVersion: forecache/v1\nrules:\n  - { name: all, macth: { always: true } }\n  - { name: all, match: { always: true } }\n")
        let refused = try await program.run("rules", "lint", bad)
        #expect((refused.code, refused.output) == (78, ""))
        #expect(refused.errors.contains("\(bad):3:"))
        #expect(refused.errors.contains("did you mean 'match'?"))

        let json = try await program.run("rules", "lint", bad, "/nowhere.yaml", "--output", "json")
        #expect(json.code == 78)
        let problems = try #require(try json.json()["problems"] as? [[String: Any]])
        #expect(problems.contains { $0["file"] as? String == bad && $0["line"] as? Int == 3 && $0["column"] as? Int ?? 0 > 1 })
        #expect(problems.contains { ($0["message"] as? String)?.contains("cannot read /nowhere.yaml") == true })
        #expect(try json.json()["warnings"] as? [String] == [])
    }

    @Test func anInventoryOfTheCallMayLackWhatTheConfigurationNames() async throws {
        let inventory = try program.writeInventory()
        try program.write("own/dcn3.yaml", "dcn3: { hosts: { c: }, vars: { plan: dcn3 } }\nnova_compute: { hosts: { c: } }\n")
        try program.write(
            "r.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: all, match: { visibility: public }, targets: { sites: [dcn3] } }\n")
        let config = try program.write("f.yaml", "inventory: [own, inventories]\nrules: [r.yaml]\nsites:\n  dcn3: { group: dcn3 }\n")
        #expect(try await program.run("inventory", "--config", config).code == 0)
        let part = try await program.run("inventory", "--config", config, "-i", inventory)
        #expect(part.code == 0)
        #expect(part.errors.contains("note: \(config):4:3: sites.dcn3.group: no group 'dcn3' in the inventory"))
        #expect(part.errors.contains("r.yaml:3:68: the inventory has no site 'dcn3'; did you mean 'dcn1'?"))
        let lint = try await program.run("rules", "lint", "--config", config, "-i", inventory)
        #expect((lint.code, lint.output) == (78, ""))
        #expect(lint.errors.contains("the inventory has no site 'dcn3'"))
    }

    @Test(arguments: ["survey", "scan"]) func hostsThatAreLeftToNovaAreRowsAndNoFailure(command: String) async throws {
        _ = try program.writeInventory()
        try program.write(
            "inventories/dcn2.yaml",
            "dcn2: { hosts: { far: { ansible_host: 127.0.0.1, ansible_port: 1 } } }\nnova_compute: { hosts: { far: } }\n")
        let text = "notifications: { url: 'rabbit://h/' }\ninventory: [inventories]\nsites: { dcn1: { via: nova-api } }\n"
        let config = try program.write("f.yaml", text)
        let ended = try await program.run(command, "--config", config, "--site", "dcn1", "--output", "json")
        #expect(ended.code == 0)
        let hosts = try #require(try ended.json()["hosts"] as? [[String: Any]])
        #expect(hosts.map { $0["error"] as? String } == ["left to Nova", "left to Nova"])
        #expect(hosts.allSatisfy { $0["reachable"] as? Bool == false })
        // Of those that were asked all failed.
        #expect(try await program.run(command, "--config", config).code == 1)
    }

    @Test func rulesThatNameNoSiteOfTheInventoryAreRefused() async throws {
        let rules = try program.write(
            "r.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: all, match: { always: true }, targets: { sites: [dcn3] } }\n")
        let ended = try await program.run("rules", "lint", rules, "-i", try program.writeInventory())
        #expect((ended.code, ended.output) == (78, ""))
        #expect(ended.errors.contains("the inventory has no site 'dcn3'; did you mean 'dcn1'?"))
    }

    // MARK: - By hand

    @Test func cachingNeedsCredentials() async throws {
        let inventory = try program.writeInventory()
        let none = try await program.run("cache", "-i", inventory, "image_0", "--output", "json")
        #expect((none.code, none.output) == (78, ""))
        #expect(none.errors.contains("OS_AUTH_URL"))
        #expect(none.errors.contains("source an overcloudrc"))

        var other = program
        other.environment["OS_CLOUD"] = "overclod"
        try other.write(".config/openstack/clouds.yaml", "clouds: { overcloud: { auth: { auth_url: 'http://x/' } } }")
        let cloud = try await other.run("cache", "-i", inventory, "image_0")
        #expect(cloud.code == 78)
        #expect(cloud.errors.contains("no cloud 'overclod'; did you mean 'overcloud'?"))
    }

    @Test func aKeystoneThatIsNotThereIsNamed() async throws {
        var program = program
        program.environment.merge(Program.overcloudrc) { $1 }
        for command in ["cache", "plan", "refresh"] {
            let ended = try await program.run(command, "-i", try program.writeInventory(), "image_0", "--output", "json")
            #expect((ended.code, ended.output) == (69, ""), "\(command)")
            #expect(ended.errors.contains("127.0.0.1:1"))
            #expect(!ended.errors.contains("s3cret"))
        }
    }

    @Test func thePlaybooksArgumentsAreChecked() async throws {
        let inventory = try program.writeInventory()
        let arguments = try program.write("args.yml", "tripleo_nova_image_cache_images:\n  - { id: x, state: absent }\n")
        let state = try await program.run("cache", "-i", inventory, "-e", "@\(arguments)")
        #expect((state.code, state.output) == (78, ""))
        #expect(state.errors.contains("\(arguments):2:21: state must be present, not 'absent'"))

        let plan = try await program.run("cache", "-i", inventory, "-e", "tripleo_nova_image_cache_plan=dcn9", "x")
        #expect((plan.code, plan.output) == (64, ""))
        #expect(plan.errors.contains("no site 'dcn9'"))

        let proxy = try await program.run(
            "cache", "-i", inventory, "-e",
            "tripleo_nova_image_cache_use_proxy=true tripleo_nova_image_cache_proxy_hostname=dcn1-compute-7", "x")
        #expect((proxy.code, proxy.output) == (64, ""))
        #expect(proxy.errors.contains("proxy host 'dcn1-compute-7' is not among the 2 compute hosts"))
        #expect(proxy.errors.contains("? Nothing was moved"))

        // As close together as Ansible takes them.
        let joined = try await program.run("cache", "-i\(inventory)", "-e@\(arguments)")
        #expect((joined.code, joined.errors) == (78, state.errors))

        let piped = try await program.run(
            ["cache", "-i", inventory, "-e", "@/dev/stdin", "x"], redirection: "<<END\ntripleo_nova_image_cache_pan: dcn1\nEND\n")
        #expect((piped.code, piped.output) == (78, ""))
        #expect(piped.errors.contains("/dev/stdin:1:1: unknown key 'tripleo_nova_image_cache_pan'"))

        let nameless = try await program.run("cache", "-i", inventory, "-e", "@", "x")
        #expect((nameless.code, nameless.output) == (78, ""))
        #expect(nameless.errors.contains("extra variables are @FILE or key=value, not '@'"))
    }

    /// Rules are there, and nobody asked for what they want.
    @Test(arguments: [["cache"], ["cache", "--check"], ["plan"]]) func aListOfNoImagesIsNotAllThatTheRulesWant(command: [String])
        async throws
    {
        var program = program
        program.environment.merge(Program.overcloudrc) { $1 }
        _ = try program.writeInventory()
        try program.write("rules/r.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: all, match: { always: true } }\n")
        try program.write("rules.yaml", "inventory: [inventories]\nrules: [rules]\nstate: ledger\nlimits: { catalog_tries: 1 }\n")
        try program.write("none.yaml", "inventory: [inventories]\nstate: ledger\n")
        for config in ["rules.yaml", "none.yaml"] {
            let empty = try await program.run(
                command + ["--config", config, "-e", "tripleo_nova_image_cache_images=[]", "--output", "json"])
            #expect(empty.code == 0, "\(config): \(empty.errors)")
            #expect(try (empty.json()["outcomes"] ?? empty.json()["images"]) as? [String] == [])
        }
        try program.write("args.yml", "tripleo_nova_image_cache_images:\ntripleo_nova_image_cache_plan: dcn1\n")
        for arguments in ["@args.yml", "tripleo_nova_image_cache_use_proxy=true", "images=[]"] {
            let unsaid = try await program.run(command + ["--config", "rules.yaml", "-e", arguments])
            // Where nothing is changed they are shown: Keystone, which is not there, is asked.
            let isShown = command != ["cache"]
            #expect((unsaid.code, unsaid.output) == (isShown ? 69 : 64, ""), "\(arguments): \(unsaid.errors)")
            #expect(unsaid.errors.contains("note: -e names no images, so this is all that the rules want") == isShown)
            #expect(unsaid.errors.contains("-e names no images: add tripleo_nova_image_cache_images") == !isShown)
        }
    }

    @Test(arguments: ["cache", "plan"]) func novaIsNotAskedWhereNobodyWouldHearHowItEnds(command: String) async throws {
        var program = program
        program.environment.merge(Program.overcloudrc) { $1 }
        let ended = try await program.run(command, "-i", try program.writeInventory(), "--via", "nova-api", "image_0")
        #expect((ended.code, ended.output) == (78, ""))
        #expect(ended.errors.contains("the configuration has no 'notifications'; add `notifications: { url_file: FILE }`"))
    }

    @Test func cachingNeedsAnImageOrRules() async throws {
        var program = program
        program.environment.merge(Program.overcloudrc) { $1 }
        let ended = try await program.run("cache", "-i", try program.writeInventory())
        #expect((ended.code, ended.output) == (64, ""))
        #expect(ended.errors.contains("name an image"))
    }

    @Test func hostsThatCannotBeReachedAreRowsAndAFailure() async throws {
        let ended = try await program.run("survey", "-i", try program.writeInventory(), "--output", "json")
        #expect(ended.code == 1)
        let hosts = try #require(try ended.json()["hosts"] as? [[String: Any]])
        #expect(hosts.map { $0["host"] as? String } == ["dcn1-compute-0", "dcn1-compute-1"])
        #expect(hosts.allSatisfy { $0["reachable"] as? Bool == false && ($0["error"] as? String)?.contains("127.0.0.1") == true })
        #expect(hosts.allSatisfy { $0.keys.contains("ttl_seconds") && $0.keys.contains("base_files") })
        #expect(ended.errors.contains("base files are shown without their images"))
    }

    // MARK: - Ledger and broker

    @Test func aHistoryIsOfSitesAndHasALength() async throws {
        for arguments in [["--history", "0"], ["--history", "5", "--role", "Compute"]] {
            let ended = try await program.run(["status"] + arguments)
            #expect(ended.code == 64 && ended.errors.contains("--history"))
        }
    }

    @Test func statusNeedsALedger() async throws {
        let config = try program.write("f.yaml", "state: ledger.sqlite\n")
        let ended = try await program.run("status", "--config", config, "--output", "json")
        #expect((ended.code, ended.output) == (1, ""))
        #expect(ended.errors.contains("no ledger at \(program.path("ledger.sqlite"))"))
    }

    @Test func eventsNeedABroker() async throws {
        let silent = try await program.run("events", "--config", try program.write("none.yaml", ""))
        #expect((silent.code, silent.output) == (78, ""))
        #expect(silent.errors.contains("the configuration has no 'notifications'"))

        let config = try program.write("f.yaml", "notifications: { url: 'rabbit://u:s3cret@\(Program.nowhere)/' }\n")
        let ended = try await program.run("events", "--config", config)
        #expect((ended.code, ended.output) == (69, ""))
        #expect(ended.errors.contains("broker 127.0.0.1:1 is not reachable; is RabbitMQ up, and the address right?"))
        #expect(!ended.errors.contains("s3cret"))
    }
}
