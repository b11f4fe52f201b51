import StrictYAML

/// What one inventory file says, in the order in which it says it: a later step wins over an earlier one, as in Ansible.
struct FileDefinition {
    enum Step {
        case group(String)
        case variable(group: String, Variable, Value)
        case priority(group: String, Int)
        case child(of: String, child: String, Place)
        case hosts(Hosts)
    }

    struct Hosts {
        var names: [String]
        var group: String
        var port: Int?
        var variables: [(variable: Variable, value: Value)]
        var place: Place
    }

    let path: String
    private(set) var steps: [Step] = []

    /// `hostsLeft` is how many hosts may still be read, over all files.
    init(_ file: InventoryFile, vocabulary: Vocabulary, hostsLeft: inout Int, findings: inout Findings) {
        path = file.path
        guard let root = RootValue.read(file, &findings), let groups = Self.groups(of: root, in: file, &findings) else { return }
        var reader = GroupReader(vocabulary: vocabulary, hostsLeft: hostsLeft)
        for group in groups { reader.group(Member(group), &findings) }
        steps = reader.steps
        hostsLeft = reader.hostsLeft
    }

    /// Nil where the file is no static inventory, which has been said.
    private static func groups(of root: Value, in file: InventoryFile, _ findings: inout Findings) -> [Value.Entry]? {
        guard let entries = root.merged else {
            findings.problem(root.place, "an inventory must be a mapping of groups, not \(root.named)\(RootValue.hint(for: file))")
            return nil
        }
        if entries.contains(where: { $0.key == "plugin" && $0.value.content != .null }) {
            findings.problem(root.place, "an inventory plugin's configuration, no static inventory: \(RootValue.conversion(of: file))")
            return nil
        }
        if entries.contains(where: { $0.key == "_meta" }) {
            findings.problem(root.place, "a dynamic inventory's output, no static inventory: \(RootValue.conversion(of: file))")
            return nil
        }
        return entries
    }
}

/// The YAML of an inventory file or variables file, with a word of help where it is something else.
enum RootValue {
    /// Nil where nothing is to be read, which has been said.
    static func read(_ file: InventoryFile, _ findings: inout Findings) -> Value? {
        let start = Place(file: file.path)
        if isEncrypted(file) {
            findings.problem(start, "the file is encrypted; decrypt it with `ansible-vault decrypt`")
            return nil
        }
        var problems = Problems()
        guard let root = Value.parse(file.text, file: file.path, problems: &problems) else {
            if hint(for: file).isEmpty {
                findings.problems(problems)
            } else {
                findings.problem(start, "not readable as YAML\(hint(for: file))")
            }
            return nil
        }
        if root.content == .null {
            findings.notice(start, "the file is empty")
            return nil
        }
        return root
    }

    static func isEncrypted(_ file: InventoryFile) -> Bool { file.text.hasPrefix("$ANSIBLE_VAULT;") }

    static func hint(for file: InventoryFile) -> String {
        let firstLine = file.text.split(whereSeparator: \.isNewline).lazy
            .map { $0.drop { $0 == " " } }
            .first { !$0.isEmpty && !$0.hasPrefix("#") && !$0.hasPrefix(";") }
        guard let firstLine, firstLine.hasPrefix("["), !firstLine.contains(","), !firstLine.contains("{") else { return "" }
        return "; it looks like an INI inventory: \(conversion(of: file))"
    }

    static func conversion(of file: InventoryFile) -> String {
        "convert it with `ansible-inventory -i \(file.path) --list --yaml --export`"
    }
}

/// One key of a `hosts:`, `children:` or `vars:` section.
private struct Member {
    var key: String
    var place: Place
    var value: Value

    init(key: String, place: Place, value: Value) {
        self.key = key
        self.place = place
        self.value = value
    }

    init(_ entry: Value.Entry) { self.init(key: entry.key, place: entry.keyPlace, value: entry.value) }
}

/// Reads groups as `_parse_group` of Ansible's yaml plugin does. It calls itself once a level of `children:`; `Value.parse` bounds those.
private struct GroupReader {
    let vocabulary: Vocabulary
    var hostsLeft: Int
    var steps: [FileDefinition.Step] = []

    mutating func group(_ entry: Member, _ findings: inout Findings) {
        guard !entry.key.isEmpty else { return findings.problem(entry.place, "a group needs a name") }
        if entry.value.content == .null { return steps.append(.group(entry.key)) }
        guard let sections = entry.value.merged else {
            return findings.notice(entry.value.place, "group \(entry.key.shown) is passed over, as Ansible does: it is not a mapping")
        }
        steps.append(.group(entry.key))
        for section in sections {
            switch section.key {
            case "vars": for variable in members(of: section, in: entry.key, &findings) { set(variable, of: entry.key, &findings) }
            case "children":
                for child in members(of: section, in: entry.key, &findings) {
                    group(child, &findings)
                    steps.append(.child(of: entry.key, child: child.key, child.place))
                }
            case "hosts": for host in members(of: section, in: entry.key, &findings) { hosts(host, in: entry.key, &findings) }
            default:
                let near = Nearest.word(to: section.key, among: ["hosts", "children", "vars"]).map { "; did you mean \($0.shown)?" }
                findings.notice(
                    section.keyPlace,
                    "key \(section.key.shown) of a group has no effect\(near ?? "; a group has hosts, children and vars")",
                    once: "section \(section.key)")
            }
        }
    }

    /// The entries of `vars:`, `children:` or `hosts:`. A single name counts as a mapping of that name, as in Ansible.
    private func members(of section: Value.Entry, in group: String, _ findings: inout Findings) -> [Member] {
        switch section.value.content {
        case .null: return []
        case .scalar(let name, _):
            return [Member(key: name, place: section.value.place, value: Value(.null, at: section.value.place))]
        case .mapping: return section.value.merged?.map(Member.init) ?? []
        case .sequence:
            findings.problem(
                section.value.place,
                "'\(section.key)' of group \(group.shown) must be a mapping, not a list; write each name as a key, `NAME:`")
            return []
        }
    }

    private mutating func set(_ entry: Member, of group: String, _ findings: inout Findings) {
        if entry.key == "ansible_group_priority" {
            var problems = Problems()
            if let priority = entry.value.integer("ansible_group_priority", in: Int(Int32.min)...Int(Int32.max), &problems) {
                steps.append(.priority(group: group, priority))
            }
            findings.problems(problems)
        } else if let variable = vocabulary.variable(entry.key) {
            steps.append(.variable(group: group, variable, entry.value))
        }
    }

    private mutating func hosts(_ entry: Member, in group: String, _ findings: inout Findings) {
        let pattern: HostPattern
        do {
            pattern = try HostPattern(entry.key, most: hostsLeft)
        } catch {
            return findings.problem(entry.place, "host \(entry.key.shown) \(error.reason)")
        }
        hostsLeft -= pattern.names.count
        var variables: [(variable: Variable, value: Value)] = []
        if let entries = entry.value.merged {
            variables = vocabulary.variables(of: entries)
        } else if entry.value.content != .null, entry.value.content != .scalar("", isPlain: false) {
            findings.problem(entry.value.place, "the variables of host \(entry.key.shown) must be a mapping, not \(entry.value.named)")
        }
        steps.append(
            .hosts(FileDefinition.Hosts(names: pattern.names, group: group, port: pattern.port, variables: variables, place: entry.place)))
    }
}
