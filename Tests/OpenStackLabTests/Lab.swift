import ForecacheModel
import ForecacheTestSupport
import Foundation
import Logging

@testable import OpenStackAPI

/// The real Keystone and Glance that `FORECACHE_LAB_ENV` (the lab's settings file) names.
struct Lab {
    let variables: [String: String]
    let credentials: Credentials
    let http: HTTPClient
    let keystone: Keystone

    init() throws {
        variables = try LabFile.read()
        credentials = try Credentials.load(cloud: nil, environment: variables, readFile: { _ in nil })
        http = try HTTPClient()
        keystone = Keystone(credentials: credentials, http: http, now: { Date() })
    }

    func catalog(_ credentials: Credentials? = nil, pageSize: Int = 100) throws -> OpenStackCatalog {
        try OpenStackCatalog(
            credentials: credentials ?? self.credentials, logger: Logger(label: "test"), deadlines: HTTPDeadlines(), pageSize: pageSize)
    }

    struct Refused: Error {
        var status: Int
        var body: String
    }

    /// One call of a service's API with our token; the body is JSON, or bytes as they are.
    @discardableResult
    func call(
        _ method: HTTPRequest.Method, _ url: String, _ body: [UInt8]? = nil, type: String = "application/json",
        headers: [HTTPRequest.Header] = []
    ) async throws -> HTTPResponse {
        var request = HTTPRequest(method: method, service: "the lab", url: url, headers: headers, body: body)
        request.headers.append(.init("X-Auth-Token", try await keystone.token().text))
        if body != nil { request.headers.append(.init("Content-Type", type)) }
        let response = try await http.send(request)
        guard (200..<300).contains(response.status) else { throw Refused(status: response.status, body: response.excerpt()) }
        return response
    }

    var glance: String { variables["GLANCE_URL", default: ""] + "/v2" }

    /// Creates an image; with bytes it becomes active. `fields` may hold texts, flags and lists of texts.
    func create(_ fields: [String: Any], bytes: [UInt8]? = nil) async throws -> ImageID {
        let body = try JSONSerialization.data(
            withJSONObject: fields.merging(["disk_format": "raw", "container_format": "bare"]) { mine, _ in mine })
        let response = try await call(.post, glance + "/images", Array(body))
        let facts = try ImageRecord.read(response.body).facts
        if let bytes { try await call(.put, "\(glance)/images/\(facts.id)/file", bytes, type: "application/octet-stream") }
        return facts.id
    }

    func delete(_ ids: [ImageID]) async throws {
        for id in ids { try await call(.delete, "\(glance)/images/\(id)") }
    }

    func revoke(_ token: Secret) async throws {
        try await call(.delete, credentials.authURL + "/auth/tokens", headers: [.init("X-Subject-Token", token)])
    }

    /// A new application credential of our user: its id and secret.
    func applicationCredential(_ name: String) async throws -> (user: String, id: String, secret: String) {
        struct Whoami: Decodable {
            struct Token: Decodable {
                struct User: Decodable { var id: String }
                var user: User
            }
            var token: Token
        }
        struct Made: Decodable {
            struct Credential: Decodable {
                var id: String
                var secret: String
            }
            var credential: Credential

            enum CodingKeys: String, CodingKey { case credential = "application_credential" }
        }
        let token = try await keystone.token().text
        let whoami = try await call(.get, credentials.authURL + "/auth/tokens", headers: [.init("X-Subject-Token", token)])
        let user = try JSONDecoder().decode(Whoami.self, from: Data(whoami.body)).token.user.id
        let body = Array("{\"application_credential\": {\"name\": \"\(name)\"}}".utf8)
        let made = try await call(.post, "\(credentials.authURL)/users/\(user)/application_credentials", body)
        let credential = try JSONDecoder().decode(Made.self, from: Data(made.body)).credential
        return (user, credential.id, credential.secret)
    }
}
