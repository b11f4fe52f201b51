import Engine
import ForecacheModel
import Foundation
import Logging
import Testing

@testable import OpenStackAPI

/// Nova's API where it is too old, forbids or goes wrong; the real one is asked in `EndToEndTests`.
@Suite(.serialized, .timeLimit(.minutes(4))) struct NovaAPITests {
    private let id = ImageID("07bc2424-753b-4f65-9da5-5a99d8383fe6")!
    private let aggregate = HostAggregate(id: 7, uuid: "u-7", name: "dcn1", hosts: [])
    private static let version = ["OpenStack-API-Version": "compute 2.81"]
    private static let list =
        #"{"aggregates": [{"id": 6, "uuid": "u-6", "name": "other", "hosts": []}, {"id": 7, "uuid": "u-7", "name": "dcn1", "hosts": ["c0.example.org"], "metadata": {}}]}"#

    private func nova(
        endpoint: String = "/compute/v2.1", _ routes: [String: [FaultServer.Answer]], services: String? = nil
    ) throws -> (NovaAPI, FaultServer) {
        let compute = #"[{"type": "compute", "endpoints": [{"interface": "public", "region_id": "R1", "url": "{origin}\#(endpoint)"}]}]"#
        let (nova, server, _) = try cloud(routes, services ?? compute)
        return (nova, server)
    }

    /// A server ends with its last reference, and a test asks it until the test's own end.
    private final class Servers {
        private var kept: [FaultServer] = []
        func keep(_ server: FaultServer) { kept.append(server) }
    }

    private let servers = Servers()

    private func cloud(
        _ routes: [String: [FaultServer.Answer]], _ services: String
    ) throws -> (NovaAPI, FaultServer, OpenStackCatalog) {
        let body = #"{"token": {"expires_at": "2099-11-22T13:00:00.000000Z", "catalog": \#(services)}}"#
        let login = FaultServer.Answer(status: 201, headers: ["X-Subject-Token": "tok"], body: body)
        let server = try FaultServer(routes.merging(["POST /id/v3/auth/tokens": [login]]) { $1 })
        servers.keep(server)
        let environment = [
            "OS_AUTH_URL": server.origin + "/id", "OS_USERNAME": "u", "OS_PASSWORD": "s3cret", "OS_PROJECT_NAME": "p",
            "OS_DEFAULT_DOMAIN": "Default",
        ]
        let credentials = try Credentials.load(cloud: nil, environment: environment, readFile: { _ in nil })
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let catalog = try OpenStackCatalog(credentials: credentials, limits: Limits(), logger: logger)
        return (NovaAPI(sharing: catalog), server, catalog)
    }

    @Test(arguments: ["/compute/v2.1", "/compute/v2.1/", "/compute", "/compute/v2/"])
    func anAggregateIsFoundByNameAndAskedForOneImage(endpoint: String) async throws {
        let (nova, server) = try nova(
            endpoint: endpoint,
            [
                "GET /compute/v2.1/os-aggregates": [.init(headers: Self.version, body: Self.list)],
                "POST /compute/v2.1/os-aggregates/7/images": [
                    .init(status: 202, headers: Self.version.merging(["x-openstack-request-id": "req-1"]) { $1 })
                ],
            ])
        let found = try await nova.aggregate(named: "dcn1")
        #expect(found == HostAggregate(id: 7, uuid: "u-7", name: "dcn1", hosts: ["c0.example.org"]))
        #expect(try await nova.cache(id, in: found) == "req-1")
        let response = try await HTTPClient().send(HTTPRequest(service: "test", url: server.origin + "/__seen"))
        let asked = try #require(try JSONDecoder().decode([FaultServer.Seen].self, from: Data(response.body)).last)
        #expect(asked.headers["openstack-api-version"] == "compute 2.81" && asked.headers["x-auth-token"] == "tok")
        #expect(asked.body == #"{"cache": [{"id": "\#(id)"}]}"#)
    }

    @Test func aProjectInTheEndpointStays() {
        #expect(ServiceURL.novaV21("http://h/v2.1/0123") == "http://h/v2.1/0123")
        #expect(ServiceURL.novaV21("http://h/v2/0123") == "http://h/v2.1/0123")
    }

    @Test func anAggregateThatIsNotThereIsSaidWithThoseThatAre() async throws {
        let (nova, _) = try nova(["GET /compute/v2.1/os-aggregates": [.init(headers: Self.version, body: Self.list)]])
        let failure = await failure { try await nova.aggregate(named: "dcn9") }
        #expect(failure?.kind == .permanent)
        #expect(failure?.description.contains("no host aggregate 'dcn9' (it has dcn1, other)") == true)
    }

    @Test(arguments: [
        // Nova's own words where it is older, and an endpoint that knows no microversions at all.
        (FaultServer.Answer(status: 406, body: "Version 2.81 is not supported by the API. … maximum is 2.79."), "maximum is 2.79"),
        (FaultServer.Answer(body: NovaAPITests.list), "version 'unknown'"),
        (FaultServer.Answer(headers: ["X-OpenStack-Nova-API-Version": "2.1"], body: NovaAPITests.list), "version 'compute 2.1'"),
    ])
    func aNovaThatIsTooOldIsSaidToBe(answer: FaultServer.Answer, reason: String) async throws {
        let (nova, _) = try nova(["GET /compute/v2.1/os-aggregates": [answer]])
        let failure = await failure { try await nova.aggregate(named: "dcn1") }
        #expect(failure?.kind == .permanent)
        #expect(failure?.description.contains("does not have microversion 2.81") == true)
        #expect(failure?.description.contains(reason) == true)
    }

    @Test(arguments: [
        (403, Failure.Kind.permanent, "os_compute_api:os-aggregates:images"), (404, .retriable, "does not know aggregate 7"),
        (409, .retriable, "cannot answer now"), (503, .retriable, "cannot answer now"), (429, .retriable, "cannot answer now"),
        (400, .permanent, "an answer we cannot use"), (401, .permanent, "refuses a fresh token"),
    ])
    func eachRefusalSaysWhatToDo(status: Int, kind: Failure.Kind, reason: String) async throws {
        let (nova, _) = try nova(["POST /compute/v2.1/os-aggregates/7/images": [.init(status: status, body: "tok went wrong")]])
        let failure = await failure { try await nova.cache(id, in: aggregate) }
        #expect(failure?.kind == kind)
        #expect(failure?.description.contains(reason) == true)
        #expect(failure?.description.contains("tok went") == false)
    }

    @Test func aCertificateIsTheSecretsPayloadInWhicheverForm() async throws {
        let services = #"[{"type": "key-manager", "endpoints": [{"interface": "public", "region_id": "R1", "url": "{origin}/keys/"}]}]"#
        let secret = "GET /keys/v1/secrets/\(id)/payload"
        let other = "GET /keys/v1/secrets/07bc2424-753b-4f65-9da5-5a99d8383fe7/payload"
        let (_, server, catalog) = try cloud(
            [secret: [.init(status: 406), .init(body: "-----BEGIN CERTIFICATE-----"), .init(status: 403)], other: [.init(status: 404)]],
            services)
        let barbican = Barbican(sharing: catalog)
        #expect(try await barbican.certificate(id.text) == Array("-----BEGIN CERTIFICATE-----".utf8))
        #expect(try await barbican.certificate("07bc2424-753b-4f65-9da5-5a99d8383fe7") == nil)
        let forbidden = await failure { try await barbican.certificate(id.text) }
        #expect(forbidden?.kind == .permanent)
        #expect(
            forbidden?.description.contains("to read certificate \(id); another project's is ours to read once its owner allows it") == true
        )
        withExtendedLifetime(server) {}
    }

    @Test func aCloudWithoutNovaAndAnswersThatAreNone() async throws {
        let (without, _) = try nova([:], services: #"[{"type": "image", "endpoints": []}]"#)
        #expect(await failure { try await without.aggregate(named: "dcn1") }?.description.contains("no service of type 'compute'") == true)
        let (odd, _) = try nova(["GET /compute/v2.1/os-aggregates": [.init(headers: Self.version, body: #"{"aggregates": 1}"#)]])
        #expect(await failure { try await odd.aggregate(named: "dcn1") }?.description.contains("not a list of aggregates") == true)
    }
}
