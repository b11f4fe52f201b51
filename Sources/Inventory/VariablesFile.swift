import StrictYAML

/// A file of a `group_vars` or `host_vars` directory: `group_vars/NAME`, `group_vars/NAME.yml` or any file below `group_vars/NAME/`.
struct VariablesFile {
    enum Subject: Hashable {
        case group(String)
        case host(String)
    }

    /// The directory in which `group_vars` lies: the inventory directory, or the one of the inventory file.
    var base: String
    var subject: Subject
    /// Which of several forms of the same name wins: Ansible reads the first of NAME, NAME.yml, NAME.yaml, NAME.json only.
    var form: Int
    var file: InventoryFile

    /// Nil where `file` is not below such a directory.
    init?(_ file: InventoryFile) {
        let parts = file.path.split(separator: "/", omittingEmptySubsequences: false)
        guard let index = parts.lastIndex(where: { $0 == "group_vars" || $0 == "host_vars" }), index + 1 < parts.count else { return nil }
        let isDirectory = index + 2 < parts.count
        var name = String(parts[index + 1])
        form = 0
        if !isDirectory, let form = Self.extensions.firstIndex(where: { name.hasSuffix($0) }) {
            name.removeLast(Self.extensions[form].count)
            self.form = form + 1
        }
        base = parts[..<index].joined(separator: "/")
        subject = parts[index] == "group_vars" ? .group(name) : .host(name)
        self.file = file
    }

    private static let extensions = [".yml", ".yaml", ".json"]

    /// Ansible looks for files by the names that it knows: what else lies there, such as a copy with another ending, it never opens.
    func isAbout(_ inventory: MergedInventory) -> Bool {
        switch subject {
        case .group(let name): inventory.group(name) != nil
        case .host(let name): inventory.host(name) != nil
        }
    }

    /// What the files say, in Ansible's order, with the number of their base directory (in the order in which the inventories come).
    static func read(
        _ files: [VariablesFile], bases: [String], vocabulary: Vocabulary, _ findings: inout Findings
    ) -> [(base: Int, subject: Subject, variables: [(variable: Variable, value: Value)])] {
        struct Key: Hashable {
            var base: String
            var subject: Subject
        }
        var first: [Key: Int] = [:]
        for file in files { first[Key(base: file.base, subject: file.subject), default: .max].lower(to: file.form) }
        var numbers: [String: Int] = [:]
        for base in bases + files.map(\.base) where numbers[base] == nil { numbers[base] = numbers.count }

        return files.sorted { $0.file.path.utf8.lexicographicallyPrecedes($1.file.path.utf8) }.compactMap { file in
            guard first[Key(base: file.base, subject: file.subject)] == file.form else { return nil }
            if RootValue.isEncrypted(file.file) {
                // Such files hold passwords as a rule, which mean nothing here.
                findings.notice(
                    Place(file: file.file.path),
                    "the file is encrypted with ansible-vault and passed over; what says how to reach hosts must stand in another one")
                return nil
            }
            guard let root = RootValue.read(file.file, &findings) else { return nil }
            guard let entries = root.merged else {
                findings.problem(root.place, "a file of variables must be a mapping, not \(root.named)")
                return nil
            }
            return (numbers[file.base] ?? 0, file.subject, vocabulary.variables(of: entries))
        }
    }
}

extension Int {
    fileprivate mutating func lower(to other: Int) { self = Swift.min(self, other) }
}
