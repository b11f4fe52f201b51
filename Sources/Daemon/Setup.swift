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
    /// All that the inventory has, selected or not.
    public let inventory: Fleet
    public var notices: Notices
    /// What the call asked for; empty means all. `fleet` is cut down to it already.
    public var selection: Selection
    /// What the call said: to read it all again.
    let options: Options
    /// Which files it was read from.
    let files: FilesRead

    /// Worth telling once, but nothing to stop for.
    public struct Notices: Sendable {
        public var onRules = Problems()
        /// On the inventory; where only the ledger is looked at, every problem as well.
        public var others = Problems()

        public var list: [Problem] { onRules.list + others.list }
    }

    public struct Selection: Hashable, Sendable {
        public var sites: [SiteName] = []
        public var roles: [RoleName] = []
    }

    /// What the command line says over the configuration.
    public struct Options: Sendable {
        /// Nil: `/etc/forecache/forecache.yaml` where it exists, else the defaults.
        public var file: String?
        public var inventory: [String] = []
        public var sites: [SiteName] = []
        public var roles: [RoleName] = []
        /// The playbook's `plan`: one site, by its own name for it.
        public var plan: SiteName?
        /// The playbook's `proxy_network`; nil: `peer.network` of the configuration.
        public var peerNetwork: String?
        public var environment: [String: String]
        /// What counts where no `file` is named.
        var defaultFile = Setup.defaultFile
        /// Problems of rules and inventories are notices: for commands that only look at the ledger, which must work above all when a change went wrong.
        public var looksAtLedgerOnly = false
        /// The broker will be listened to: a `url_file` that cannot be read is a problem of the configuration.
        public var listens = false
        /// Rules that name what an inventory of the call lacks are problems all the same. Elsewhere such an inventory is known to be but a part.
        public var lintsRules = false

        public init(environment: [String: String]) { self.environment = environment }
    }

    public static let defaultFile = "/etc/forecache/forecache.yaml"

    /// Throws `.invalid` with every problem of every file, then `.usage` where the call names a site or role that there is not.
    public static func load(_ options: Options) throws(Refusal) -> Setup { try load(options, journal: FilesRead()) }

    /// `journal` learns of every file, also where loading ends with problems.
    static func load(_ options: Options, journal: FilesRead) throws(Refusal) -> Setup {
        let files = OperatorFiles(environment: options.environment, journal: journal)
        var problems = Problems()
        var configuration = try readConfiguration(options, files, &problems)
        if options.listens, let unread = configuration.notifications?.unread { problems.add(unread.place, unread.message) }
        let isConfigured = problems.isEmpty
        if !options.inventory.isEmpty { configuration.inventory = options.inventory.map { files.absolute($0, from: ".") } }
        if let network = options.peerNetwork { configuration.peer.network = network }
        var notices = Notices()
        let rules = readRules(configuration.rules, files, &problems, &notices.onRules)
        let before = problems.list.count
        let reading = readInventory(configuration, hasAllSites: options.inventory.isEmpty, files, &problems)
        // An inventory with problems may lack what rules rightly name.
        let lacking = RuleLint.problems(in: rules, fleet: problems.list.count == before ? reading?.fleet : nil)
        let isLackingWrong = options.inventory.isEmpty || options.lintsRules
        if isLackingWrong { problems.add(contentsOf: lacking) }
        guard problems.isEmpty || (options.looksAtLedgerOnly && isConfigured) else { throw .invalid(problems) }
        let whole = problems.isEmpty ? reading?.fleet ?? Fleet(sites: []) : Fleet(sites: [])
        if let reading { notices.others.add(contentsOf: reading.notices) }
        notices.others.add(contentsOf: problems)
        if !isLackingWrong { notices.onRules.add(contentsOf: lacking) }
        let selection = try selection(options, from: whole)
        let defaults = PlanningDefaults(
            forks: configuration.limits.forksPerSite, relayForks: configuration.limits.relayForksPerSite, ttl: configuration.ttl,
            format: configuration.node.format)
        return Setup(
            configuration: configuration,
            policy: Policy(rules: rules, fleet: whole.filtered(sites: selection.sites, roles: selection.roles), defaults: defaults),
            inventory: whole, notices: notices, selection: selection, options: options, files: journal)
    }

    /// The rules of these files and directories, for `rules lint`, with all their problems, and what is worth telling.
    public static func readRules(at paths: [String], environment: [String: String]) -> (RuleSet, Problems, notices: Problems) {
        let files = OperatorFiles(environment: environment)
        var (problems, notices) = (Problems(), Problems())
        let rules = readRules(paths.map { files.absolute($0, from: ".") }, files, &problems, &notices)
        return (rules, problems, notices)
    }

    private static func readConfiguration(_ options: Options, _ files: OperatorFiles, _ problems: inout Problems) throws(Refusal)
        -> Configuration
    {
        let file = options.file.map { files.absolute($0, from: ".") } ?? options.defaultFile
        if options.file == nil {
            files.journal?.willRead(file)
            if OperatorFiles.isAbsent(file) {
                var configuration = Configuration()
                configuration.ssh = files.sshDefaults
                return configuration
            }
        }
        switch files.text(file) {
        case .success(let text):
            var reader = ConfigurationReader(file: file, files: files)
            let configuration = reader.read(text, file: file)
            problems.add(contentsOf: reader.problems)
            return configuration
        case .failure(let failure):
            let remedy = options.file == nil ? "; or name another with --config (/dev/null for none)" : ""
            throw .invalid(Problems([Problem(Place(file: file), failure.description + remedy)]))
        }
    }

    private static func readRules(
        _ paths: [String], _ files: OperatorFiles, _ problems: inout Problems, _ notices: inout Problems
    ) -> RuleSet {
        let texts = paths.flatMap { files.texts(at: $0, where: RuleFileName.isOfRules, &problems) }
        let named = Set(paths.map(files.plain))
        for path in paths.flatMap(files.contents) where !named.contains(files.plain(path)) {
            if files.isDirectory(path) {
                notices.add(Place(file: path), "not read: rule files lie in the directory that is named, not below it; name this one, too")
            } else if RuleFileName.isMisspelt(path) {
                notices.add(
                    Place(file: path), "not read: the names of rule files end in .yaml; rename it, or name it, where it holds rules")
            }
        }
        let (rules, found) = RuleSet.parse(texts)
        problems.add(contentsOf: found)
        return rules
    }

    static func readInventory(
        _ configuration: Configuration, hasAllSites: Bool = true, _ files: OperatorFiles, _ problems: inout Problems
    ) -> InventoryReading? {
        guard !configuration.inventory.isEmpty else { return nil }
        var inventoryOptions = InventoryOptions()
        inventoryOptions.hostsGroup = configuration.hostsGroup
        inventoryOptions.peerNetwork = configuration.peer.network
        inventoryOptions.ssh = configuration.ssh
        inventoryOptions.sites = configuration.sites
        inventoryOptions.sitePlaces = configuration.sitePlaces
        inventoryOptions.hostsGroupPlace = configuration.hostsGroupPlace
        inventoryOptions.hasAllSites = hasAllSites
        let inventories = inventoryFiles(configuration.inventory, files, &problems)
        guard !inventories.isEmpty else { return nil }
        var unread = Problems()
        let texts = inventories + variables(beside: configuration.inventory, files, &problems, &unread)
        var reading = Inventory.read(texts.map { InventoryFile(path: $0.path, text: $0.text) }, options: inventoryOptions)
        reading.notices.add(contentsOf: unread)
        problems.add(contentsOf: reading.problems)
        reading.fleet = expanded(reading.fleet, files)
        return reading
    }

    /// Ansible goes into sub-directories, too. Where there is none at all, a problem says so.
    private static func inventoryFiles(_ paths: [String], _ files: OperatorFiles, _ problems: inout Problems) -> [OperatorFiles.File] {
        var unread = Problems()
        let found = paths.flatMap { files.texts(at: $0, where: Inventory.isInventoryFile, entering: isInventoryDirectory, &unread) }
        if found.isEmpty, unread.isEmpty {
            let message = "no inventory file is in here (*.yaml, *.yml, *.json or without an extension); name one with -i or `inventory:`"
            for path in paths { unread.add(Place(file: path), message) }
        }
        problems.add(contentsOf: unread)
        return found
    }

    /// `group_vars` and `host_vars` lie beside the inventory, as Ansible has them: `NAME`, `NAME.yml`, or a directory `NAME` of files. A NAME may have dots;
    /// what looks like one and is no text may be anything: `unread` notes it.
    private static func variables(
        beside inventory: [String], _ files: OperatorFiles, _ problems: inout Problems, _ unread: inout Problems
    ) -> [OperatorFiles.File] {
        var folders: [String] = []
        for path in inventory {
            let base = files.isDirectory(path) ? path : OperatorFiles.parent(of: path)
            for folder in ["group_vars", "host_vars"].map({ "\(base)/\($0)" }) where files.isDirectory(folder) && !folders.contains(folder)
            {
                folders.append(folder)
            }
        }
        let usual = folders.flatMap { files.texts(at: $0, where: Inventory.isInventoryFile, entering: isInventoryDirectory, &problems) }
        let dotted = folders.flatMap(files.contents).filter { path in
            let name = path.split(separator: "/").last.map(String.init) ?? ""
            return !name.hasSuffix("~") && !Inventory.isInventoryFile(name) && !files.isDirectory(path)
        }
        return usual + dotted.flatMap { files.texts(at: $0, where: { _ in true }, &unread) }
    }

    private static func isInventoryDirectory(_ name: String) -> Bool {
        !name.hasPrefix(".") && !name.hasSuffix("~") && !Inventory.isVariablesDirectory(name) && name != "vars_plugins"
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

    private static func selection(_ options: Options, from fleet: Fleet) throws(Refusal) -> Selection {
        var selection = Selection(sites: options.sites, roles: options.roles)
        var complaints: [String] = []
        if let plan = options.plan {
            if !options.sites.isEmpty, !options.sites.contains(plan) {
                let named = options.sites.map(\.rawValue).joined(separator: ", ")
                complaints.append("tripleo_nova_image_cache_plan names site '\(plan)', but --site names \(named)")
            }
            selection.sites = [plan]
        }
        // Without an inventory (`status` needs none) names cannot be checked.
        if !fleet.sites.isEmpty {
            let (sites, roles) = (fleet.sites.map(\.name.rawValue), Set(fleet.hosts.map(\.role.rawValue)).sorted())
            complaints += selection.sites.compactMap { unknown("site", $0.rawValue, among: sites) }
            complaints += selection.roles.compactMap { unknown("role", $0.rawValue, among: roles) }
        }
        guard complaints.isEmpty else { throw .usage(complaints.joined(separator: "\n")) }
        return selection
    }

    private static func unknown(_ kind: String, _ name: String, among known: [String]) -> String? {
        guard !known.contains(name) else { return nil }
        let hint = Nearest.word(to: name, among: known).map { "did you mean '\($0)'?" } ?? "it has \(known.joined(separator: ", "))"
        return "the inventory has no \(kind) '\(name.printable)'; \(hint)"
    }
}
