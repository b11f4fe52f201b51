import Engine
import ForecacheModel
import Foundation
import Testing

@testable import OpenStackAPI

/// The catalog against the lab's real Keystone and Glance. Without a lab these fail: they are never skipped.
@Suite(.serialized, .timeLimit(.minutes(2))) struct CatalogLabTests {
    private let lab: Lab
    /// Keeps this run's images apart from everybody else's.
    private let run = UUID().uuidString.lowercased()

    init() throws { lab = try Lab() }

    private func failure<T>(_ body: () async throws -> T) async -> Failure? {
        do {
            _ = try await body()
        } catch let failure as Failure {
            return failure
        } catch {
            Issue.record(error)
        }
        return nil
    }

    @Test func theRecordIsWhatWasUploaded() async throws {
        let bytes = Array("forecache \(run)".utf8)
        let fields: [String: Any] = [
            "name": "r-\(run) é", "tags": ["golden", "precache:dcn1"], "os_distro": "ubuntu", "role": "Compute", "visibility": "public",
            "protected": false,
            "min_disk": 3, "min_ram": 512, "os_hidden": true, "odd key": "a \"b\"\nc",
        ]
        let id = try await lab.create(fields, bytes: bytes)
        let facts = try #require(try await lab.catalog().image(id))
        #expect(facts.name == "r-\(run) é")
        #expect(facts.status == .active)
        #expect(facts.visibility == "public")
        #expect(facts.tags == ["golden", "precache:dcn1"])
        #expect(facts.properties == ["os_distro": "ubuntu", "role": "Compute", "odd key": "a \"b\"\nc"])
        #expect([facts.diskFormat, facts.containerFormat] == ["raw", "bare"])
        #expect(facts.sizeBytes == Int64(bytes.count))
        #expect([facts.minDiskGiB, facts.minRAMMiB] == [3, 512])
        #expect(facts.isHidden && !facts.isProtected)
        #expect(facts.owner?.isEmpty == false)
        #expect(abs(facts.createdAt.timeIntervalSinceNow) < 60)
        #expect(facts.digest?.algorithm == .sha512)
        #expect(facts.digest?.hex == (try sha512(bytes)))
        try await lab.delete([id])
        #expect(try await lab.catalog().image(id) == nil)
    }

    @Test func anImageWithoutBytesIsQueued() async throws {
        let id = try await lab.create(["name": "q-\(run)"])
        let facts = try #require(try await lab.catalog().image(id))
        #expect(facts.status == .queued)
        #expect(facts.sizeBytes == nil)
        #expect(facts.digest == nil)
        try await lab.delete([id])
    }

    @Test func allPagesWithHiddenOnesAndOtherProjectsCommunityOnes() async throws {
        var made: [ImageID] = []
        for number in 0..<5 { made.append(try await lab.create(["name": "p-\(run)", "os_hidden": number % 2 == 0])) }
        for number in 0..<2 {
            let another = UUID().uuidString.replacing("-", with: "").lowercased()
            let fields: [String: Any] = ["name": "p-\(run)", "visibility": "community", "owner": another, "os_hidden": number == 0]
            made.append(try await lab.create(fields))
        }
        let catalog = try lab.catalog(pageSize: 2)
        #expect(Set(try await catalog.images(named: nil).map(\.id)).isSuperset(of: made))
        // By a name strangers' images are not meant: anybody could give one to his own.
        #expect(try await catalog.images(named: "p-\(run)").map(\.id) == made.prefix(5).sorted())
        try await lab.delete(made)
    }

    @Test(arguments: [
        "plain", "in:a,b", "a,b", "\"quoted\"", "a:b", "eq:x", "100% & more?", "名前", " lead", "a+b", "neq:y", "2026-11-22T00:00:00Z",
    ])
    func namesOfAllKindsAreFound(name: String) async throws {
        let full = "\(name) \(run)"
        let id = try await lab.create(["name": full])
        #expect(try await lab.catalog().images(named: full).map(\.id) == [id])
        try await lab.delete([id])
    }

    @Test func noSuchImageIsNil() async throws {
        #expect(try await lab.catalog().image(ImageID(UUID().uuidString)!) == nil)
        #expect(try await lab.catalog().images(named: "none-\(run)").isEmpty)
    }

    @Test func aWrongPasswordIsSaidPlainly() async throws {
        let environment = lab.variables.merging(["OS_PASSWORD": "wr0ng-\(run)"]) { $1 }
        let catalog = try lab.catalog(Credentials.load(cloud: nil, environment: environment, readFile: { _ in nil }))
        let error = await failure { try await catalog.images(named: "none-\(run)") }
        #expect(error?.kind == .permanent)
        #expect(error?.description.contains("POST \(lab.credentials.authURL)/auth/tokens: Keystone refused user 'admin'") == true)
        #expect(error?.description.contains("answered 401") == true)
        #expect(error?.description.contains("wr0ng") == false)
    }

    @Test func aRevokedTokenIsRenewedOnce() async throws {
        let catalog = try lab.catalog()
        let before = try await catalog.glance.keystone.token().text
        try await lab.revoke(before)
        _ = try await catalog.images(named: "none-\(run)")
        #expect(try await catalog.glance.keystone.token().text != before)
    }

    @Test func applicationCredentials() async throws {
        let made = try await lab.applicationCredential("ac-\(run)")
        let common = [
            "OS_AUTH_URL": lab.credentials.authURL, "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_APPLICATION_CREDENTIAL_SECRET": made.secret,
        ]
        for own in [["OS_APPLICATION_CREDENTIAL_ID": made.id], ["OS_APPLICATION_CREDENTIAL_NAME": "ac-\(run)", "OS_USER_ID": made.user]] {
            let environment = common.merging(own) { $1 }
            let credentials = try Credentials.load(cloud: nil, environment: environment, readFile: { _ in nil })
            #expect(try await lab.catalog(credentials).images(named: "none-\(run)").isEmpty)
        }
        try await lab.call(.delete, "\(lab.credentials.authURL)/users/\(made.user)/application_credentials/\(made.id)")
    }

    @Test func cloudsYAMLAndSystemScope() async throws {
        let file = try #require(lab.variables["CLOUDS_YAML"])
        let environment = ["OS_CLIENT_CONFIG_FILE": file]
        let credentials = try Credentials.load(cloud: "lab", environment: environment) { try? String(contentsOfFile: $0, encoding: .utf8) }
        #expect(try await lab.catalog(credentials).images(named: "none-\(run)").isEmpty)
        var system = lab.credentials
        system.scope = .system
        #expect(try await lab.catalog(system).glance.keystone.token().text != Secret(""))
    }

    @Test func fiftyAtOnce() async throws {
        let id = try await lab.create(["name": "f-\(run)"])
        let catalog = try lab.catalog()
        try await withThrowingTaskGroup(of: ImageFacts?.self) { group in
            for _ in 0..<50 { group.addTask { try await catalog.image(id) } }
            for try await facts in group { #expect(facts?.id == id) }
        }
        try await lab.delete([id])
    }

    @Test func theGrantServesCurlWithARange() async throws {
        let id = try await lab.create(["name": "g-\(run)"], bytes: Array("0123456789abcdef".utf8))
        for endpoint in [nil, lab.variables["GLANCE_URL"], lab.glance] {
            let grant = try await lab.catalog().download(of: id, endpoint: endpoint, refused: nil)
            let curl = Process()
            curl.executableURL = URL(filePath: "/usr/bin/curl")
            curl.arguments = ["-sS", "--config", "-"]
            let (input, output) = (Pipe(), Pipe())
            (curl.standardInput, curl.standardOutput) = (input, output)
            try curl.run()
            let settings = "url = \"\(grant.url)\"\nheader = \"X-Auth-Token: \(grant.token.reveal())\"\nrange = \"4-7\"\n"
            try input.fileHandleForWriting.write(contentsOf: Data(settings.utf8))
            try input.fileHandleForWriting.close()
            let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
            curl.waitUntilExit()
            #expect(String(decoding: bytes, as: UTF8.self) == "4567")
        }
        try await lab.delete([id])
    }

    private func sha512(_ bytes: [UInt8]) throws -> String {
        let sum = Process()
        sum.executableURL = URL(filePath: "/usr/bin/sha512sum")
        let (input, output) = (Pipe(), Pipe())
        (sum.standardInput, sum.standardOutput) = (input, output)
        try sum.run()
        try input.fileHandleForWriting.write(contentsOf: Data(bytes))
        try input.fileHandleForWriting.close()
        let line = try output.fileHandleForReading.readToEnd() ?? Data()
        sum.waitUntilExit()
        return String(decoding: line.prefix(128), as: UTF8.self)
    }
}
