import Foundation
import Testing

/// `plan` with images of a file, in a review pipeline: no Glance, no hosts, no credentials.
@Suite(.timeLimit(.minutes(4))) struct PlanCommandTests {
    private let program: Program

    init() throws {
        program = try Program()
        _ = try program.writeInventory()
        try program.write(
            "rules/golden.yaml",
            """
            apiVersion: forecache/v1
            rules:
              - { name: golden, match: { tag: golden } }
              - { name: dry, mode: dry-run, match: { tag: dry } }
            """)
        try program.write("f.yaml", "inventory: [inventories]\nrules: [rules]\nstate: ledger.sqlite\n")
    }

    private static let listed = """
        [{"ID": "00000000-0000-4000-8000-000000000001", "Name": "ubuntu", "Disk Format": "qcow2", "Container Format": "bare", "Size": 3000000000,
          "Checksum": "d41d8cd98f00b204e9800998ecf8427e", "Status": "active", "Visibility": "public", "Protected": false,
          "Project": "9f3a", "Tags": ["golden"]},
         {"ID": "00000000-0000-4000-8000-000000000002", "Name": "other", "Disk Format": "raw", "Container Format": "bare", "Size": 5,
          "Checksum": null, "Status": "active", "Visibility": "public", "Protected": false, "Project": "9f3a", "Tags": ["dry"]},
         {"ID": "not a UUID"}]
        """

    private func plan(_ words: String...) async throws -> Program.Ended { try await program.run(["plan", "--config", "f.yaml"] + words) }

    @Test func aListOfOpenstacksIsPlannedWithoutAskingAnybody() async throws {
        try program.write("images.json", Self.listed)
        let ended = try await plan("--images", "images.json", "--offline", "--output", "json")
        #expect(ended.code == 0, "\(ended.errors)")
        #expect(ended.errors.contains("no properties"))
        #expect(ended.errors.contains("image 3 is passed over: 'ID' is not a UUID"))
        let json = try ended.json()
        let images = try #require(json["images"] as? [[String: Any]])
        #expect(images.map { $0["name"] as? String } == ["ubuntu", "other"])
        let placements = images.map { ($0["placements"] as? [[String: Any]] ?? []).map { $0["action"] as? String } }
        #expect(placements == [["fetch", "fetch"], ["none", "none"]])
        let totals = try #require(json["totals"] as? [String: Any])
        #expect(totals["wan_bytes"] as? Int == 6_000_000_000)
        #expect(totals["surveyed"] as? Bool == false)
        #expect([totals["fetch"], totals["copy"], totals["touch"], totals["none"]].map { $0 as? Int } == [2, 0, 0, 2])
        let site = try #require((totals["sites"] as? [[String: Any]])?.first)
        #expect(site["site"] as? String == "dcn1")
        #expect(site["wan_bytes"] as? Int == 6_000_000_000)
        #expect(site["seconds"] is NSNull)
        let hosts = try #require(totals["hosts"] as? [[String: Any]])
        #expect(hosts.map { $0["needed_bytes"] as? Int } == [3_000_000_000, 3_000_000_000])
        #expect(hosts.allSatisfy { $0["free_bytes"] is NSNull && $0["fits"] is NSNull })
        #expect((json["no_longer_wanted"] as? [Any])?.isEmpty == true)
    }

    @Test func peopleGetAShortDifference() async throws {
        try program.write("images.json", Self.listed)
        let ended = try await plan("--images", "images.json", "--offline")
        #expect(ended.code == 0)
        let lines = ended.output.split(separator: "\n").map(String.init)
        #expect(lines.contains("image 00000000-0000-4000-8000-000000000001 (ubuntu), 2.8 GiB"))
        #expect(lines.contains("  + fetch dcn1 (Compute) via direct: dcn1-compute-0, dcn1-compute-1, from glance"))
        #expect(lines.contains { $0.hasPrefix("dcn1  5.6 GiB") })
        #expect(lines.contains { $0.hasPrefix("2 to fetch, 0 to copy, 0 to touch, 0 no longer wanted, 2 left alone, no host was asked") })
        #expect(lines.last == "2 images, 2 changes planned")
    }

    @Test func onlyNamedImagesAndOneCopyASiteWithAProxy() async throws {
        try program.write("images.json", Self.listed)
        try program.write("f.yaml", "inventory: [inventories]\nrules: [rules]\nsites: { dcn1: { via: proxy } }\nstate: ledger.sqlite\n")
        let ended = try await plan("ubuntu", "--images", "images.json", "--offline", "--output", "json")
        #expect(ended.code == 0, "\(ended.errors)")
        let json = try ended.json()
        #expect((json["images"] as? [Any])?.count == 1)
        let totals = try #require(json["totals"] as? [String: Any])
        #expect(totals["wan_bytes"] as? Int == 3_000_000_000)
        #expect(totals["lan_bytes"] as? Int == 3_000_000_000)
    }

    /// Nobody was asked which tools are there, and so nobody is said to have none.
    @Test func relayedSitesAreCountedWithOneCopy() async throws {
        try program.write("images.json", Self.listed)
        try program.write("f.yaml", "inventory: [inventories]\nrules: [rules]\nsites: { dcn1: { via: relay } }\nstate: ledger.sqlite\n")
        let ended = try await plan("ubuntu", "--images", "images.json", "--offline", "--output", "json")
        let totals = try #require(try ended.json()["totals"] as? [String: Any])
        #expect(totals["wan_bytes"] as? Int == 3_000_000_000)
    }

    @Test func glancesOwnAnswerIsUnderstoodAndHostsThatAreAwayAreSaid() async throws {
        let record = """
            {"id": "00000000-0000-4000-8000-000000000001", "name": "ubuntu", "status": "active", "visibility": "public", "size": 7, "tags": ["golden"],
             "disk_format": "raw", "container_format": "bare", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
            """
        try program.write("page.json", #"{"images": [\#(record)], "next": "/v2/images?marker=x"}"#)
        try program.write("list.json", "[\(record)]")
        try program.write("one.json", record)
        for file in ["page.json", "list.json", "one.json"] {
            let ended = try await plan("--images", file, "--output", "json")
            #expect(ended.code == 0, "\(ended.errors)")
            let totals = try #require(try ended.json()["totals"] as? [String: Any])
            #expect(totals["unreachable"] as? Int == 2)
            #expect(totals["fetch"] as? Int == 0)
            #expect(ended.errors.contains("one page of several") == (file == "page.json"))
        }
    }

    @Test(arguments: ["", "nonsense", "{}", "[1]", "3", "{\"images\": 3}", "[[[[", "null"])
    func whatIsNotImagesIsRefused(text: String) async throws {
        try program.write("images.json", text)
        let ended = try await plan("--images", "images.json", "--offline")
        // A list of things that are no images is an empty one, with a note.
        #expect(ended.code == (text == "[1]" ? 0 : 1), "\(text)")
        #expect(ended.errors.contains("images.json"))
    }

    /// The one rule's own word is another, and so is the site's.
    @Test(arguments: [
        ["--proxy-host", "dcn1-compute-1"], ["--via", "proxy", "--proxy-host", "dcn1-compute-1"],
        ["-e", "tripleo_nova_image_cache_use_proxy=true tripleo_nova_image_cache_proxy_hostname=dcn1-compute-1"],
    ])
    func theCallWinsOverRulesAndSites(words: [String]) async throws {
        try program.write("images.json", Self.listed)
        let rule = "{ name: golden, match: { tag: golden }, deliver: { via: direct } }"
        try program.write("rules/golden.yaml", "apiVersion: forecache/v1\nrules:\n  - \(rule)\n")
        try program.write(
            "inventories/dcn1.yaml",
            """
            nova_compute:
              hosts: { dcn1-compute-0: { internal_api_ip: 127.0.0.2 }, dcn1-compute-1: { internal_api_ip: 127.0.0.3 } }
            dcn1: { children: { nova_compute: {} } }
            """)
        try program.write("f.yaml", "inventory: [inventories]\nrules: [rules]\nsites: { dcn1: { via: relay } }\nstate: ledger.sqlite\n")
        let ended = try await program.run(
            ["plan", "--config", "f.yaml", "--check", "--images", "images.json", "--offline", "--output", "json"] + words)
        #expect(ended.code == 0, "\(ended.errors)")
        let image = try #require((try ended.json()["images"] as? [[String: Any]])?.first)
        let placements = try #require(image["placements"] as? [[String: Any]])
        #expect(placements.map { $0["via"] as? String } == ["proxy", "proxy"])
        let sources = placements.map { [$0["host"], $0["action"], $0["source"]].map { $0 as? String } }
        #expect(Set(sources) == [["dcn1-compute-1", "fetch", "glance"], ["dcn1-compute-0", "copy", "dcn1-compute-1"]])
    }

    @Test func aProxyHostSaysNothingOfOtherSites() async throws {
        try program.write("images.json", Self.listed)
        let rule = "{ name: golden, match: { tag: golden }, deliver: { via: direct } }"
        try program.write("rules/golden.yaml", "apiVersion: forecache/v1\nrules:\n  - \(rule)\n")
        try program.write(
            "inventories/dcn2.yaml",
            """
            dcn2_nova_compute: { hosts: { dcn2-compute-0: {}, dcn2-compute-1: {} }, vars: { tripleo_role_name: Compute } }
            dcn2: { children: { dcn2_nova_compute: {} } }
            """)
        let ended = try await plan("--images", "images.json", "--offline", "--output", "json", "--proxy-host", "dcn1-compute-0")
        #expect(ended.code == 0, "\(ended.errors)")
        let image = try #require((try ended.json()["images"] as? [[String: Any]])?.first)
        let placements = try #require(image["placements"] as? [[String: Any]])
        #expect(placements.count == 4)
        for row in placements { #expect(row["via"] as? String == (row["site"] as? String == "dcn1" ? "proxy" : "direct")) }
    }

    /// In CI the secret is rightly absent, and the service copies from a proxy by its other address.
    @Test func neitherTheBrokersSecretNorAPeerAddressIsNeeded() async throws {
        try program.write("images.json", Self.listed)
        let sites = "sites: { dcn1: { via: proxy, seed: dcn1-compute-1 } }"
        let notifications = "notifications: { url_file: secret }"
        try program.write("f.yaml", "\(notifications)\ninventory: [inventories]\nrules: [rules]\n\(sites)\nstate: ledger.sqlite\n")
        let ended = try await plan("--images", "images.json", "--offline", "--output", "json")
        #expect(ended.code == 0, "\(ended.errors)")
        let totals = try #require(try ended.json()["totals"] as? [String: Any])
        #expect([totals["fetch"], totals["copy"]].map { $0 as? Int } == [1, 1])
        #expect(ended.errors.contains("note: 'cache' refuses this: proxy host dcn1-compute-1 has no variable 'internal_api_ip' in "))
        for command in ["watch", "events"] {
            let listening = try await program.run(command, "--config", "f.yaml")
            #expect((listening.code, listening.errors.contains("f.yaml:1:28: cannot read ")) == (78, true), "\(listening.errors)")
        }
    }

    @Test func whatIsNotInTheFileIsSaidOfTheFile() async throws {
        try program.write("images.json", Self.listed)
        let ended = try await plan("--images", "images.json", "--offline", "debian")
        #expect((ended.code, ended.errors.contains("no image 'debian' in images.json\n")) == (1, true), "\(ended.errors)")
    }

    @Test func usage() async throws {
        #expect(try await plan("--offline").code == 64)
        #expect(try await plan("--images", "nowhere.json", "--offline").code == 1)
        try program.write("f.yaml", "inventory: [inventories]\n")
        try program.write("images.json", Self.listed)
        let ended = try await plan("--images", "images.json", "--offline", "ubuntu")
        #expect(ended.code == 64)
        #expect(ended.errors.contains("where images go is left to the rules, and there are none"))
    }
}
