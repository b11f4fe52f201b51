import StrictYAML

/// Which value of a variable holds for a host, by Ansible's precedence: the variables of `all`, then of groups from the outside in (depth,
/// `ansible_group_priority`, name), then `group_vars/all`, then the other `group_vars`, then the host's own, then `host_vars`.
///
/// The value that wins for a group is the best of its own and its parents' winners, so one pass over the groups finds them all.
struct VariableResolution {
    fileprivate struct Rank: Comparable {
        /// 0 in the inventory, 1 in `group_vars/all`, 2 in another file of `group_vars`.
        var tier: Int
        /// The base directory of `group_vars`: a later inventory source wins.
        var base: Int
        var order: Int

        static func < (left: Self, right: Self) -> Bool { (left.tier, left.base, left.order) < (right.tier, right.base, right.order) }
    }

    fileprivate struct Ranked {
        var rank: Rank
        var value: Value
    }

    fileprivate typealias Winners = [Variable: Ranked]

    private let inventory: MergedInventory
    private var winners: [Winners]
    private var ofGroups: [[Int]: [Variable: Value]] = [:]
    private var hostFiles: [Int: [Variable: Value]] = [:]

    init(
        _ inventory: MergedInventory,
        _ files: [(base: Int, subject: VariablesFile.Subject, variables: [(variable: Variable, value: Value)])]
    ) {
        self.inventory = inventory
        let ranks = Self.ranks(of: inventory.groups)
        winners = inventory.groups.indices.map { group in
            inventory.groups[group].variables.mapValues { Ranked(rank: Rank(tier: 0, base: 0, order: ranks[group]), value: $0) }
        }
        for file in files {
            switch file.subject {
            case .group(let name):
                guard let group = inventory.group(name) else { continue }
                let rank = Rank(tier: group == MergedInventory.all ? 1 : 2, base: file.base, order: ranks[group])
                for (variable, value) in file.variables { winners[group].offer(variable, Ranked(rank: rank, value: value)) }
            case .host(let name):
                guard let host = inventory.host(name) else { continue }
                for (variable, value) in file.variables { hostFiles[host, default: [:]][variable] = value }
            }
        }
        for group in inventory.order {
            for parent in inventory.groups[group].parents {
                for (variable, ranked) in winners[parent] { winners[group].offer(variable, ranked) }
            }
        }
    }

    /// A group's place when all are sorted by depth, priority and name.
    private static func ranks(of groups: [MergedInventory.Group]) -> [Int] {
        let sorted = groups.indices.sorted { left, right in
            let (a, b) = (groups[left], groups[right])
            if a.depth != b.depth { return a.depth < b.depth }
            if a.priority != b.priority { return a.priority < b.priority }
            return a.name.utf8.lexicographicallyPrecedes(b.name.utf8)
        }
        var ranks = [Int](repeating: 0, count: groups.count)
        for (rank, group) in sorted.enumerated() { ranks[group] = rank }
        return ranks
    }

    /// All known variables of a host. Hosts of the same groups share the work.
    mutating func variables(of host: Int) -> [Variable: Value] {
        let groups = inventory.hosts[host].groups
        let shared: [Variable: Value]
        if let known = ofGroups[groups] {
            shared = known
        } else {
            var best: Winners = [:]
            for group in groups {
                for (variable, ranked) in winners[group] { best.offer(variable, ranked) }
            }
            shared = best.mapValues(\.value)
            ofGroups[groups] = shared
        }
        var result = shared.merging(inventory.hosts[host].variables) { _, own in own }
        if let file = hostFiles[host] { result.merge(file) { _, later in later } }
        return result
    }
}

extension [Variable: VariableResolution.Ranked] {
    /// The better one stays; of two equal ones (two files of the same group) the later.
    fileprivate mutating func offer(_ variable: Variable, _ ranked: VariableResolution.Ranked) {
        if let present = self[variable], present.rank > ranked.rank { return }
        self[variable] = ranked
    }
}
