import ForecacheModel
import Inventory
import Testing

@Suite struct HostileInventoryTests {
    private func hosts(_ pattern: String) -> [String] {
        let reading = read("nova_compute: {hosts: {'\(pattern)': }}")
        return reading.said.isEmpty ? reading.fleet.hosts.map(\.name.rawValue) : []
    }

    @Test func rangesAreThoseOfAnsible() {
        #expect(hosts("c[0:3]") == ["c0", "c1", "c2", "c3"])
        #expect(hosts("c[08:10].x") == ["c08.x", "c09.x", "c10.x"])
        #expect(hosts("c[1:10:4]") == ["c1", "c5", "c9"])
        #expect(hosts("c[:2]") == ["c0", "c1", "c2"])
        #expect(hosts("r[a:c]") == ["ra", "rb", "rc"])
        #expect(hosts("r[y:B]") == ["ry", "rz", "rA", "rB"])
        #expect(hosts("r[a:b]n[1:2]") == ["ran1", "ran2", "rbn1", "rbn2"])
    }

    @Test func aPortMayStandInTheName() {
        let reading = read("nova_compute: {hosts: {'c[0:1]:2222': , 'd:77': {ansible_port: 78}, '[2001:db8::1]:24': , '2001:db8::2': }}")
        #expect(reading.said.isEmpty)
        let ports = reading.fleet.hosts.map { "\($0.name) \($0.ssh.port)" }
        #expect(ports == ["c0 2222", "c1 2222", "d 78", "2001:db8::1 24", "2001:db8::2 22"])
    }

    @Test(
        arguments: [
            "c[0:100000]", "c[0:999]d[0:999]", "c[0:99999999999999999999]", "c[5:1]", "c[1:3:0]", "c[01:100]", "c[a:3]", "c[aa:cc]", "c[1]",
            "c[1:2", "c1:2]",
            "c[1:]", "c[-1:3]", "[::1]", "-oProxyCommand=x", "a b", "a\\u0007", "a\\u202eb", "a/b", "$(x)", "c:0", "c:99999", "",
        ])
    func hostsThatCannotBeAreProblems(pattern: String) {
        let reading = read("nova_compute: {hosts: {\"\(pattern)\": }}")
        #expect(!reading.said.isEmpty)
        #expect(reading.fleet.hosts.isEmpty)
        #expect(reading.said.allSatisfy { !$0.contains("\u{7}") && !$0.contains("\u{202e}") })
    }

    @Test func hostsAreCountedOverAllFiles() {
        let files = ["a", "b"].map { InventoryFile(path: "\($0).yaml", text: "nova_compute: {hosts: {'\($0)[1:60000]': }}") }
        #expect(read(files).said.contains { $0.hasPrefix("b.yaml:1:") && $0.contains("more hosts than are read in all") })
    }

    @Test func cyclesAreNamed() {
        let reading = read("a: {children: {b: }}\nb: {children: {nova_compute: }}\nnova_compute: {children: {a: }, hosts: {c: }}\n")
        #expect(reading.said.count == 1)
        #expect(reading.said.first?.contains("'a' → 'b' → 'nova_compute' → 'a'") == true)
        #expect(read("a: {children: {a: }}\nnova_compute: {hosts: {c: }}").said.first?.contains("'a' → 'a'") == true)
        #expect(read("a: {children: {all: }}\nnova_compute: {hosts: {c: }}").said.first?.contains("'all'") == true)
    }

    @Test(
        arguments: [
            ("[nova_compute]\nc0\n", "looks like an INI inventory"), ("- a\n", "must be a mapping of groups"),
            ("text", "must be a mapping of groups"),
            ("plugin: openstack.cloud.openstack\n", "inventory plugin"), ("{\"_meta\": {\"hostvars\": {}}}", "dynamic inventory"),
            ("$ANSIBLE_VAULT;1.1;AES256\n66", "ansible-vault decrypt"), ("a: [\n", ":"),
            ("nova_compute: {hosts: [a]}", "must be a mapping, not a list"),
            ("nova_compute: {hosts: {a: 5}}", "not '5'"), ("a: {vars: {ansible_group_priority: x}}", "ansible_group_priority"),
            ("a: 1\na: 2\n", "twice"),
        ])
    func whatIsNoStaticInventoryIsSaidWithItsRemedy(text: String, words: String) {
        let reading = read(text)
        #expect(reading.said.contains { $0.hasPrefix("inventory/dcn1.yaml:") && $0.contains(words) })
    }

    @Test func whatAnsiblePassesOverIsANotice() {
        let reading = read("x: 5\ny: {deprecated: z, deprecated2: }\nnova_compute: {hosts: c}\n")
        #expect(reading.said.isEmpty)
        #expect(reading.noted.count == 3)
        #expect(reading.layout == ["dcn1: c"])
        #expect(read("c: {}\nnova_compute: {hosts: {c: }}").noted.count == 1)
        let files = [InventoryFile(path: "a", text: ""), InventoryFile(path: "b", text: "nova_compute: {hosts: c}")]
        #expect(read(files).noted == ["a:1:1: the file is empty"])
    }

    @Test func complaintsAreBounded() {
        let many = (0..<5000).map { "h\($0): {ansible_port: x}" }.joined(separator: ", ")
        let reading = read("nova_compute: {hosts: {\(many)}}")
        #expect(reading.said.count == 1000)
    }

    /// Five thousand groups below one with as many parents: walking to all ancestors of each would take 25 million steps a variable.
    @Test func manyGroupsAreWalkedOnce() {
        let parents = (0..<5000).map { "p\($0): {children: {m: }, vars: {ansible_port: 1}}" }
        let children = (0..<5000).map { "g\($0): {hosts: {h\($0): }}" }
        let names = (0..<5000).map { "g\($0): " }.joined(separator: ", ")
        let text = parents + children + ["m: {children: {\(names)}}", "nova_compute: {children: {m: }}"]
        let reading = read(text.joined(separator: "\n"))
        #expect(reading.said.isEmpty)
        #expect(reading.fleet.hosts.count == 5000)
    }

    @Test func deepChainsOfGroupsDoNotOverflow() {
        let chain =
            (0..<20_000).map { "g\($0): {children: {g\($0 + 1): }}" }
            + ["g20000: {hosts: {c: }, vars: {ansible_port: 9}}", "nova_compute: {children: {g0: }}"]
        let reading = read(chain.joined(separator: "\n"))
        #expect(reading.said.isEmpty)
        #expect(reading.fleet.host("c")?.ssh.port == 9)
    }
}
