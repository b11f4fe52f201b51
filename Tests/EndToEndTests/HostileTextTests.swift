import ForecacheTestSupport
import Foundation
import Testing

/// Names, tags, properties and host variables that mean harm, through the whole way: Glance, the broker, rules, plan, nodes, ledger and status.
@Suite(.serialized) struct HostileTextTests {
    private static let canary = "/var/log/forecache-canary"
    /// Quotes, a backslash, a command for every shell, an end of line, NUL, what a terminal would obey, and text that runs backwards.
    private static let text = "a 'b' \"c\" `touch \(canary)` $(touch \(canary)); touch \(canary)\n\r\t\u{0}\u{1B}[2J\u{202E}%s %n \\ &&|>"

    @Test func textsThatMeanHarmAreTextsEverywhere() async throws {
        let lab = try Lab()
        let nodes = ["dcn1-compute-0", "dcn1-compute-1"]
        let glance = try await Glance(lab)
        let service = try Service(
            lab,
            rules: """
                apiVersion: forecache/v1
                rules:
                  - name: by-their-own-words
                    match:
                      all:
                        - tag: "a 'b' \\"c\\" `touch *"
                        - property: { e2e_note: "a 'b'*$(touch *" }
                        - name: "a 'b'*"
                  - name: by-tag
                    match: { tag: "e2e-precache:{site}" }
                    targets: { sites: ["{site}"] }
                """)
        // The same two nodes, and variables that Ansible's users may have put beside those that count.
        let hosts = nodes.map { "\($0): { ansible_host: \(lab["ADDRESS", $0]) }" }
        let variables = ["motd", "container_cli", "tripleo_role_name", Self.quoted].map { "\($0): \(Self.quoted)" }
        try service.write(
            "hostile.yaml",
            """
            nova_compute:
              vars: { ansible_ssh_user: \(lab["SSH_USER"]), \(variables.joined(separator: ", ")) }
              hosts: { \(hosts.joined(separator: ", ")) }
            """)
        let configuration = try service.text("forecache.yaml").replacingOccurrences(of: lab["INVENTORY"], with: "hostile.yaml")
        try service.write("forecache.yaml", configuration)
        try await service.start()
        let image = try await glance.upload(
            Self.text, bytes: 100_000, tags: [Self.text, "e2e-precache:\(Self.text)"],
            properties: ["e2e_note": Self.text, Self.text: Self.text])
        try await eventually("fresh; log: \(service.log)") { try service.states(of: image) == [nodes[0]: "fresh", nodes[1]: "fresh"] }
        let wanted = try await glance.record(image)["os_hash_value"] as? String
        for node in nodes { #expect(try lab.sha512(image, on: node) == wanted) }
        #expect(try lab.leftovers(of: image).isEmpty)

        let images = try service.json(["status"])["images"] as? [[String: Any]] ?? []
        #expect(
            images.first { $0["id"] as? String == image }?["name"] as? String == Self.text.replacing("\u{0}", with: ""),
            "as the ledger keeps it")
        for words in [["status"], ["plan", image], ["explain", image], ["cache", image], ["survey"], ["inventory"]] {
            Self.isPlain(try service.command(words), "\(words)")
        }
        Self.isPlain(service.log, "log")
        #expect(try await service.stop(SIGTERM) == 0)
        for place in [Self.canary] + lab.nodes.map({ "\(lab["NODES_DIR"])/\($0)/log/forecache-canary" }) {
            #expect(!FileManager.default.fileExists(atPath: place), "\(place)")
        }
        try await glance.delete(image)
        try service.removeQueue()
    }

    /// Variables that would become part of a command are refused with their place, before anybody is logged in to.
    @Test(arguments: ["ansible_host", "ansible_user", "internal_api_ip"])
    func connectionsThatMeanHarmAreRefused(variable: String) throws {
        let service = try Service(try Lab())
        try service.write(
            "hostile.yaml", "nova_compute:\n  hosts:\n    node:\n      \(variable): \(Self.quoted)\n")
        let inventory = service.folder.appending(path: "hostile.yaml").path
        let said = try #require(throws: CommandFailed.self) { try service.command(["survey", "-i", inventory]) }.description
        #expect(said.contains("ended with 78"))
        #expect(said.contains("hostile.yaml:4:") && said.contains("\(variable) must be"))
        Self.isPlain(said, variable)
        #expect(!FileManager.default.fileExists(atPath: Self.canary))
    }

    /// As YAML has it.
    private static let quoted = String(decoding: (try? JSONEncoder().encode(text)) ?? Data(), as: UTF8.self)

    /// Nothing that a terminal would obey.
    private static func isPlain(_ said: String, _ what: String) {
        let odd = said.unicodeScalars.filter { ($0.value < 32 && $0 != "\n" && $0 != "\t") || $0 == "\u{202E}" || $0.value == 127 }
        #expect(odd.isEmpty, "\(what): \(odd.map(\.value))")
    }
}
