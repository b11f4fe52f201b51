import StrictYAML

/// The TripleO stack of every host that one file defines. The file decides alone: after merging, two stacks share groups such as `Compute`.
///
/// Known shapes, of tripleo-common's `inventory.py` and `inventories.py`:
/// - `allovercloud: {children: {STACK}}`, `STACK: {children: {Compute}}`;
/// - `allovercloud: {children: {STACK_allovercloud}}`, with all groups of a stack carrying its prefix;
/// - up to Ussuri `allovercloud: {children: {Compute}}`, `STACK: {children: {allovercloud}}`.
struct Stacks {
    struct Membership {
        var stack: String
        /// False where the file only mentions the host and its name had to do for the stack's; the word of another file then wins.
        var isDeclared: Bool
        /// The `hosts:` groups of the file that name the host.
        var groups: [String]
        var place: Place
        /// A second stack of the same file, which is a mistake.
        var other: String?
    }

    private struct Group {
        let name: String
        var children: [Int] = []
        var parents: [Int] = []
        var hosts: [Int] = []
        var isRole = false
    }

    private struct Host {
        let name: String
        let place: Place
        var groups: [Int] = []
    }

    private static let suffix = "_allovercloud"

    private let path: String
    private let hostsGroup: String
    private var groups: [Group] = []
    private var numbers: [String: Int] = [:]
    private var hosts: [Host] = []
    private var plan: String?
    private var stacks: [String?] = []
    private var others: [Int: String] = [:]

    /// Every host of the file, in its order.
    static func memberships(of file: FileDefinition, hostsGroup: String) -> [(host: String, Membership)] {
        var stacks = Stacks(file, hostsGroup: hostsGroup)
        return stacks.memberships()
    }

    private init(_ file: FileDefinition, hostsGroup: String) {
        path = file.path
        self.hostsGroup = hostsGroup
        var hostNumbers: [String: Int] = [:]
        for step in file.steps {
            switch step {
            case .group(let name): _ = number(name)
            case .variable(let group, .role, _): groups[number(group)].isRole = true
            case .variable(let group, .plan, let value) where group.lowercased() == "undercloud":
                if case .scalar(let text, _) = value.content, !text.isEmpty { plan = text }
            case .variable, .priority: break
            case .child(let parent, let child, _):
                let (parent, child) = (number(parent), number(child))
                groups[parent].children.append(child)
                groups[child].parents.append(parent)
            case .hosts(let step):
                let group = number(step.group)
                for name in step.names {
                    let host = hostNumbers[name] ?? hosts.count
                    if host == hosts.count {
                        hosts.append(Host(name: name, place: step.place))
                        hostNumbers[name] = host
                    }
                    hosts[host].groups.append(group)
                    groups[group].hosts.append(host)
                }
            }
        }
        stacks = [String?](repeating: nil, count: hosts.count)
    }

    private mutating func number(_ name: String) -> Int {
        if let number = numbers[name] { return number }
        groups.append(Group(name: name))
        numbers[name] = groups.count - 1
        return groups.count - 1
    }

    private mutating func memberships() -> [(host: String, Membership)] {
        let declared = declaredStacks()
        claim(hostsBelow: declared, isOnlyForTheUnclaimed: false)
        let prefixed = prefixedStacks()
        claim(hostsBelow: prefixed, isOnlyForTheUnclaimed: true)

        let names = Set((declared + prefixed).map(\.stack))
        let only = plan ?? (names.count == 1 ? names.first : nil)
        return hosts.indices.map { index in
            let host = hosts[index]
            let stack = stacks[index] ?? host.groups.compactMap { prefix(of: groups[$0].name, among: names) }.first ?? only
            return (
                host.name,
                Membership(
                    stack: stack ?? fileName, isDeclared: stack != nil, groups: host.groups.map { groups[$0].name }, place: host.place,
                    other: others[index])
            )
        }
    }

    /// The children of `allovercloud`, each with the group that holds its hosts.
    private func declaredStacks() -> [(stack: String, group: Int)] {
        var result: [(stack: String, group: Int)] = groups.indices.compactMap { group in
            prefix(of: groups[group].name, before: Self.suffix).map { ($0, group) }
        }
        guard let top = numbers["allovercloud"] else { return result }
        var isUssuri = false
        for child in groups[top].children where !groups[child].name.hasSuffix(Self.suffix) {
            if groups[child].isRole { isUssuri = true } else { result.append((groups[child].name, child)) }
        }
        if isUssuri {
            // A parent "overcloud" stands there for old playbooks even where the stack is called otherwise.
            let parents = groups[top].parents.map { groups[$0].name }.filter { $0 != "all" }
            let stack = parents.first { $0 == plan } ?? parents.first { $0 != "overcloud" } ?? parents.first ?? plan
            if let stack { result.append((stack, top)) }
        }
        return result
    }

    /// Groups such as `dcn1_nova_compute`.
    private func prefixedStacks() -> [(stack: String, group: Int)] {
        groups.indices.compactMap { group in prefix(of: groups[group].name, before: "_\(hostsGroup)").map { ($0, group) } }
    }

    /// A group is walked for the first stack that reaches it and once more for a second, which is a conflict; a third adds nothing.
    private mutating func claim(hostsBelow tops: [(stack: String, group: Int)], isOnlyForTheUnclaimed: Bool) {
        var owners = [String?](repeating: nil, count: groups.count)
        var isContested = [Bool](repeating: isOnlyForTheUnclaimed, count: groups.count)
        for (stack, top) in tops {
            var queue = [top]
            while let group = queue.popLast() {
                if let owner = owners[group] {
                    if owner == stack || isContested[group] { continue }
                    isContested[group] = true
                } else {
                    owners[group] = stack
                }
                for host in groups[group].hosts {
                    if stacks[host] == nil {
                        stacks[host] = stack
                    } else if stacks[host] != stack, !isOnlyForTheUnclaimed {
                        others[host] = stack
                    }
                }
                queue += groups[group].children
            }
        }
    }

    private func prefix(of name: String, before suffix: String) -> String? {
        name.hasSuffix(suffix) && name.utf8.count > suffix.utf8.count ? String(name.dropLast(suffix.count)) : nil
    }

    /// The longest of `stacks` that `name` begins with, as `dcn1_Compute` does.
    private func prefix(of name: String, among stacks: Set<String>) -> String? {
        var head = Substring(name)
        while let underscore = head.lastIndex(of: "_") {
            head = head[..<underscore]
            if stacks.contains(String(head)) { return String(head) }
        }
        return nil
    }

    /// The operator's own name for the stack where the file gives none: `inventories/dcn1.yaml` is of `dcn1`.
    private var fileName: String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return name.lastIndex(of: ".").flatMap { $0 == name.startIndex ? nil : String(name[..<$0]) } ?? name
    }
}
