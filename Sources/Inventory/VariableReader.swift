import StrictYAML

/// Typed readings of one host's variables. A problem stands at the variable's own place, so a group's is said once for all its hosts.
struct VariableReader {
    let host: MergedInventory.Host
    let variables: [Variable: Value]
    let peerNetwork: String

    /// Whether one of the two has a value; `key:` with nothing after it takes a value away again, as in Ansible.
    func isGiven(_ first: Variable, _ second: Variable?) -> Bool { winner(first, second) != nil }

    func place(of variable: Variable) -> Place { variables[variable]?.place ?? host.place }

    /// The text of `first`, or where that has none of `second`. Nil, with a problem noted, where it is not `what` or is a template.
    func text(
        _ first: Variable, _ second: Variable?, _ isValid: (String) -> Bool, _ what: String, _ findings: inout Findings
    ) -> String? {
        guard let (variable, value) = winner(first, second) else { return nil }
        let text: String
        switch plain(variable, value) {
        case .success(let plain): text = plain
        case .failure(let fault):
            findings.problem(value.place, fault.message)
            return nil
        }
        guard isValid(text) else {
            findings.problem(value.place, "\(variable.rawValue) must be \(what), not \(text.shown)")
            return nil
        }
        return text
    }

    /// Ansible's booleans, quoted or not.
    func flag(_ first: Variable, _ second: Variable?, _ findings: inout Findings) -> Bool? {
        let yes = ["true", "yes", "on", "y", "t", "1"]
        let no = ["false", "no", "off", "n", "f", "0"]
        return text(first, second, { yes.contains($0.lowercased()) || no.contains($0.lowercased()) }, "true or false", &findings)
            .map { yes.contains($0.lowercased()) }
    }

    /// Nil where the inventory has none. A template costs only copies between hosts, so it is no more than a notice.
    func peerAddress(_ findings: inout Findings) -> String? {
        guard let (_, value) = winner(.peerAddress, nil) else { return nil }
        if case .scalar(let text, _) = value.content, isTemplate(text) {
            findings.notice(value.place, "\(peerNetwork)_ip is a template, which only Ansible can fill in: no host copies from there")
            return nil
        }
        guard case .scalar(let text, _) = value.content, AddressText.isAddress(text) else {
            findings.problem(value.place, "\(peerNetwork)_ip must be an IP address or a host name, not \(value.named)")
            return nil
        }
        return text
    }

    /// The role's name, nil where the inventory gives none that can be used.
    func role(_ findings: inout Findings) -> String? {
        guard let (_, value) = winner(.role, nil) else { return nil }
        guard case .scalar(let text, _) = value.content, !isTemplate(text), HostNameText.fault(of: text) == nil else {
            findings.notice(value.place, "tripleo_role_name \(value.named) is no plain name; the host's group counts as its role")
            return nil
        }
        return text
    }

    private struct Fault: Error {
        var message: String
    }

    private func winner(_ first: Variable, _ second: Variable?) -> (Variable, Value)? {
        for variable in [first, second] {
            guard let variable, let value = variables[variable], value.content != .null else { continue }
            if case .scalar("", _) = value.content { continue }
            return (variable, value)
        }
        return nil
    }

    private func plain(_ variable: Variable, _ value: Value) -> Result<String, Fault> {
        guard case .scalar(let text, _) = value.content else {
            return .failure(Fault(message: "\(variable.rawValue) must be text, not \(value.named)"))
        }
        if isTemplate(text) {
            return .failure(
                Fault(message: "\(variable.rawValue) is a template, \(text.shown), which only Ansible can fill in; write the value itself"))
        }
        if text.hasPrefix("$ANSIBLE_VAULT;") {
            return .failure(Fault(message: "\(variable.rawValue) is encrypted with ansible-vault; write the value itself"))
        }
        return .success(text)
    }

    private func isTemplate(_ text: String) -> Bool { text.contains("{{") || text.contains("{%") }
}
