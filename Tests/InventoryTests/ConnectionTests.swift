import ForecacheModel
import Inventory
import Testing

@Suite struct ConnectionTests {
    private func reading(_ variables: String) -> InventoryReading { read("nova_compute: {hosts: {c: {\(variables)}}}") }
    private func host(_ variables: String) throws -> Host {
        let reading = reading(variables)
        #expect(reading.said.isEmpty)
        return try #require(reading.fleet.host("c"))
    }

    @Test func theConfigurationHoldsWhereTheInventorySaysNothing() throws {
        let ssh = SSHSettings(
            user: "stack", port: 2022, identityFiles: ["~/k"], knownHostsFiles: ["~/h"], become: .none, jump: JumpHost(host: "b"))
        let reading = read("nova_compute: {hosts: {c: , d: {ansible_user: x, ansible_port: 23, ansible_become: yes}}}") { $0.ssh = ssh }
        #expect(reading.fleet.host("c")?.ssh == ssh)
        var other = ssh
        (other.user, other.port, other.become) = ("x", 23, .sudo)
        #expect(reading.fleet.host("d")?.ssh == other)
        #expect(reading.fleet.host("d")?.address == "d")
        #expect(reading.fleet.host("d")?.peerAddress == nil)
    }

    @Test func ofTwoNamesTheOneWithSSHWinsAsInAnsible() throws {
        let host = try host(
            "ansible_host: 10.0.0.1, ansible_ssh_host: 10.0.0.2, ansible_user: a, ansible_ssh_user: b, ansible_port: 1, ansible_ssh_port: 2,"
                + " ansible_private_key_file: /a, ansible_ssh_private_key_file: ~/b")
        #expect(host.address == "10.0.0.2")
        #expect(host.ssh.user == "b")
        #expect(host.ssh.port == 2)
        #expect(host.ssh.identityFiles == ["~/b"])
    }

    @Test func sshArgumentsAreReadAsSSHReadsThem() throws {
        let host = try host(
            """
            ansible_ssh_common_args: '-o StrictHostKeyChecking=no -oUserKnownHostsFile="/dev/null /b" -J ops@bastion:2222 -o "Port 24" -i /one', \
            ansible_ssh_extra_args: '-o User=late -o Port=25 -o StrictHostKeyChecking=yes -o IdentityFile=/two -o IdentitiesOnly=yes', \
            ansible_private_key_file: /zero
            """)
        #expect(host.ssh.hostKeyChecking == .off)
        #expect(host.ssh.knownHostsFiles == ["/dev/null", "/b"])
        #expect(host.ssh.jump == JumpHost(user: "ops", host: "bastion", port: 2222))
        #expect(host.ssh.port == 24)
        #expect(host.ssh.user == "late")
        #expect(host.ssh.identityFiles == ["/zero", "/one", "/two"])
        #expect(try self.host("ansible_port: 26, ansible_ssh_common_args: '-p 27'").ssh.port == 26)
        #expect(try self.host("ansible_host_key_checking: false").ssh.hostKeyChecking == .off)
        let straight = read("nova_compute: {hosts: {c: {ansible_ssh_common_args: '-o ProxyJump=none'}}}") {
            $0.ssh.jump = JumpHost(host: "b")
        }
        #expect(straight.fleet.host("c")?.ssh.jump == nil)
    }

    @Test(
        arguments: [
            ("bastion", JumpHost(host: "bastion")), ("u@bastion:2200", JumpHost(user: "u", host: "bastion", port: 2200)),
            ("[::1]:24", JumpHost(host: "::1", port: 24)), ("ssh://u@[::1]", JumpHost(user: "u", host: "::1")),
            ("", nil), ("@h", nil), ("h:0", nil), ("h:99999", nil), ("h:x", nil), ("h:", nil), ("-oProxyCommand=x", nil), ("[::1", nil),
            ("[::1]22", nil), ("u@::1", nil), ("u@", nil), ("a,b", nil),
        ] as [(String, JumpHost?)])
    func oneBastion(text: String, jump: JumpHost?) { #expect(JumpHost(text) == jump) }

    @Test(arguments: [
        ("ssh -W %h:%p bastion", "bastion"), ("ssh -W %h:%p -q ops@bastion", "ops@bastion"),
        ("ssh -q -W [%h]:%p ops@bastion -p 2222", "ops@bastion:2222"),
        ("/usr/bin/ssh -p 2222 -l ops -W%h:%p 192.0.2.1", "ops@192.0.2.1:2222"),
        ("ssh -o Port=24 -i /key -W %h:%p b -o BatchMode=yes", "b:24"),
        ("ssh -W %h:%p ops@2001:db8::1 -p 22", "ops@[2001:db8::1]:22"),
    ])
    func aProxyCommandThatIsABastionIsUnderstood(command: String, jump: String) {
        let reading = reading("ansible_ssh_common_args: '-o ProxyCommand=\"\(command)\" -o ProxyJump=late'")
        #expect(reading.said.isEmpty, "\(reading.said)")
        #expect(reading.fleet.host("c")?.ssh.jump == JumpHost(jump))
        #expect(reading.fleet.host("c")?.ssh.port == 22)
        #expect(reading.fleet.host("c")?.ssh.identityFiles == [])
    }

    @Test func whatAProxyCommandSaysOfTheBastionAloneIsANotice() {
        let reading = reading(
            "ansible_ssh_common_args: '-o ProxyCommand=\"ssh -i /key -o StrictHostKeyChecking=no -W %h:%p b\" -o ProxyCommand=none'")
        #expect(reading.fleet.host("c")?.ssh.jump == JumpHost(host: "b"))
        #expect(reading.fleet.host("c")?.ssh.hostKeyChecking == .strict)
        #expect(reading.noted.count == 2)
        #expect(reading.noted.contains { $0.contains("'IdentityFile of ProxyCommand' in ansible_ssh_common_args has no effect") })
    }

    @Test(arguments: [
        "nc %h %p", "sshpass -p hunter2 ssh -W %h:%p b", "ssh b nc %h %p", "ssh b", "ssh -W %h:%p", "ssh -W other:22 b",
        "ssh -W %h:%p b; rm -rf /x",
        "ssh -W %h:%p $(x)", "ssh -W %h:%p `x`", "ssh -W %h:%p b 2>/dev/null", "ssh -W %h:%p -J a b", "ssh -W %h:%p -o ProxyCommand=x b",
        "ssh -W %h:%p -p 0 b", "ssh -W %h:%p u@-oProxyCommand=x", "ssh -W %h:%p b -p", "ssh -W %h:%p %h", "hunter2",
    ])
    func anyOtherProxyCommandIsAProblemThatDoesNotRepeatIt(command: String) {
        let reading = reading("ansible_ssh_common_args: '-o ProxyCommand=\"\(command)\"'")
        #expect(reading.said.count == 1)
        #expect(reading.said.first?.hasSuffix("; write ProxyJump=[user@]host[:port]") == true)
        #expect(reading.said.first?.contains("hunter2") == false)
    }

    @Test func otherSSHOptionsAreReportedOnce() {
        let reading = read(
            """
            nova_compute:
              hosts:
                'c[0:9]': {ansible_ssh_common_args: '-o ControlMaster=auto -C'}
                d: {ansible_ssh_extra_args: '-o controlmaster=no -o LocalCommand=secret'}
            """)
        #expect(reading.said.isEmpty)
        #expect(reading.noted.count == 3)
        #expect(reading.noted.allSatisfy { $0.contains("has no effect") && !$0.contains("secret") })
        #expect(reading.fleet.hosts.count == 11)
    }

    @Test func templatesAreNeverUsed() {
        for variable in [
            "ansible_host", "ansible_user", "ansible_port", "ansible_ssh_private_key_file", "ansible_ssh_common_args", "ansible_become",
        ] {
            let reading = read("all: {vars: {\(variable): '{{ it }}'}}\nnova_compute: {hosts: {a: , b: }}")
            #expect(reading.said.count == 1)
            #expect(reading.said.first?.hasPrefix("inventory/dcn1.yaml:1:") == true)
            #expect(reading.said.first?.contains("\(variable) is a template, '{{ it }}'") == true)
        }
        let peer = reading("internal_api_ip: '{{ it }}'")
        #expect(peer.said.isEmpty)
        #expect(peer.noted.count == 1)
        #expect(peer.fleet.host("c")?.peerAddress == nil)
    }

    @Test(
        arguments: [
            "ansible_host: -oProxyCommand=x", "ansible_host: 'a b'", "ansible_host: 'a;b'", "ansible_host: [a]", "ansible_host: '1:2'",
            "ansible_host: \"a\\nb\"",
            "ansible_port: 0", "ansible_port: 65536", "ansible_port: ssh", "ansible_user: -x", "ansible_user: 'a b'",
            "ansible_become: maybe",
            "ansible_become_method: su", "ansible_private_key_file: -x", "internal_api_ip: '$(x)'", "ansible_ssh_common_args: '-J a,b'",
            "ansible_ssh_common_args: '-o Port=x'", "ansible_ssh_common_args: '-o \"x'", "ansible_ssh_common_args: '-o'",
            "ansible_ssh_common_args: '-o ProxyJump=-x'", "ansible_ssh_common_args: '-o StrictHostKeyChecking=maybe'",
            "ansible_ssh_common_args: '-o User='", "ansible_user: $ANSIBLE_VAULT;1.1",
        ])
    func valuesThatCannotBeAreProblems(variables: String) {
        #expect(reading(variables).said.count == 1)
    }

    @Test(arguments: ["fe80::1%eth0", "2001:db8::10", "::1", "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8", "host_1.example.org", "10.0.0.1"])
    func addresses(address: String) throws {
        #expect(try host("ansible_host: '\(address)'").address == address)
    }

    @Test func becomeMethodCountsOnlyWhereThereIsBecome() throws {
        #expect(try host("ansible_become: no, ansible_become_method: su").ssh.become == .none)
        #expect(try host("ansible_become_method: ansible.builtin.sudo").ssh.become == .sudo)
        #expect(reading("ansible_become_user: nova").noted.count == 1)
    }

    @Test func hostsThatSSHDoesNotReachAreLeftOutAndSaid() {
        let reading = read("nova_compute: {hosts: {a: {ansible_connection: local}, b: {ansible_connection: ansible.builtin.ssh}}}")
        #expect(reading.said.isEmpty)
        #expect(reading.noted.count == 1)
        #expect(reading.noted.first?.contains("host 'a' is left out: ansible_connection is 'local'") == true)
        #expect(reading.layout == ["dcn1: b"])
        #expect(read("nova_compute: {hosts: {a: }, vars: {ansible_connection: local}}").said.count == 1)
    }

    @Test func secretsAreNotShown() {
        let reading = reading("ansible_password: hunter2, ansible_become_pass: hunter2")
        #expect(reading.noted.count == 2)
        #expect(reading.noted.allSatisfy { !$0.contains("hunter2") })
    }

    @Test func theNetworkOfPeersIsConfigurable() {
        let reading = read("nova_compute: {hosts: {c: {tenant_ip: 10.1.1.1, internal_api_ip: 10.2.2.2}}}") { $0.peerNetwork = "tenant" }
        #expect(reading.fleet.host("c")?.peerAddress == "10.1.1.1")
    }
}
