public import Engine
public import ForecacheModel
import FoundationEssentials
import Inventory
import Planning
public import Rules
public import StrictYAML

/// Everything that the operator wrote, read and checked: the configuration and the policy made of rules, inventory and TTLs.
public struct Setup: Sendable {
    public var configuration: Configuration
    public var policy: Policy
    public var rules: RuleSet { policy.rules }
    public var fleet: Fleet { policy.fleet }
    /// Worth telling once, but nothing to stop for.
    public var notices: Problems

    /// What the command line says over the configuration.
    public struct Options: Sendable {
        /// Nil: `/etc/forecache/forecache.yaml` where it exists, else the defaults.
        public var file: String?
        public var inventory: [String] = []
        public var sites: [SiteName] = []
        public var roles: [RoleName] = []
        public var environment: [String: String]

        public init(environment: [String: String]) { self.environment = environment }
    }

    public static let defaultFile = "/etc/forecache/forecache.yaml"

    /// Throws `.invalid` with every problem of every file.
    public static func load(_ options: Options) throws(Refusal) -> Setup {
        let files = OperatorFiles(environment: options.environment)
        var problems = Problems()
        var configuration = try readConfiguration(options, files, &problems)
        if !options.inventory.isEmpty { configuration.inventory = options.inventory.map { files.absolute($0, from: ".") } }
        let rules = readRules(configuration.rules, files, &problems)
        let reading = readInventory(configuration, files, &problems)
        problems.add(contentsOf: RuleLint.problems(in: rules, fleet: reading?.fleet))
        let fleet = selected(reading?.fleet ?? Fleet(sites: []), options, &problems)
        guard problems.isEmpty else { throw .invalid(problems) }
        let defaults = PlanningDefaults(forks: configuration.limits.forksPerSite, ttl: configuration.ttl)
        return Setup(
            configuration: configuration, policy: Policy(rules: rules, fleet: fleet, defaults: defaults),
            notices: reading?.notices ?? Problems())
    }

    /// The rules of these files and directories, for `rules lint`, with all their problems.
    public static func readRules(at paths: [String], environment: [String: String]) -> (RuleSet, Problems) {
        let files = OperatorFiles(environment: environment)
        var problems = Problems()
        let rules = readRules(paths.map { files.absolute($0, from: ".") }, files, &problems)
        return (rules, problems)
    }

    private static func readConfiguration(_ options: Options, _ files: OperatorFiles, _ problems: inout Problems) throws(Refusal)
        -> Configuration
    {
        let file: String
        switch (options.file, FileManager.default.fileExists(atPath: defaultFile)) {
        case (let named?, _): file = files.absolute(named, from: ".")
        case (nil, true): file = defaultFile
        case (nil, false): return withoutFile(options, files)
        }
        switch files.text(file) {
        case .success(let text):
            var reader = ConfigurationReader(file: file, files: files)
            let configuration = reader.read(text, file: file)
            problems.add(contentsOf: reader.problems)
            return configuration
        case .failure(let failure): throw .invalid(Problems([Problem(Place(file: file), failure.description)]))
        }
    }

    /// Without a configuration file the defaults of `ssh` itself serve: the user's own keys and known hosts.
    private static func withoutFile(_ options: Options, _ files: OperatorFiles) -> Configuration {
        var configuration = Configuration()
        let keys = ["id_ed25519", "id_ecdsa", "id_rsa"].map { "\(files.home)/.ssh/\($0)" }
        configuration.ssh.identityFiles = keys.filter { FileManager.default.fileExists(atPath: $0) }
        configuration.ssh.knownHostsFiles = ["\(files.home)/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"].filter {
            FileManager.default.fileExists(atPath: $0)
        }
        return configuration
    }

    private static func readRules(_ paths: [String], _ files: OperatorFiles, _ problems: inout Problems) -> RuleSet {
        let isRuleFile = { (name: String) in name.hasSuffix(".yaml") && !name.hasSuffix(".test.yaml") && !name.hasPrefix(".") }
        let texts = read(paths, files, isRuleFile, &problems)
        let (rules, found) = RuleSet.parse(texts)
        problems.add(contentsOf: found)
        return rules
    }

    private static func readInventory(_ configuration: Configuration, _ files: OperatorFiles, _ problems: inout Problems)
        -> InventoryReading?
    {
        guard !configuration.inventory.isEmpty else { return nil }
        var inventoryOptions = InventoryOptions()
        inventoryOptions.hostsGroup = configuration.hostsGroup
        inventoryOptions.peerNetwork = configuration.peer.network
        inventoryOptions.ssh = configuration.ssh
        inventoryOptions.sites = configuration.sites
        let texts =
            read(configuration.inventory, files, Inventory.isInventoryFile, &problems)
            + variables(beside: configuration.inventory, files, &problems)
        var reading = Inventory.read(texts.map { InventoryFile(path: $0.path, text: $0.text) }, options: inventoryOptions)
        problems.add(contentsOf: reading.problems)
        reading.fleet = expanded(reading.fleet, files)
        return reading
    }

    /// `group_vars` and `host_vars` lie beside the inventory, as Ansible has them: `NAME.yml`, or a directory `NAME` of files.
    private static func variables(
        beside inventory: [String], _ files: OperatorFiles, _ problems: inout Problems
    ) -> [(path: String, text: String)] {
        var folders: [String] = []
        for path in inventory {
            let base = files.isDirectory(path) ? path : OperatorFiles.parent(of: path)
            for folder in ["group_vars", "host_vars"].map({ "\(base)/\($0)" }) where files.isDirectory(folder) && !folders.contains(folder)
            {
                folders += [folder] + files.subdirectories(of: folder)
            }
        }
        return read(folders, files, Inventory.isInventoryFile, &problems)
    }

    /// Key files of host variables may start with `~`.
    private static func expanded(_ fleet: Fleet, _ files: OperatorFiles) -> Fleet {
        Fleet(
            sites: fleet.sites.map { site in
                var site = site
                for index in site.hosts.indices {
                    site.hosts[index].ssh.identityFiles = site.hosts[index].ssh.identityFiles.map { files.absolute($0, from: ".") }
                    site.hosts[index].ssh.knownHostsFiles = site.hosts[index].ssh.knownHostsFiles.map { files.absolute($0, from: ".") }
                }
                return site
            })
    }

    private static func read(
        _ paths: [String], _ files: OperatorFiles, _ counts: (String) -> Bool, _ problems: inout Problems
    ) -> [(path: String, text: String)] {
        var texts: [(path: String, text: String)] = []
        for path in paths {
            switch files.files(at: path, where: counts) {
            case .success(let found): texts += found
            case .failure(let failure): problems.add(Place(file: path), failure.description)
            }
        }
        return texts
    }

    private static func selected(_ fleet: Fleet, _ options: Options, _ problems: inout Problems) -> Fleet {
        let siteNames = fleet.sites.map(\.name.rawValue)
        for site in options.sites where fleet.site(site) == nil && !fleet.sites.isEmpty {
            let hint =
                Nearest.word(to: site.rawValue, among: siteNames).map { "; did you mean '\($0)'?" }
                ?? "; known are \(siteNames.joined(separator: ", "))"
            problems.add(Place(file: "--site"), "no site '\(site)' in the inventory\(hint)")
        }
        return fleet.filtered(sites: options.sites, roles: options.roles)
    }
}
