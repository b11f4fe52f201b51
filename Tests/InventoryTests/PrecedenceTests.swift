import ForecacheModel
import Foundation
import Inventory
import Testing

@Suite struct PrecedenceTests {
    /// Generated inventories (groups at several depths, priorities, several files, `group_vars`, `host_vars`, variables taken away by `null`), each with
    /// what `ansible-inventory --list` of ansible-core 2.14.18 said about its compute hosts.
    @Test(arguments: ["precedence-5", "precedence-117", "precedence-240"])
    func variablesAreThoseOfAnsible(folder: String) throws {
        let data = try Data(contentsOf: Fixtures.folder.appending(path: "\(folder)/expected.json"))
        let expected = try #require(try JSONSerialization.jsonObject(with: data) as? [String: [String: Any]])
        let reading = read(try Fixtures.directory("\(folder)/inventory"))
        #expect(reading.said.isEmpty)
        #expect(Set(reading.fleet.hosts.map(\.name.rawValue)) == Set(expected.keys))
        for (name, variables) in expected {
            func text(_ keys: String...) -> String? {
                keys.compactMap { variables[$0] }.first { !($0 is NSNull) }.map { $0 as? String ?? "\($0)" }
            }
            let host = try #require(reading.fleet.host(HostName(name)))
            #expect(host.address == text("ansible_ssh_host", "ansible_host") ?? name)
            #expect("\(host.ssh.port)" == text("ansible_ssh_port", "ansible_port") ?? "22")
            #expect(host.ssh.user == text("ansible_ssh_user", "ansible_user") ?? "tripleo-admin")
            #expect(host.ssh.identityFiles.first == text("ansible_ssh_private_key_file", "ansible_private_key_file"))
            #expect(host.peerAddress == text("internal_api_ip"))
        }
    }

    private func port(_ text: String, of host: HostName = "c") -> Int? { read(text).fleet.host(host)?.ssh.port }

    @Test func innerGroupsWinOverOuterOnesAndHostsOverAll() {
        let base = "all: {vars: {ansible_port: 1}}\nnova_compute: {children: {inner: }, vars: {ansible_port: 2}}\n"
        #expect(port(base + "inner: {hosts: {c: }}") == 2)
        #expect(port(base + "inner: {hosts: {c: }, vars: {ansible_port: 3}}") == 3)
        #expect(port(base + "inner: {hosts: {c: {ansible_port: 4}}, vars: {ansible_port: 3}}") == 4)
    }

    @Test func ofGroupsOfOneDepthTheLaterNameWinsUnlessThePrioritySaysOtherwise() {
        let base = "nova_compute: {hosts: {c: }}\nb: {hosts: {c: }, vars: {ansible_port: 2}}\n"
        #expect(port(base + "a: {hosts: {c: }, vars: {ansible_port: 1}}") == 2)
        #expect(port(base + "a: {hosts: {c: }, vars: {ansible_port: 1, ansible_group_priority: 10}}") == 1)
    }

    @Test func aLaterFileWins() {
        let files = [("a.yaml", 1), ("b.yaml", 2)].map { path, port in
            InventoryFile(path: path, text: "nova_compute: {hosts: {c: {ansible_port: \(port)}}}")
        }
        #expect(read(files).fleet.host("c")?.ssh.port == 2)
        #expect(read(files.reversed()).fleet.host("c")?.ssh.port == 1)
    }

    @Test func ofSeveralFormsOfAVariablesFileTheFirstCountsAndDirectoriesAreReadInNameOrder() {
        func reading(_ names: [String]) -> Int? {
            let inventory = InventoryFile(path: "i/hosts.yaml", text: "nova_compute: {hosts: {c: }}")
            let variables = names.enumerated().map { InventoryFile(path: "i/group_vars/\($1)", text: "ansible_port: \($0 + 1)") }
            return read([inventory] + variables).fleet.host("c")?.ssh.port
        }
        #expect(reading(["nova_compute.yaml", "nova_compute.yml"]) == 2)
        #expect(reading(["nova_compute/b.yml", "nova_compute/a.yml", "nova_compute.yml"]) == 1)
        #expect(reading(["other.yml"]) == 22)
    }

    @Test(arguments: ["group_vars/all/vault.yml", "group_vars/nova_compute.yml", "host_vars/c/vault.yaml"])
    func anEncryptedFileOfVariablesIsPassedOver(name: String) {
        let files = [
            InventoryFile(path: "i/hosts.yaml", text: "nova_compute: {hosts: {c: }}"),
            InventoryFile(path: "i/\(name)", text: "$ANSIBLE_VAULT;1.1;AES256\n66386439653236336462626566653063\n"),
            InventoryFile(path: "i/group_vars/all/plain.yml", text: "ansible_port: 7"),
        ]
        let reading = read(files)
        #expect(reading.said == [])
        #expect(reading.noted.count == 1)
        #expect(reading.noted.first?.hasPrefix("i/\(name):1:1: the file is encrypted with ansible-vault and passed over") == true)
        #expect(reading.fleet.host("c")?.ssh.port == 7)
    }

    @Test func anchorsAndMergeKeysAreWorkedIn() {
        #expect(port("x: {vars: &v {ansible_port: 7}}\nnova_compute: {hosts: {c: {<<: *v}}}") == 7)
        #expect(port("x: {vars: &v {ansible_port: 7}}\nnova_compute: {hosts: {c: {ansible_port: 8, <<: *v}}}") == 8)
    }

    @Test func namesOfADirectory() {
        for name in ["a.yaml", "a.yml", "a.json", "hosts"] { #expect(Inventory.isInventoryFile(name)) }
        let others = [
            "", ".a.yaml", "a.yaml~", "a.orig", "a.bak", "a.ini", "a.cfg", "a.retry", "a.pyc", "a.md", "a.py", "group_vars", "host_vars",
        ]
        for name in others { #expect(!Inventory.isInventoryFile(name), "\(name)") }
    }
}
