import ForecacheModel
import StrictYAML

/// Which site every host belongs to: that of the configuration's group where one names it, else the stack of the file that defines it.
struct SiteAssignment {
    struct Assignment {
        var site: SiteName
        /// The inventory file that says so.
        var file: String
        /// The groups of that file that name the host.
        var groups: [String]
    }

    private struct Claim {
        var membership: Stacks.Membership
        var file: String
    }

    private var claims: [String: Claim] = [:]
    private var conflicts: [String: (place: Place, message: String)] = [:]
    /// All stacks that a file declares.
    private(set) var stacks: Set<String> = []
    private var byGroup: [Int: SiteName] = [:]

    init(_ files: [FileDefinition], hostsGroup: String) {
        for file in files {
            for (host, membership) in Stacks.memberships(of: file, hostsGroup: hostsGroup) {
                take(Claim(membership: membership, file: file.path), for: host)
            }
        }
    }

    /// Puts the hosts of `sites.<name>.group` into that site.
    mutating func claim(_ hosts: [Int], for site: SiteName, of inventory: MergedInventory, _ findings: inout Findings) {
        for host in hosts {
            if let other = byGroup[host], other != site {
                findings.problem(
                    inventory.hosts[host].place,
                    "host \(inventory.hosts[host].name.shown) is in two sites' groups, \(other.rawValue.shown) and \(site.rawValue.shown);"
                        + " a host belongs to one: take it out of one group, or change sites.<name>.group")
                continue
            }
            byGroup[host] = site
        }
    }

    func assignment(of host: Int, in inventory: MergedInventory, _ findings: inout Findings) -> Assignment? {
        let name = inventory.hosts[host].name
        guard let claim = claims[name] else { return nil }
        let groups = claim.membership.groups
        if let site = byGroup[host] { return Assignment(site: site, file: claim.file, groups: groups) }
        if let conflict = conflicts[name] { findings.problem(conflict.place, conflict.message) }
        return Assignment(site: SiteName(claim.membership.stack), file: claim.file, groups: groups)
    }

    /// A file that declares the stack wins over files that only mention the host; two declared stacks are a conflict.
    private mutating func take(_ claim: Claim, for host: String) {
        let membership = claim.membership
        if membership.isDeclared { stacks.insert(membership.stack) }
        if let other = membership.other { conflict(host, membership.place, membership.stack, other) }
        guard let present = claims[host] else {
            claims[host] = claim
            return
        }
        if !present.membership.isDeclared, membership.isDeclared {
            claims[host] = claim
        } else if membership.isDeclared, membership.stack != present.membership.stack {
            conflict(host, membership.place, present.membership.stack, membership.stack, first: present.membership.place)
        }
    }

    private mutating func conflict(_ host: String, _ place: Place, _ one: String, _ other: String, first: Place? = nil) {
        guard conflicts[host] == nil else { return }
        let before = first.map { " (there at \($0))" } ?? ""
        conflicts[host] = (
            place,
            "host \(host.shown) is in two sites, \(one.shown)\(before) and \(other.shown); Ansible would take both for one host:"
                + " rename one, or name its site with sites.<name>.group"
        )
    }
}
