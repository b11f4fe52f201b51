import ForecacheModel
import Foundation
import Logging
import Rules
import StrictYAML
import Testing

@testable import Daemon

@Suite struct SetupTests {
    private let folder: Folder

    init() throws { folder = try Folder() }

    private static let inventory = """
        dcn1_nova_compute:
          hosts:
            a0: { ansible_host: 192.0.2.10, internal_api_ip: 192.0.2.110, storage_ip: 192.0.2.210 }
            a1: { ansible_host: 192.0.2.11 }
          vars: { tripleo_role_name: Compute }
        nova_compute: { children: { dcn1_nova_compute: {} } }
        dcn1: { children: { dcn1_nova_compute: {} } }
        """

    private func options(_ change: (inout Setup.Options) -> Void = { _ in }) -> Setup.Options {
        var options = Setup.Options(environment: folder.environment)
        options.inventory = ["\(folder.path)/inventories"]
        change(&options)
        return options
    }

    /// The inventory is the one that the file names.
    private func configuredBy(_ file: String) -> Setup.Options {
        options {
            $0.file = file
            $0.inventory = []
        }
    }

    private func refusal(_ options: Setup.Options) -> Refusal? {
        do throws(Refusal) {
            _ = try Setup.load(options)
            return nil
        } catch {
            return error
        }
    }

    @Test func filesOfADirectoryComeInNameOrderWithThoseOfItsDirectories() throws {
        for name in ["b/c.yaml", "a.yaml", "d.yml", ".hidden/x.yaml", "group_vars/all.yaml", "b/e.txt", "b/.f.yaml"] {
            try folder.write("in/\(name)", name)
        }
        var problems = Problems()
        let files = OperatorFiles(environment: folder.environment)
        let found = files.texts(
            at: "\(folder.path)/in/", where: { $0.hasSuffix(".yaml") || $0.hasSuffix(".yml") }, entering: { $0 == "b" }, &problems)
        #expect(problems.isEmpty)
        #expect(found.map(\.path) == ["a.yaml", "b/c.yaml", "b/.f.yaml", "d.yml"].map { "\(folder.path)/in/\($0)" }.sorted())
        #expect(found.first?.text == "a.yaml")
    }

    @Test func everyUnreadableFileIsNamed() throws {
        var problems = Problems()
        let files = OperatorFiles(environment: folder.environment)
        try folder.write("in/a.yaml", "\u{FFFD}")
        for path in ["/nowhere/a", "/nowhere/b"] { _ = files.texts(at: path, where: { _ in true }, &problems) }
        #expect(
            problems.list.map(\.message) == [
                "cannot read /nowhere/a: no such file or directory", "cannot read /nowhere/b: no such file or directory",
            ])
    }

    /// A link to itself stands for all that cannot be looked at: unlike a directory of somebody else's it stops root, too.
    @Test func onlyWhereThereIsNoConfigurationForSureTheDefaultsCount() throws {
        var options = Setup.Options(environment: folder.environment)
        options.defaultFile = "\(folder.path)/etc/forecache.yaml"
        #expect(try Setup.load(options).configuration.hostsGroup == "nova_compute")
        try folder.write("etc", "a file")
        #expect(try Setup.load(options).configuration.hostsGroup == "nova_compute")
        try FileManager.default.removeItem(atPath: "\(folder.path)/etc")
        try FileManager.default.createSymbolicLink(atPath: "\(folder.path)/etc", withDestinationPath: "etc")
        let refusal = refusal(options)
        #expect(refusal?.exitCode == 78)
        #expect(refusal?.message?.contains("cannot read \(options.defaultFile): ") == true)
        #expect(refusal?.message?.hasSuffix("; or name another with --config (/dev/null for none)") == true)
        options.file = "/dev/null"
        #expect(try Setup.load(options).configuration.hostsGroup == "nova_compute")
    }

    @Test func rulesEndInYAMLAndLieInTheDirectoryItselfUnlessTheyAreNamed() throws {
        for (number, name) in ["a.yaml", "b.yml", "a.test.yaml", "b.test.yml", ".c.yml", "below/d.yaml", ".git/e.yaml", "f.txt"]
            .enumerated()
        {
            try folder.write("rules/\(name)", "apiVersion: forecache/v1\nrules:\n  - { name: r\(number), match: { always: true } }\n")
        }
        var options = Setup.Options(environment: folder.environment)
        options.file = try folder.write("f.yaml", "rules: [rules/]\n")
        let setup = try Setup.load(options)
        #expect(setup.rules.rules.map(\.name) == ["r0"])
        #expect(setup.notices.onRules.list.map(\.place.file) == ["b.test.yml", "b.yml", "below"].map { "\(folder.path)/rules/\($0)" })
        #expect(setup.notices.list.allSatisfy { $0.message.hasPrefix("not read: ") })
        #expect(setup.notices.list.dropLast().allSatisfy { $0.message.contains("the names of rule files end in .yaml") })
        options.file = try folder.write("f.yaml", "rules: [rules/, ./rules//below/, rules/b.yml]\n")
        let named = try Setup.load(options)
        #expect(named.rules.rules.map(\.name) == ["r0", "r5", "r1"])
        #expect(named.notices.list.map(\.place.file) == ["\(folder.path)/rules/b.test.yml"])
    }

    @Test func onlyAFileThatIsNotThereIsMissing() throws {
        try FileManager.default.createSymbolicLink(atPath: "\(folder.path)/loop", withDestinationPath: "loop")
        let files = OperatorFiles(environment: folder.environment)
        for name in ["none", "none/below"] { #expect(try files.textIfThere("\(folder.path)/\(name)") == nil) }
        #expect(try files.textIfThere(folder.write("there", "a")) == "a")
        #expect(throws: Failure(.permanent, "cannot read \(folder.path)/loop: too many levels of symbolic links")) {
            try files.textIfThere("\(folder.path)/loop")
        }
        #expect(throws: Failure(.permanent, "cannot read \(folder.path): is a directory")) { try files.textIfThere(folder.path) }
    }

    @Test func cloudsFilesThatCannotBeReadAreTold() throws {
        var options = Setup.Options(environment: folder.environment)
        options.file = try folder.write("f.yaml", "cloud: lab\n")
        let setup = try Setup.load(options)
        let environment = folder.environment.merging(["OS_CLIENT_CONFIG_FILE": folder.path]) { $1 }
        let refusal = #expect(throws: Refusal.self) {
            try Shells.catalog(setup, environment: environment, logger: Logger(label: "test"))
        }
        #expect(refusal?.message == "cannot read \(folder.path): is a directory")
    }

    @Test func onlyWhoListensNeedsTheBrokersSecret() async throws {
        let options = configuredBy(try folder.write("f.yaml", "notifications: { url_file: secret }\ninventory: [inventories]\n"))
        try folder.write("inventories/a.yaml", Self.inventory)
        let message = "\(folder.path)/f.yaml:1:28: cannot read \(folder.path)/secret: no such file or directory"
        let setup = try Setup.load(options)
        let logger = Logger(label: "test")
        let cloud = [
            "OS_AUTH_URL": "http://127.0.0.1:1/v3", "OS_USERNAME": "u", "OS_PASSWORD": "p", "OS_PROJECT_NAME": "p",
            "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default",
        ]
        let shells = try Shells.open(setup, environment: folder.environment.merging(cloud) { $1 }, logger: logger)
        #expect(shells.nova == nil && shells.unheard?.description == message)
        await shells.close()
        let deaf = #expect(throws: Refusal.self) { _ = try Shells.source(setup, logger: logger) }
        #expect(deaf?.exitCode == 78 && deaf?.message == message)
        var listening = options
        listening.listens = true
        #expect(refusal(listening)?.exitCode == 78 && refusal(listening)?.message == message)
    }

    @Test func pathsAreExpanded() {
        let files = OperatorFiles(environment: ["HOME": "/home/u"])
        #expect(files.absolute("~/x", from: "/etc") == "/home/u/x")
        #expect(files.absolute("~", from: "/etc") == "/home/u")
        #expect(files.absolute("x", from: "/etc") == "/etc/x")
        #expect(files.absolute("/x", from: "/etc") == "/x")
        #expect(OperatorFiles.parent(of: "/a") == "/")
        #expect(OperatorFiles.parent(of: "a") == ".")
    }

    @Test func inventoriesInSubdirectoriesAreMerged() throws {
        try folder.write("inventories/dcn1/inventory.yaml", Self.inventory)
        try folder.write("inventories/group_vars/all/deep/ssh.yml", "ansible_user: deep\n")
        let setup = try Setup.load(options())
        #expect(setup.fleet.hosts.map(\.name) == ["a0", "a1"])
        #expect(setup.fleet.hosts.first?.ssh.user == "deep")
        #expect(setup.fleet.hosts.first?.file == "\(folder.path)/inventories/dcn1/inventory.yaml")
    }

    /// Ansible 2.14 tries NAME as it is before NAME.yml; what bears no name of the inventory it never opens.
    @Test func filesOfVariablesMayHaveDotsInTheirNames() throws {
        let host = "compute-0.edge.example.org"
        try folder.write("inventories/a.yaml", "nova_compute: { hosts: { \(host): } }\nedge.prod: { hosts: { \(host): } }\n")
        for (name, text) in [
            ("host_vars/\(host)", "ansible_user: own\n"), ("host_vars/\(host).yml", "ansible_user: second\n"),
            ("group_vars/edge.prod", "ansible_port: 2200\n"), ("group_vars/all/old.bak", "ansible_host: 192.0.2.1\n"),
            ("group_vars/README.md", "# Notes\n- on groups\n"), ("group_vars/nova_compute.yml.bak", "["), ("host_vars/\(host)~", "["),
        ] { try folder.write("inventories/\(name)", text) }
        try Data([0xFF]).write(to: URL(filePath: "\(folder.path)/inventories/group_vars/vault.gpg"))
        let setup = try Setup.load(options())
        let found = try #require(setup.fleet.host(HostName(host)))
        #expect((found.ssh.user, found.ssh.port, found.address) == ("own", 2200, host))
        let unread = setup.notices.list.filter { $0.message.hasPrefix("cannot read ") }
        #expect(unread.map(\.place.file) == ["\(folder.path)/inventories/group_vars/vault.gpg"])
    }

    @Test func theProxyNetworkDecidesThePeerAddress() throws {
        try folder.write("inventories/a.yaml", Self.inventory)
        #expect(try Setup.load(options()).fleet.host("a0")?.peerAddress == "192.0.2.110")
        let setup = try Setup.load(options { $0.peerNetwork = "storage" })
        #expect(setup.fleet.host("a0")?.peerAddress == "192.0.2.210")
        #expect(setup.configuration.peer.network == "storage")
    }

    @Test func namesThatTheInventoryLacksAreUsageErrorsAllAtOnce() throws {
        try folder.write("inventories/a.yaml", Self.inventory)
        let refusal = refusal(
            options {
                $0.sites = ["dcn2"]
                $0.roles = ["Computer"]
                $0.plan = "elsewhere"
            })
        #expect(refusal?.exitCode == 64)
        #expect(
            refusal?.message == """
                tripleo_nova_image_cache_plan names site 'elsewhere', but --site names dcn2
                the inventory has no site 'elsewhere'; it has dcn1
                the inventory has no role 'Computer'; did you mean 'Compute'?
                """)
    }

    @Test func whatAnInventoryOfTheCallLacksIsANoticeUnlessRulesAreLinted() throws {
        try folder.write("inventories/a.yaml", Self.inventory)
        let targets = "{ sites: [dcn2], roles: [Edge] }"
        try folder.write(
            "rules/a.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: far, match: { always: true }, targets: \(targets) }\n")
        let config = try folder.write("f.yaml", "rules: [rules]\nsites: { dcn2: { group: dcn2_nova_compute } }\n")
        let setup = try Setup.load(options { $0.file = config })
        #expect(setup.fleet.hosts.map(\.name) == ["a0", "a1"])
        let notices = setup.notices.list.map(\.message)
        #expect(notices.count == 3, "\(notices)")
        #expect(notices.contains { $0.hasPrefix("sites.dcn2.group: no group 'dcn2_nova_compute' in the inventory") })
        #expect(setup.notices.onRules.list.contains { $0.message.hasPrefix("the inventory has no site 'dcn2'") })
        let linted = refusal(
            options {
                $0.file = config
                $0.lintsRules = true
            })
        #expect(linted?.exitCode == 78)
        let own = try folder.write("own.yaml", "inventory: [inventories]\nrules: [rules]\n")
        let configured = refusal(configuredBy(own))
        #expect(configured?.message?.contains("the inventory has no role 'Edge'") == true)
    }

    @Test func anInventoryThatIsWrongBlamesNoRule() throws {
        try folder.write("inventories/a.yaml", Self.inventory)
        try folder.write(
            "rules/a.yaml",
            "apiVersion: forecache/v1\nrules: [{ name: r, match: { always: true }, targets: { roles: [Compute] } }]\n")
        let config = try folder.write("f.yaml", "inventory: [inventories]\nhosts_group: nova_computes\nrules: [rules]\n")
        let message = refusal(configuredBy(config))?.message
        #expect(message?.contains("there is no group 'nova_computes'") == true)
        #expect(message?.contains("has no role") == false)
    }

    /// One inventory of several: the others may lack what stands in it.
    @Test func anInventoryThatCannotBeReadBlamesNoRule() throws {
        try folder.write("inventories/a.yaml", Self.inventory)
        try folder.write(
            "rules/a.yaml", "apiVersion: forecache/v1\nrules: [{ name: r, match: { always: true }, targets: { sites: [dcn2] } }]\n")
        let config = try folder.write("f.yaml", "inventory: [inventories, missing]\nrules: [rules]\n")
        let message = refusal(configuredBy(config))?.message
        let missing = "\(folder.path)/missing"
        #expect(message == "\(missing):1:1: cannot read \(missing): no such file or directory")
    }

    @Test func problemsOfAllFilesComeAtOnce() throws {
        try folder.write("inventories/a.yaml", "- 1\n")
        let rule = "  - { name: twice, match: { always: true } }\n"
        try folder.write("rules/a.yaml", "apiVersion: forecache/v1\nrules:\n\(rule)\(rule)")
        let config = try folder.write("f.yaml", "stat: 1\nrules: [rules, missing]\n")
        let refusal = refusal(options { $0.file = config })
        #expect(refusal?.exitCode == 78)
        let lines = (refusal?.message ?? "").split(separator: "\n")
        #expect(lines.contains { $0.hasPrefix("\(config):1:1: unknown key 'stat' in the configuration; did you mean 'state'?") })
        #expect(lines.contains { $0.hasPrefix("\(folder.path)/inventories/a.yaml:1:1: an inventory must be a mapping") })
        #expect(lines.contains { $0.hasPrefix("\(folder.path)/rules/a.yaml:4:") && $0.contains("twice") })
        #expect(lines.contains { $0.contains("cannot read \(folder.path)/missing: no such file or directory") })
    }
}
