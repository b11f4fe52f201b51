import ForecacheModel
import StrictYAML

/// How to reach a host: its connection variables over the configuration's `ssh:`.
///
/// Of two names for one thing Ansible takes the one with `ssh` in it. A variable wins over ssh arguments, since Ansible puts it in front of them.
struct Connections {
    struct Connection {
        var address: String
        var peerAddress: String?
        var ssh: SSHSettings
    }

    private let defaults: SSHSettings
    private let peerNetwork: String
    private var arguments: [String: SSHArguments] = [:]

    init(_ options: InventoryOptions) {
        defaults = options.ssh
        peerNetwork = options.peerNetwork
    }

    /// Nil where the host cannot be reached by ssh, which has been said.
    mutating func connection(to host: MergedInventory.Host, _ variables: [Variable: Value], _ findings: inout Findings) -> Connection? {
        let reader = VariableReader(host: host, variables: variables, peerNetwork: peerNetwork)
        guard isReachedBySSH(host, reader, &findings) else { return nil }
        var ssh = defaults
        apply(arguments(reader, &findings), to: &ssh)
        if let user = reader.text(.sshUser, .user, UserText.isUser, "a login name", &findings) { ssh.user = user }
        if let port = reader.text(.sshPort, .port, { (1...65535).contains(Int($0) ?? 0) }, "a port from 1 to 65535", &findings) {
            ssh.port = Int(port) ?? ssh.port
        }
        if reader.flag(.sshHostKeyChecking, .hostKeyChecking, &findings) == false { ssh.hostKeyChecking = .off }
        if let become = reader.flag(.become, nil, &findings) { ssh.become = become ? .sudo : .none }
        if ssh.become == .sudo { checkSudo(reader, &findings) }
        passwords(reader, &findings)

        let peerAddress = reader.peerAddress(&findings)
        if let address = reader.text(.sshHost, .host, AddressText.isAddress, "a host name or an IP address", &findings) {
            return Connection(address: address, peerAddress: peerAddress, ssh: ssh)
        }
        if !reader.isGiven(.sshHost, .host), !AddressText.isAddress(host.name) {
            findings.problem(host.place, "host \(host.name.shown) needs ansible_host: its name is no address")
        }
        return Connection(address: host.name, peerAddress: peerAddress, ssh: ssh)
    }

    private func isReachedBySSH(_ host: MergedInventory.Host, _ reader: VariableReader, _ findings: inout Findings) -> Bool {
        guard let connection = reader.text(.connection, nil, { _ in true }, "", &findings) else { return true }
        let word = connection.split(separator: ".").last.map(String.init) ?? connection
        if ["ssh", "smart", "paramiko", "paramiko_ssh", "libssh"].contains(word) { return true }
        findings.notice(
            reader.place(of: .connection),
            "host \(host.name.shown) is left out: ansible_connection is \(connection.shown), and compute nodes are reached by ssh only")
        return false
    }

    /// The three kinds of ssh arguments in the order in which Ansible passes them.
    private mutating func arguments(_ reader: VariableReader, _ findings: inout Findings) -> SSHArguments {
        var result = SSHArguments("")
        for variable in [Variable.sshArguments, .sshCommonArguments, .sshExtraArguments] {
            guard let text = reader.text(variable, nil, { $0.utf8.count <= 65536 }, "shorter than 64 KiB", &findings) else { continue }
            let parsed = arguments[text] ?? SSHArguments(text)
            arguments[text] = parsed
            let place = reader.place(of: variable)
            for fault in parsed.faults { findings.problem(place, "\(variable.rawValue) \(fault)") }
            for option in parsed.ignored {
                findings.notice(
                    place,
                    "\(option.shown) in \(variable.rawValue) has no effect; understood are Port, User, ProxyJump,"
                        + " IdentityFile, IdentitiesOnly, UserKnownHostsFile and StrictHostKeyChecking",
                    once: "ssh option \(option.lowercased())")
            }
            result.add(parsed)
        }
        if let key = reader.text(.sshPrivateKeyFile, .privateKeyFile, PathText.isPath, "a path", &findings) {
            result.identityFiles.insert(key, at: 0)
        }
        return result
    }

    private func apply(_ arguments: SSHArguments, to ssh: inout SSHSettings) {
        if let port = arguments.port { ssh.port = port }
        if let user = arguments.user { ssh.user = user }
        if let jump = arguments.jump { ssh.jump = jump }
        if let checking = arguments.hostKeyChecking { ssh.hostKeyChecking = checking }
        if let files = arguments.knownHostsFiles { ssh.knownHostsFiles = files }
        if !arguments.identityFiles.isEmpty { ssh.identityFiles = arguments.identityFiles }
    }

    private func checkSudo(_ reader: VariableReader, _ findings: inout Findings) {
        let isSudo = { (text: String) in text == "sudo" || text == "ansible.builtin.sudo" }
        _ = reader.text(.becomeMethod, nil, isSudo, "sudo, the only way to become root here", &findings)
        if let user = reader.text(.becomeUser, nil, { _ in true }, "", &findings), user != "root" {
            findings.notice(
                reader.place(of: .becomeUser), "ansible_become_user \(user.shown) has no effect: sudo is to root", once: "become user")
        }
    }

    private func passwords(_ reader: VariableReader, _ findings: inout Findings) {
        for variable in [Variable.password, .sshPassword, .sshPass, .becomePassword, .becomePass] where reader.isGiven(variable, nil) {
            findings.notice(
                reader.place(of: variable), "\(variable.rawValue) has no effect: log-ins are by key and sudo is without a password",
                once: variable.rawValue)
        }
    }
}

extension SSHArguments {
    /// What comes later on the command line: it fills in only what is not there yet.
    fileprivate mutating func add(_ later: SSHArguments) {
        port = port ?? later.port
        user = user ?? later.user
        jump = jump ?? later.jump
        hostKeyChecking = hostKeyChecking ?? later.hostKeyChecking
        knownHostsFiles = knownHostsFiles ?? later.knownHostsFiles
        identityFiles += later.identityFiles
    }
}
