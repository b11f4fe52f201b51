import ForecacheModel
import Logging

/// How much of an answer is kept, in bytes.
enum AnswerBound: Sendable {
    /// `HTTPRequest`'s own.
    case usual
    /// A longer answer is a failure about `.answer`.
    case most(Int)
    /// Of a longer answer only so much is wanted.
    case beginning(Int)
}

/// Requests to one service of Keystone's catalog, with the sign-in that all services share.
struct ServiceClient: Sendable {
    /// What messages call it: "Nova".
    let name: String
    /// The API's root.
    let root: @Sendable (Token) throws(Failure) -> String
    let credentials: Credentials
    let http: HTTPClient
    let keystone: Keystone
    let logger: Logger

    /// `type` as Keystone's catalog has it: `compute`. `root`: the API's from the endpoint that the catalog names.
    init(type: String, name: String, sharing catalog: OpenStackCatalog, root: @escaping @Sendable (String) -> String) {
        let glance = catalog.glance
        self.init(
            name: name,
            root: { [credentials = glance.credentials] token throws(Failure) in
                root(try token.catalog.endpoint(of: type, called: name, credentials))
            },
            credentials: glance.credentials, http: glance.http, keystone: glance.keystone, logger: glance.logger)
    }

    init(
        name: String, root: @escaping @Sendable (Token) throws(Failure) -> String, credentials: Credentials, http: HTTPClient,
        keystone: Keystone,
        logger: Logger
    ) {
        self.name = name
        self.root = root
        self.credentials = credentials
        self.http = http
        self.keystone = keystone
        self.logger = logger
    }

    /// The answer, whatever its status. A token that is not taken is renewed once.
    func send(
        _ method: HTTPRequest.Method, _ path: String, headers: [HTTPRequest.Header], body: [UInt8]? = nil, bound: AnswerBound = .usual
    ) async throws(Failure) -> (HTTPRequest, HTTPResponse) {
        let token = try await keystone.token()
        let first = try await send(method, path, headers, body, bound, token)
        guard first.1.status == 401 else { return first }
        logger.info("token refused, renewing", metadata: ["url": "\(ServiceURL.withoutQuery(first.0.url))"])
        return try await send(method, path, headers, body, bound, keystone.token(refused: token.text))
    }

    private func send(
        _ method: HTTPRequest.Method, _ path: String, _ headers: [HTTPRequest.Header], _ body: [UInt8]?, _ bound: AnswerBound,
        _ token: Token
    ) async throws(Failure) -> (HTTPRequest, HTTPResponse) {
        var request = HTTPRequest(
            method: method, service: name, url: try root(token) + path, headers: [.init("X-Auth-Token", token.text)] + headers, body: body)
        switch bound {
        case .usual: break
        case .most(let bytes): request.mostAnswerBytes = bytes
        case .beginning(let bytes): (request.mostAnswerBytes, request.isBeginningEnough) = (bytes, true)
        }
        let response = try await http.send(request)
        logger.debug("asked \(name)", metadata: ["url": "\(ServiceURL.withoutQuery(request.url))", "status": "\(response.status)"])
        return (request, response)
    }

    /// What came instead of the answer, safe to print.
    func came(_ request: HTTPRequest, _ response: HTTPResponse) -> String {
        let tokens = request.headers.filter { $0.name == "X-Auth-Token" }.map(\.value)
        return "answered \(response.status) \(response.excerpt(hiding: tokens))"
    }

    /// The failure behind a status that no caller has a word of its own for.
    func failure(_ request: HTTPRequest, _ response: HTTPResponse) -> Failure {
        let came = came(request, response)
        switch response.status {
        case 401:
            let remedy = "check \(name)'s [keystone_authtoken] and the clocks"
            return Failure(.permanent, "\(request.name): \(name) refuses a fresh token; \(remedy)", cause: came)
        case 403: return Failure(.permanent, "\(request.name): \(name) forbids it; check the roles of \(credentials.source)", cause: came)
        case 404: return Failure(.permanent, "\(request.name): not there; check \(name)'s endpoint in the catalog", cause: came)
        case 409, 429, 500...:
            return Failure(.retriable, "\(request.name): \(name) cannot answer now; is \(name) healthy?", cause: came)
        default:
            let remedy = "check \(name)'s endpoint in the catalog"
            return Failure(.permanent, "\(request.name): an answer we cannot use; \(remedy)", cause: came)
        }
    }
}
