import StrictYAML

/// The variables that mean something here; all others of an inventory are passed over.
enum Variable: String, CaseIterable {
    case host = "ansible_host"
    case sshHost = "ansible_ssh_host"
    case user = "ansible_user"
    case sshUser = "ansible_ssh_user"
    case port = "ansible_port"
    case sshPort = "ansible_ssh_port"
    case privateKeyFile = "ansible_private_key_file"
    case sshPrivateKeyFile = "ansible_ssh_private_key_file"
    case become = "ansible_become"
    case becomeMethod = "ansible_become_method"
    case becomeUser = "ansible_become_user"
    case connection = "ansible_connection"
    case sshArguments = "ansible_ssh_args"
    case sshCommonArguments = "ansible_ssh_common_args"
    case sshExtraArguments = "ansible_ssh_extra_args"
    case hostKeyChecking = "ansible_host_key_checking"
    case sshHostKeyChecking = "ansible_ssh_host_key_checking"
    case password = "ansible_password"
    case sshPassword = "ansible_ssh_password"
    case sshPass = "ansible_ssh_pass"
    case becomePassword = "ansible_become_password"
    case becomePass = "ansible_become_pass"
    case role = "tripleo_role_name"
    /// The stack's name, which TripleO gives to the undercloud.
    case plan
    /// `<peer network>_ip`, whose name the configuration decides.
    case peerAddress = "<peer network>_ip"
}

/// Which key of a `vars:` or host mapping is which variable.
struct Vocabulary {
    private let words: [String: Variable]

    init(peerNetwork: String) {
        var words = Dictionary(uniqueKeysWithValues: Variable.allCases.map { ($0.rawValue, $0) })
        words[Variable.peerAddress.rawValue] = nil
        words["\(peerNetwork)_ip"] = .peerAddress
        self.words = words
    }

    func variable(_ key: String) -> Variable? { words[key] }

    /// The known variables of a mapping, in its order.
    func variables(of entries: [Value.Entry]) -> [(variable: Variable, value: Value)] {
        entries.compactMap { entry in variable(entry.key).map { ($0, entry.value) } }
    }
}

extension Value {
    /// How messages name this value, with nothing in it that disturbs a terminal.
    var named: String {
        switch content {
        case .null: "nothing"
        case .scalar(let text, _): text.shown
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }

    /// A mapping's entries with YAML's merge key (`<<: *anchor`) worked in: its own keys win, then the first mapping merged. Nil where
    /// this is not a mapping.
    var merged: [Entry]? {
        guard case .mapping(let entries) = content else { return nil }
        guard entries.contains(where: { $0.key == "<<" }) else { return entries }
        var result = entries.filter { $0.key != "<<" }
        var keys = Set(result.map(\.key))
        for entry in entries where entry.key == "<<" {
            let sources: [Value] = if case .sequence(let values) = entry.value.content { values } else { [entry.value] }
            for source in sources {
                for inherited in source.merged ?? [] where keys.insert(inherited.key).inserted { result.append(inherited) }
            }
        }
        return result
    }
}
