import ForecacheModel
import StrictYAML

/// Picks the hosts that count out of the merged inventory and gives each its site, role and connection.
struct FleetBuilder {
    private let inventory: MergedInventory
    private var resolution: VariableResolution
    private var sites: SiteAssignment
    private let options: InventoryOptions
    private let files: [String]
    /// Groups whose name says which hosts count or where they are, not what they are.
    private let noRoles: Set<String>

    /// `files` are the inventory files, for problems that no single line is to blame for.
    init(
        _ inventory: MergedInventory, _ resolution: VariableResolution, _ sites: SiteAssignment, _ options: InventoryOptions,
        files: [String]
    ) {
        self.inventory = inventory
        self.resolution = resolution
        self.sites = sites
        self.options = options
        self.files = files
        noRoles = sites.stacks.union(["all", "ungrouped", "allovercloud", options.hostsGroup]).union(
            options.sites.values.compactMap(\.group))
    }

    private var start: Place { Place(file: files.first ?? "inventory") }

    private func place(of site: SiteName) -> Place { options.sitePlaces[site] ?? start }

    mutating func fleet(_ findings: inout Findings) -> Fleet {
        guard !files.isEmpty else {
            findings.problem(start, "no inventory file; name a file or directory with -i or the configuration's 'inventory'")
            return Fleet(sites: [])
        }
        let members = countingHosts(&findings)
        claimConfiguredGroups(members, &findings)

        var connections = Connections(options)
        var hosts: [SiteName: [Host]] = [:]
        for number in members {
            let definition = inventory.hosts[number]
            let variables = resolution.variables(of: number)
            guard let assignment = sites.assignment(of: number, in: inventory, &findings) else { continue }
            guard let connection = connections.connection(to: definition, variables, &findings) else { continue }
            hosts[assignment.site, default: []].append(
                Host(
                    name: HostName(definition.name), site: assignment.site, role: role(of: definition, variables, assignment, &findings),
                    address: connection.address, peerAddress: connection.peerAddress, ssh: connection.ssh, file: assignment.file))
        }
        if hosts.isEmpty, !members.isEmpty {
            findings.problem(start, "no host of \(options.hostsGroup.shown) can be reached by ssh; see ansible_connection")
        }
        for site in hosts.keys.sorted() {
            guard let fault = HostNameText.fault(of: site.rawValue) else { continue }
            findings.problem(start, "site \(site.rawValue.shown) \(fault); rename the stack or its file")
        }
        checkSettings(hosts, &findings)
        return Fleet(sites: hosts.map { Site(name: $0.key, settings: options.sites[$0.key] ?? SiteSettings(), hosts: $0.value) })
    }

    /// The hosts of the hosts group, then those of `<stack>_<hosts group>` that are not below it, in the inventory's order.
    private func countingHosts(_ findings: inout Findings) -> [Int] {
        let prefixed = inventory.groups.indices.filter { inventory.groups[$0].name.hasSuffix("_\(options.hostsGroup)") }
        let groups = (inventory.group(options.hostsGroup).map { [$0] } ?? []) + prefixed
        let members = inventory.members(of: groups)
        guard members.isEmpty else { return members }
        let others = inventory.groups.map(\.name).filter { $0 != options.hostsGroup }
        let near = Nearest.word(to: options.hostsGroup, among: others).map { "; did you mean \($0.shown)?" }
        let what = groups.isEmpty ? "there is no group" : "no host is in group"
        findings.problem(
            options.hostsGroupPlace ?? start,
            "\(what) \(options.hostsGroup.shown), the hosts to cache on; set hosts_group to the compute nodes' group\(near ?? "")")
        return []
    }

    private mutating func claimConfiguredGroups(_ members: [Int], _ findings: inout Findings) {
        let counting = Set(members)
        for (site, settings) in options.sites.sorted(by: { $0.key < $1.key }) {
            guard let name = settings.group else { continue }
            guard let group = inventory.group(name) else {
                let near = Nearest.word(to: name, among: inventory.groups.map(\.name)).map { "; did you mean \($0.shown)?" }
                lacking(
                    site, "sites.\(site).group: no group \(name.shown) in the inventory\(near ?? "; name one that is there")", &findings)
                continue
            }
            let hosts = inventory.members(of: [group]).filter(counting.contains)
            if hosts.isEmpty, !members.isEmpty {
                lacking(
                    site, "sites.\(site).group: no host of \(name.shown) is in \(options.hostsGroup.shown); name a group of compute nodes",
                    &findings)
            }
            sites.claim(hosts, for: site, of: inventory, &findings)
        }
    }

    /// `tripleo_role_name`; else the group that names the host in its stack's file, without the stack's prefix; else the hosts group.
    private func role(
        of host: MergedInventory.Host, _ variables: [Variable: Value], _ assignment: SiteAssignment.Assignment, _ findings: inout Findings
    ) -> RoleName {
        let reader = VariableReader(host: host, variables: variables, peerNetwork: options.peerNetwork)
        if let role = reader.role(&findings) { return RoleName(role) }
        for group in assignment.groups {
            if noRoles.contains(group) || HostNameText.fault(of: group) != nil { continue }
            if group.hasSuffix("_\(options.hostsGroup)") || group.hasSuffix("_allovercloud") { continue }
            let prefix = "\(assignment.site.rawValue)_"
            return RoleName(group.hasPrefix(prefix) && group != prefix ? String(group.dropFirst(prefix.count)) : group)
        }
        return RoleName(options.hostsGroup)
    }

    /// Settings that would silently do nothing.
    private func checkSettings(_ hosts: [SiteName: [Host]], _ findings: inout Findings) {
        for (site, settings) in options.sites.sorted(by: { $0.key < $1.key }) {
            guard let members = hosts[site] else {
                if settings.group == nil, !hosts.isEmpty { withoutHosts(site, among: hosts.keys.sorted().map(\.rawValue), &findings) }
                continue
            }
            if let seed = settings.seed, !members.contains(where: { $0.name == seed }) {
                lacking(
                    site, "sites.\(site).seed: \(seed.rawValue.shown) is no host of that site; name one of its compute nodes", &findings)
            }
        }
    }

    /// A stack may have no compute nodes; a name that no stack has is a slip, and its settings would silently be lost.
    private func withoutHosts(_ site: SiteName, among known: [String], _ findings: inout Findings) {
        guard !sites.stacks.contains(site.rawValue) else {
            return findings.notice(place(of: site), "sites.\(site): this stack has no hosts in \(options.hostsGroup.shown)")
        }
        let near = Nearest.word(to: site.rawValue, among: known).map { "; did you mean \($0.shown)?" }
        lacking(site, "sites.\(site): no stack is called so\(near ?? "; there are \(known.prefix(20).joined(separator: ", "))")", &findings)
    }

    /// What the configuration says of a site that these inventories do not have.
    private func lacking(_ site: SiteName, _ message: String, _ findings: inout Findings) {
        if options.hasAllSites { findings.problem(place(of: site), message) } else { findings.notice(place(of: site), message) }
    }
}
