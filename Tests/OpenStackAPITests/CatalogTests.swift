import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import Logging
import Synchronization
import Testing

@testable import OpenStackAPI

/// The catalog against a Keystone and Glance that misbehave in ways the real ones cannot be made to. The real ones are asked in `OpenStackLabTests`.
@Suite(.serialized, .timeLimit(.minutes(4))) struct CatalogTests {
    private let id = ImageID("07bc2424-753b-4f65-9da5-5a99d8383fe6")!
    private let clock = TestClock()
    private let list = "/image/v2/images"
    private var show: String { "GET \(list)/\(id)" }

    private func record(_ number: Int = 0) -> String {
        let other = number == 0 ? id.text : "00000000-0000-0000-0000-\(String(repeating: "0", count: 12 - "\(number)".count))\(number)"
        return "{\"id\": \"\(other)\", \"created_at\": \"2026-11-22T16:10:06Z\", \"updated_at\": \"2026-11-22T16:10:06Z\", \"name\": \"n\"}"
    }

    private func login(
        _ token: String = "tok", expires: String = "2026-11-22T13:00:00.000000Z", catalog: String? = nil, wait: Double? = nil
    ) -> FaultServer.Answer {
        let endpoint = "{\"interface\": \"public\", \"region_id\": \"R1\", \"url\": \"{origin}/image/\"}"
        let services = catalog ?? "[{\"type\": \"image\", \"endpoints\": [\(endpoint)]}]"
        let body = "{\"token\": {\"issued_at\": \"2026-11-22T12:00:00.000000Z\", \"expires_at\": \"\(expires)\", \"catalog\": \(services)}}"
        return .init(status: 201, headers: ["X-Subject-Token": token], body: body, wait: wait)
    }

    private func cloud(_ logins: [FaultServer.Answer], _ routes: [String: [FaultServer.Answer]]) throws -> FaultServer {
        try FaultServer(routes.merging(["POST /id/v3/auth/tokens": logins]) { $1 })
    }

    private static let reasons: @Sendable (LogEvent) -> String = { "\($0.level): \($0.message): \($0.metadata?["reason"] ?? "")" }

    private func catalog(
        _ server: FaultServer, _ variables: [String: String] = [:], stallSeconds: Int = 5,
        logger: Logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    ) throws -> OpenStackCatalog {
        let environment = [
            "OS_AUTH_URL": server.origin + "/id", "OS_USERNAME": "u", "OS_PASSWORD": "s3cret", "OS_PROJECT_NAME": "p",
            "OS_DEFAULT_DOMAIN": "Default",
        ]
        let credentials = try Credentials.load(cloud: nil, environment: environment.merging(variables) { $1 }, readFile: { _ in nil })
        return try OpenStackCatalog(
            credentials: credentials, logger: logger, deadlines: HTTPDeadlines(stallSeconds: stallSeconds), pageSize: 2,
            now: { [clock] in clock.now })
    }

    private func seen(_ server: FaultServer) async throws -> [FaultServer.Seen] {
        let response = try await HTTPClient().send(HTTPRequest(service: "test", url: server.origin + "/__seen"))
        return try JSONDecoder().decode([FaultServer.Seen].self, from: Data(response.body))
    }

    private func logins(_ server: FaultServer) async throws -> Int { try await seen(server).count { $0.method == "POST" } }

    // MARK: - Tokens

    @Test func oneTokenServesUntilFiveMinutesBeforeItsEnd() async throws {
        let server = try cloud([login("one"), login("two"), login("three"), login("four")], [show: [.init(body: record())]])
        let catalog = try catalog(server)
        #expect(try await catalog.image(id)?.name == "n")
        clock.advance(3299)
        #expect(try await catalog.image(id) != nil)
        #expect(try await logins(server) == 1)
        clock.advance(2)
        #expect(try await catalog.image(id) != nil)
        #expect(try await logins(server) == 2)
        clock.advance(2999)
        #expect(try await catalog.download(of: id, endpoint: nil, refused: nil).token == Secret("two"))
        clock.advance(2)
        let grant = try await catalog.download(of: id, endpoint: nil, refused: nil)
        #expect(grant.token == Secret("three"))
        #expect(grant.url == "\(server.origin)/image/v2/images/\(id)/file")
        // Several hosts come back with it at once: it is replaced once.
        for _ in 0..<2 {
            #expect(try await catalog.download(of: id, endpoint: nil, refused: grant.token).token == Secret("four"))
        }
        #expect(try await logins(server) == 4)
    }

    @Test func aShortLivedTokenIsUsedAllTheSame() async throws {
        let server = try cloud([login(expires: "2026-11-22T12:01:00Z")], [show: [.init(body: record())]])
        #expect(try await catalog(server).image(id) != nil)
    }

    @Test func callersShareOneLogin() async throws {
        let server = try cloud([login(wait: 0.3)], [show: [.init(body: record())]])
        let catalog = try catalog(server)
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<50 { group.addTask { (try? await catalog.image(id)) != nil } }
            #expect(await group.allSatisfy { $0 })
        }
        #expect(try await logins(server) == 1)
    }

    @Test func aRefusedTokenIsRenewedOnce() async throws {
        let server = try cloud([login("old"), login("new")], [show: [.init(status: 401), .init(body: record())]])
        #expect(try await catalog(server).image(id) != nil)
        #expect(try await seen(server).filter { $0.method == "GET" }.map { $0.headers["x-auth-token"] } == ["old", "new"])
    }

    @Test func aFreshTokenThatIsRefusedIsTheOperatorsToMend() async throws {
        let server = try cloud([login("old"), login("fresh")], [show: [.init(status: 401, body: "bad token fresh\u{1b}[2J")]])
        let error = await failure { try await catalog(server).image(id) }
        #expect(error?.kind == .permanent)
        #expect(
            error?.description
                == "GET \(server.origin)/image/v2/images/\(id): Glance refuses a fresh token; check Glance's [keystone_authtoken] and the clocks: "
                + "answered 401 'bad token <secret> [2J'")
        #expect(try await logins(server) == 2)
    }

    @Test func cancellationLeavesTheLoginToTheOthers() async throws {
        let server = try cloud([login(wait: 0.5), login("late")], [show: [.init(body: record())]])
        let catalog = try catalog(server)
        let stays = Task { try? await catalog.image(id) }
        while try await logins(server) == 0 { await Task.yield() }
        let leaves = Task { await failure { try await catalog.image(id) }?.kind }
        leaves.cancel()
        #expect(await leaves.value == .cancelled)
        #expect(await stays.value != nil)
    }

    @Test func aHangingLoginEndsWithItsLastWaiterAndTheNextOneStartsAfresh() async throws {
        let server = try cloud([.init(hang: true), login()], [show: [.init(body: record())]])
        let catalog = try catalog(server, stallSeconds: 30)
        let task = Task { await failure { try await catalog.image(id) }?.kind }
        while try await logins(server) == 0 { await Task.yield() }
        let began = ContinuousClock.now
        task.cancel()
        #expect(await task.value == .cancelled)
        #expect(try await catalog.image(id) != nil)
        #expect(ContinuousClock.now - began < .seconds(10))
    }

    @Test(arguments: [
        (401, Failure.Kind.permanent, "Keystone refused user 'u' of the OS_* environment; check name, secret, project"),
        (403, .permanent, "forbids user 'u'"),
        (404, .permanent, "no Keystone v3 there; check OS_AUTH_URL"), (503, .retriable, "is Keystone healthy?"),
        (429, .retriable, "is Keystone healthy?"),
        (200, .permanent, "no X-Subject-Token"), (400, .permanent, "did not accept the log-in of user 'u'"),
    ])
    func loginsThatFail(status: Int, kind: Failure.Kind, text: String) async throws {
        let server = try cloud([.init(status: status, body: "no s3cret\nhere")], [:])
        let error = await failure { try await catalog(server).image(id) }
        #expect(error?.kind == kind)
        #expect(error?.description.contains("POST \(server.origin)/id/v3/auth/tokens: ") == true)
        #expect(error?.description.contains(text) == true, "\(String(describing: error))")
        #expect(error?.description.contains("s3cret") == false)
    }

    @Test(arguments: ["", "{}", "[]", "{\"token\": {}}", "{\"token\": {\"expires_at\": \"soon\"}}", "{\"token\": {\"expires_at\": 3}}"])
    func tokensThatAreNone(body: String) async throws {
        let server = try cloud([.init(status: 201, headers: ["X-Subject-Token": "t"], body: body)], [:])
        #expect(
            await failure { try await catalog(server).image(id) }?.description.contains("not a token") == true)
    }

    // MARK: - Endpoints

    @Test func endpointsAreChosenNotGuessed() async throws {
        let endpoints = [("public", "R1", "a"), ("public", "R2", "b"), ("internal", "R1", "c")].map {
            "{\"interface\": \"\($0)\", \"region_id\": \"\($1)\", \"url\": \"{origin}/\($2)\"}"
        }
        let both = "[{\"type\": \"image\", \"endpoints\": [\(endpoints.joined(separator: ","))]}]"
        let server = try cloud([login(catalog: both)], [:])
        func url(_ variables: [String: String]) async throws -> String {
            let grant = try await catalog(server, variables).download(of: id, endpoint: nil, refused: nil)
            return String(grant.url.dropFirst(server.origin.count).prefix(2))
        }
        #expect(try await url(["OS_REGION_NAME": "R2"]) == "/b")
        #expect(try await url(["OS_INTERFACE": "internal"]) == "/c")
        #expect(try await url(["OS_IMAGE_ENDPOINT_OVERRIDE": server.origin + "/o/v2"]) == "/o")
        let several = await failure { try await url([:]) }
        #expect(
            several?.description
                == "Glance has endpoints in several regions (R1, R2); choose one by OS_REGION_NAME or `region_name` in clouds.yaml")
        let unknown = await failure { try await url(["OS_REGION_NAME": "R3"]) }
        #expect(unknown?.description.contains("in region 'R3' (only in R1, R2)") == true)
        let admin = await failure { try await url(["OS_INTERFACE": "admin"]) }
        #expect(admin?.description.contains("no admin endpoint of Glance (only internal, public)") == true)
    }

    @Test func aCatalogWithoutGlance() async throws {
        let server = try cloud([login(catalog: "[{\"type\": \"compute\", \"endpoints\": []}]")], [:])
        let error = await failure { try await catalog(server).images(named: nil) }
        #expect(error?.description.contains("has no service of type 'image' (it has compute)") == true)
    }

    @Test func sitesHaveTheirOwnGlance() async throws {
        let server = try cloud([login()], [:])
        let catalog = try catalog(server)
        #expect(
            try await catalog.download(of: id, endpoint: "http://dcn1:9292/", refused: nil).url == "http://dcn1:9292/v2/images/\(id)/file")
        #expect(
            try await catalog.download(of: id, endpoint: "https://dcn1/image/v2", refused: nil).url
                == "https://dcn1/image/v2/images/\(id)/file")
        let error = await failure { try await catalog.download(of: id, endpoint: "dcn1:9292", refused: nil) }
        #expect(error?.kind == .permanent)
        #expect(error?.description.contains("check `glance:` of the site") == true)
    }

    // MARK: - Glance's answers

    @Test(arguments: [
        (403, Failure.Kind.permanent), (500, .retriable), (503, .retriable), (429, .retriable), (300, .permanent), (400, .permanent),
    ])
    func statuses(status: Int, kind: Failure.Kind) async throws {
        let server = try cloud([login()], [show: [.init(status: status, body: "<html>why</html>")]])
        let error = await failure { try await catalog(server).image(id) }
        #expect(error?.kind == kind)
        #expect(error?.description.contains("answered \(status) '<html>why</html>'") == true)
    }

    @Test func recordsThatAreNone() async throws {
        let server = try cloud([login()], [show: [.init(body: "<html>"), .init(body: "{}"), .init(body: record(7))]])
        let catalog = try catalog(server)
        for text in ["not readable as JSON", "'id' is not a UUID", "answered with image 00000000-0000-0000-0000-000000000007"] {
            let error = await failure { try await catalog.image(id) }
            #expect(error?.kind == .permanent)
            #expect(error?.description.contains(text) == true, "\(String(describing: error))")
        }
    }

    @Test func bytesOfARange() async throws {
        let file = "\(show)/file"
        func bytes(_ answer: FaultServer.Answer, _ range: Range<Int64> = 0..<10) async throws -> Result<[UInt8], Failure> {
            let server = try cloud([login()], [file: [answer]])
            defer { withExtendedLifetime(server) {} }
            let catalog = try catalog(server, stallSeconds: 30)
            do throws(Failure) { return .success(try await catalog.bytes(of: id, in: range)) } catch { return .failure(error) }
        }
        let ten = Array("0123456789".utf8)
        #expect(try await bytes(.init(status: 206, body: "0123456789"), 5..<15).get() == ten)
        #expect(try await bytes(.init(body: "0123456789")).get() == ten, "the whole image was asked for")
        // One that does not know ranges is found out by its beginning, long before it has sent everything.
        let whole = FaultServer.Answer(body: "0123456789", repeat: 50_000, length: 1 << 40, stall: true)
        for answer in [whole, .init(body: "0123456789x"), .init(body: "0123456789", repeat: 1000)] {
            let failure = try await error(of: bytes(answer))
            #expect(failure?.kind == .permanent)
            #expect(
                failure?.context.hasSuffix(
                    "Glance's store does not answer ranges, so the image can be neither inspected nor sent through the controller") == true)
        }
        #expect(try await error(of: bytes(.init(body: "0123456789"), 1..<11))?.kind == .permanent)
        for (body, count) in [("012345678", "9"), ("0123456789x", "more")] {
            let failure = try await error(of: bytes(.init(status: 206, body: body)))
            #expect(failure?.kind == .retriable)
            #expect(failure?.context.contains("\(count) bytes came where 10 were asked for") == true)
        }
        let page = try await error(of: bytes(.init(status: 503, body: "<html>busy</html>", repeat: 1000)))
        #expect(page?.kind == .retriable)
        #expect(page?.description.contains("answered 503 '<html>busy</html>") == true)
    }

    private func error(of result: Result<[UInt8], Failure>) -> Failure? {
        switch result {
        case .success: nil
        case .failure(let failure): failure
        }
    }

    @Test func anImageWhoseDigestCannotBeCheckedIsComplainedOfOnce() async throws {
        let log = WarningLog(Self.reasons)
        let odd =
            record().dropLast()
            + ", \"os_hash_algo\": \"blake2b\", \"os_hash_value\": \"00\", \"checksum\": \"\(String(repeating: "a", count: 32))\"}"
        let server = try cloud([login()], [show: [.init(body: String(odd))]])
        let catalog = try catalog(server, logger: log.logger)
        for _ in 0..<3 { #expect(try await catalog.image(id)?.digest?.algorithm == .md5) }
        #expect(
            log.warnings == ["warning: Glance's digest of the image cannot be checked: os_hash_algo is 'blake2b', which is not known here"])
    }

    @Test func pagesAreFollowedBelowTheProxysPrefix() async throws {
        let server = try cloud(
            [login()],
            [
                "GET \(list)?limit=2&os_hidden=false&visibility=all": [
                    .init(body: "{\"images\": [\(record(3)), {\"id\": 1}], \"next\": \"/v2/images?limit=2&marker=3\"}")
                ],
                "GET \(list)?limit=2&marker=3": [
                    .init(body: "{\"images\": [\(record(2))], \"next\": \"{origin}/v2/images?marker=2\"}")
                ],
                "GET \(list)?limit=2&marker=2": [.init(body: "{\"images\": []}")],
                "GET \(list)?limit=2&os_hidden=true&visibility=all": [.init(body: "{\"images\": [\(record(1)), \(record(2))]}")],
            ])
        #expect(try await catalog(server).images(named: nil).map { $0.id.text.last } == ["1", "2", "3"])
    }

    @Test func oneTenantsLongRecordsDoNotHideTheOtherImages() async throws {
        let tooLong = FaultServer.Answer(length: 33 << 20)
        // Longer than a page of several may be, and not than a page of one.
        let blanks = String(repeating: " ", count: 33 << 20)
        let server = try cloud(
            [login()],
            [
                "GET \(list)?limit=2&os_hidden=false&visibility=all": [tooLong],
                "GET \(list)?limit=1&os_hidden=false&visibility=all": [
                    .init(body: "{\"images\": [{\"id\": 1}],\(blanks)\"next\": \"/v2/images?limit=1&marker=9\"}")
                ],
                "GET \(list)?limit=2&marker=9": [.init(body: "{\"images\": [\(record(3)), \(record(2))]}")],
                "GET \(list)?limit=2&os_hidden=true&visibility=all": [.init(body: "{\"images\": []}")],
            ])
        #expect(try await catalog(server).images(named: nil).map { $0.id.text.last } == ["2", "3"])
    }

    @Test func aRecordThatFitsNowhereIsNamedByItsPlace() async throws {
        let server = try cloud([login()], ["GET \(list)": [.init(length: 65 << 20)]])
        let error = await failure { try await catalog(server).images(named: nil) }
        #expect(error?.kind == .permanent)
        #expect(error?.context.contains("(os_hidden=false&visibility=all); delete its properties, and set image_property_quota") == true)
        #expect(
            try await seen(server).filter { $0.method == "GET" }.map(\.path)
                == [2, 1].map { "\(list)?limit=\($0)&os_hidden=false&visibility=all" })
    }

    @Test func anImageOfATooLongRecordIsTheTenantsToMend() async throws {
        let server = try cloud([login()], [show: [.init(length: 5 << 20)]])
        let error = await failure { try await catalog(server).image(id) }
        #expect(error?.kind == .permanent)
        #expect(error?.context == "Glance's record of image \(id) is too long to be used; delete properties of the image")
    }

    @Test func aRecordThatCannotBeUsedIsComplainedOfOnce() async throws {
        let log = WarningLog(Self.reasons)
        let server = try cloud([login()], ["GET \(list)": [.init(body: "{\"images\": [{\"id\": \"\(id)\"}]}")]])
        let catalog = try catalog(server, logger: log.logger)
        for _ in 0..<2 { #expect(try await catalog.images(named: nil).isEmpty) }
        #expect(log.warnings == ["warning: image record cannot be used: image \(id): 'created_at' is not a time"])
    }

    @Test(arguments: [
        "http://elsewhere/v2/images?marker=1", "//elsewhere/v2/images?marker=1", "https:///x?y", "/v2/images", "",
        "/v2/images?limit=2&os_hidden=false&visibility=all",
    ])
    func pagesThatLeadAstray(next: String) async throws {
        let page = FaultServer.Answer(body: "{\"images\": [], \"next\": \"\(next)\"}")
        let server = try cloud([login()], ["GET /image/v2/images": [page]])
        let error = await failure { try await catalog(server).images(named: nil) }
        #expect(error?.kind == .permanent)
        #expect(try await seen(server).count { $0.method == "GET" } == 1)
    }

    @Test func aListThatChangesMeanwhileIsReadAgain() async throws {
        let server = try cloud(
            [login()],
            ["GET /image/v2/images": [.init(body: "{\"images\": [], \"next\": \"/v2/images?marker=gone\"}"), .init(status: 400)]])
        #expect(await failure { try await catalog(server).images(named: nil) }?.kind == .retriable)
    }

    @Test func namesAreAskedLiterallyAndComparedExactly() async throws {
        let server = try cloud([login()], ["GET /image/v2/images": [.init(body: "{\"images\": [\(record())]}")]])
        let catalog = try catalog(server)
        #expect(try await catalog.images(named: "n").count == 1)
        #expect(try await catalog.images(named: "N:\"a, b\"&limit=1").isEmpty)
        #expect(
            try await seen(server).last?.path
                == "/image/v2/images?limit=2&os_hidden=true&name=eq:N%3A%22a%2C%20b%22%26limit%3D1")
    }

    @Test func aGlanceThatIsAwayIsNamed() async throws {
        let gone = try FaultServer([:]).origin
        let server = try cloud([login()], [:])
        let error = await failure {
            try await catalog(server, ["OS_IMAGE_ENDPOINT_OVERRIDE": gone]).image(id)
        }
        #expect(error?.kind == .retriable)
        #expect(error?.description.hasPrefix("Glance at \(gone) is not reachable; is Glance up") == true)
    }
}

/// A wall clock that stands until it is moved.
private final class TestClock: Sendable {
    private let seconds = Mutex(1_795_348_800.0)

    var now: Date { Date(timeIntervalSince1970: seconds.withLock { $0 }) }

    func advance(_ by: Double) { seconds.withLock { $0 += by } }
}
