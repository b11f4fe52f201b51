public import ForecacheModel
public import StrictYAML

/// One inventory file, or one file of a `group_vars`/`host_vars` directory beside it.
public struct InventoryFile: Sendable {
    public var path: String
    public var text: String

    public init(path: String, text: String) {
        self.path = path
        self.text = text
    }
}

/// What the configuration says about reading inventories.
public struct InventoryOptions: Sendable {
    /// The group whose hosts count; `<stack>_<hostsGroup>` counts too.
    public var hostsGroup = "nova_compute"
    /// The host variable `<peerNetwork>_ip` is the address peers copy from.
    public var peerNetwork = "internal_api"
    /// What holds where the inventory has no connection variable of its own.
    public var ssh = SSHSettings()
    public var sites: [SiteName: SiteSettings] = [:]
    /// Where the configuration names the group and the sites: problems with them are told there, and without a place at the first inventory file.
    public var hostsGroupPlace: Place?
    public var sitePlaces: [SiteName: Place] = [:]
    /// False: other inventories than the configuration's own are read, so that a site, its group or its seed which they lack is no mistake.
    public var hasAllSites = true

    public init() {}
}

/// What the inventories say.
public struct InventoryReading: Sendable {
    public var fleet: Fleet
    /// Not empty: the inventory is invalid and nothing may be done with `fleet` (exit code 78).
    public var problems: Problems
    /// What has no effect here, said once each.
    public var notices: Problems
}

/// Ansible's static YAML and JSON inventories, as ansible-core 2.14 reads them (`plugins/inventory/yaml.py`, `inventory/`, `vars/manager.py`).
public enum Inventory {
    /// Most hosts that are read in all, ranges expanded; ten times the largest fleet we know of.
    static let mostHosts = 100_000

    /// `files` come in Ansible's order: the sources as given, the files of a directory sorted by name. Files below `group_vars` or
    /// `host_vars` are known by their path and may come anywhere. Paths in the answer (`~`, relative ones) are as the inventory has them.
    public static func read(_ files: [InventoryFile], options: InventoryOptions) -> InventoryReading {
        var findings = Findings()
        let vocabulary = Vocabulary(peerNetwork: options.peerNetwork)
        var hostsLeft = mostHosts
        let variablesFiles = files.compactMap(VariablesFile.init)
        let definitions = files.filter { VariablesFile($0) == nil }.map {
            FileDefinition($0, vocabulary: vocabulary, hostsLeft: &hostsLeft, findings: &findings)
        }
        let inventory = MergedInventory(definitions, &findings)
        let variables = VariablesFile.read(
            variablesFiles.filter { $0.isAbout(inventory) }, bases: definitions.map { directory(of: $0.path) }, vocabulary: vocabulary,
            &findings)
        var builder = FleetBuilder(
            inventory, VariableResolution(inventory, variables), SiteAssignment(definitions, hostsGroup: options.hostsGroup), options,
            files: definitions.map(\.path))
        let fleet = builder.fleet(&findings)
        return InventoryReading(fleet: fleet, problems: findings.problems, notices: findings.notices)
    }

    /// Whether Ansible reads a file of that name when given its directory: `.yaml`, `.yml`, `.json` or no extension, not hidden, no backup.
    public static func isInventoryFile(_ name: String) -> Bool {
        guard !name.isEmpty, name.first != ".", !name.hasSuffix("~") else { return false }
        guard !isVariablesDirectory(name), name != "vars_plugins" else { return false }
        guard let dot = name.lastIndex(of: ".") else { return true }
        return [".yaml", ".yml", ".json"].contains(String(name[dot...]))
    }

    /// Whether a directory of that name, beside the inventory files, holds files of variables: they are to be read too, all levels of them.
    public static func isVariablesDirectory(_ name: String) -> Bool { name == "group_vars" || name == "host_vars" }

    private static func directory(of path: String) -> String {
        path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    }
}
