import StrictYAML

/// All inventory files as one, as Ansible merges them: groups of the same name united, a later variable winning over an earlier one.
struct MergedInventory {
    struct Group {
        let name: String
        var children: [Int] = []
        var parents: [Int] = []
        var hosts: [Int] = []
        var priority = 1
        var variables: [Variable: Value] = [:]
        /// Longest way down from `all`; -1 in a cycle.
        var depth = -1
    }

    struct Host {
        let name: String
        /// Where it is defined first.
        let place: Place
        /// The groups that name it under `hosts:`, in the order in which they do.
        var groups: [Int] = []
        var variables: [Variable: Value] = [:]
    }

    private struct Edge: Hashable {
        var from: Int
        var to: Int
    }

    private(set) var groups: [Group] = []
    private(set) var hosts: [Host] = []
    /// Parents before children; without the groups of a cycle.
    private(set) var order: [Int] = []
    private var groupNumbers: [String: Int] = [:]
    private var hostNumbers: [String: Int] = [:]

    static let all = 0
    static let ungrouped = 1

    init(_ files: [FileDefinition], _ findings: inout Findings) {
        _ = number(ofGroup: "all")
        _ = number(ofGroup: "ungrouped")
        var children: Set<Edge> = []
        var members: Set<Edge> = []
        for file in files {
            for step in file.steps { take(step, &children, &members) }
        }
        adoptOrphans()
        arrange(files, &findings)
        for host in hosts where groupNumbers[host.name] != nil {
            findings.notice(host.place, "\(host.name.shown) names both a group and a host; give one of them another name")
        }
    }

    func group(_ name: String) -> Int? { groupNumbers[name] }
    func host(_ name: String) -> Int? { hostNumbers[name] }

    /// The hosts of the groups and of all groups below them, in Ansible's order: level by level, each group's hosts as they are written.
    func members(of tops: [Int]) -> [Int] {
        var seen = [Bool](repeating: false, count: groups.count)
        var isListed = [Bool](repeating: false, count: hosts.count)
        var queue: [Int] = []
        var result: [Int] = []
        var next = 0
        for top in tops where !seen[top] {
            seen[top] = true
            queue.append(top)
            while next < queue.count {
                for host in groups[queue[next]].hosts where !isListed[host] {
                    isListed[host] = true
                    result.append(host)
                }
                for child in groups[queue[next]].children where !seen[child] {
                    seen[child] = true
                    queue.append(child)
                }
                next += 1
            }
        }
        return result
    }

    private mutating func take(_ step: FileDefinition.Step, _ children: inout Set<Edge>, _ members: inout Set<Edge>) {
        switch step {
        case .group(let name): _ = number(ofGroup: name)
        case .variable(let group, let variable, let value): groups[number(ofGroup: group)].variables[variable] = value
        case .priority(let group, let priority): groups[number(ofGroup: group)].priority = priority
        case .child(let parent, let child, _):
            let edge = Edge(from: number(ofGroup: parent), to: number(ofGroup: child))
            guard children.insert(edge).inserted else { return }
            groups[edge.from].children.append(edge.to)
            groups[edge.to].parents.append(edge.from)
        case .hosts(let step):
            let group = number(ofGroup: step.group)
            for name in step.names {
                let host = number(of: name, in: step)
                if members.insert(Edge(from: group, to: host)).inserted {
                    groups[group].hosts.append(host)
                    hosts[host].groups.append(group)
                }
                for (variable, value) in step.variables { hosts[host].variables[variable] = value }
            }
        }
    }

    private mutating func number(ofGroup name: String) -> Int {
        if let number = groupNumbers[name] { return number }
        groups.append(Group(name: name))
        groupNumbers[name] = groups.count - 1
        return groups.count - 1
    }

    /// A port in the pattern counts only where the host is named for the first time, as in Ansible.
    private mutating func number(of name: String, in step: FileDefinition.Hosts) -> Int {
        if let number = hostNumbers[name] { return number }
        var host = Host(name: name, place: step.place)
        if let port = step.port { host.variables[.port] = Value(.scalar(String(port), isPlain: true), at: step.place) }
        hosts.append(host)
        hostNumbers[name] = hosts.count - 1
        return hosts.count - 1
    }

    /// Groups without a parent are children of `all`; hosts that no group but `all` names are in `ungrouped`, others never are.
    private mutating func adoptOrphans() {
        for group in groups.indices where group != Self.all && groups[group].parents.isEmpty {
            groups[group].parents.append(Self.all)
            groups[Self.all].children.append(group)
        }
        for host in hosts.indices {
            let named = hosts[host].groups.filter { $0 != Self.all && $0 != Self.ungrouped }
            if named.isEmpty {
                if !hosts[host].groups.contains(Self.ungrouped) {
                    hosts[host].groups.append(Self.ungrouped)
                    groups[Self.ungrouped].hosts.append(host)
                }
            } else if hosts[host].groups.contains(Self.ungrouped) {
                hosts[host].groups.removeAll { $0 == Self.ungrouped }
            }
        }
        groups[Self.ungrouped].hosts.removeAll { !hosts[$0].groups.contains(Self.ungrouped) }
    }

    /// Finds `order` and each group's depth; a cycle is a problem.
    private mutating func arrange(_ files: [FileDefinition], _ findings: inout Findings) {
        var waiting = groups.map(\.parents.count)
        order = groups.indices.filter { waiting[$0] == 0 }
        for group in order { groups[group].depth = 0 }
        var next = 0
        while next < order.count {
            let group = order[next]
            for child in groups[group].children {
                groups[child].depth = max(groups[child].depth, groups[group].depth + 1)
                waiting[child] -= 1
                if waiting[child] == 0 { order.append(child) }
            }
            next += 1
        }
        if let stuck = groups.indices.first(where: { waiting[$0] > 0 }) {
            let names = cycle(above: stuck, waiting)
            let shown = names.prefix(20).map(\.shown).joined(separator: " → ") + (names.count > 20 ? " → …" : "")
            findings.problem(
                place(ofChild: names[1], in: names[0], files),
                "groups that are their own children: \(shown); take one of them out of 'children'")
        }
    }

    /// Every group that still waits has a parent that still waits, so going up must come round.
    private func cycle(above start: Int, _ waiting: [Int]) -> [String] {
        var path: [Int] = []
        var positions: [Int: Int] = [:]
        var group = start
        while positions[group] == nil {
            positions[group] = path.count
            path.append(group)
            guard let parent = groups[group].parents.first(where: { waiting[$0] > 0 }) else { break }
            group = parent
        }
        return ([group] + path[(positions[group] ?? 0)...].reversed()).map { groups[$0].name }
    }

    private func place(ofChild child: String, in parent: String, _ files: [FileDefinition]) -> Place {
        for file in files {
            for case .child(parent, child, let place) in file.steps { return place }
        }
        return Place(file: files.first?.path ?? "")
    }
}
