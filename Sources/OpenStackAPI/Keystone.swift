import ForecacheModel
import Foundation

/// A Keystone token with what came along.
struct Token: Sendable {
    var text: Secret
    /// By this machine's clock, even where Keystone's differs.
    var expiresAt: Date
    var catalog: ServiceCatalog
}

/// Logs in and keeps the token: all callers share one, and one renewal.
actor Keystone {
    private let credentials: Credentials
    private let http: HTTPClient
    private let now: @Sendable () -> Date
    private var token: Token?
    private var renewal: (id: Int, task: Task<Void, Never>)?
    private var line: [Int: CheckedContinuation<Result<Token, Failure>, Never>] = [:]
    private var lastID = 0

    /// A token is renewed this long before its end, in seconds: a listing that began with it must be able to finish.
    static let renewAheadSeconds = 300.0

    init(credentials: Credentials, http: HTTPClient, now: @escaping @Sendable () -> Date) {
        self.credentials = credentials
        self.http = http
        self.now = now
    }

    /// The token, renewed where it has less than `seconds` left or is `refused`, the one that a service did not take. A token that is fresh is
    /// handed out however short its life: Keystone may be set so.
    func token(lastingSeconds seconds: Double = renewAheadSeconds, refused: Secret? = nil) async throws(Failure) -> Token {
        if let token, token.text != refused, token.expiresAt.timeIntervalSince(now()) >= seconds { return token }
        lastID += 1
        let id = lastID
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Result<Token, Failure>, Never>) in
                if Task.isCancelled {
                    continuation.resume(returning: .failure(Self.toldToStop))
                } else {
                    wait(id, continuation)
                }
            }
        } onCancel: {
            // Lives until the waiter has left the line: a few microseconds.
            Task { await self.giveUp(id) }
        }
        return try result.get()
    }

    private func wait(_ id: Int, _ continuation: CheckedContinuation<Result<Token, Failure>, Never>) {
        line[id] = continuation
        guard renewal == nil else { return }
        // Owned by this actor; ends with the log-in's own deadline, or when the last waiter has left.
        renewal = (id, Task { await self.renew(id) })
    }

    private func renew(_ id: Int) async {
        let result: Result<Token, Failure>
        do throws(Failure) { result = .success(try await logIn()) } catch { result = .failure(error) }
        // One that was given up has no waiters; who came after it waits for another.
        guard renewal?.id == id else { return }
        if case .success(let fresh) = result { token = fresh }
        renewal = nil
        let waiters = line.values
        line = [:]
        for waiter in waiters { waiter.resume(returning: result) }
    }

    private func giveUp(_ id: Int) {
        line.removeValue(forKey: id)?.resume(returning: .failure(Self.toldToStop))
        guard line.isEmpty else { return }
        renewal?.task.cancel()
        renewal = nil
    }

    private static let toldToStop = Failure(.cancelled, "told to stop while waiting for a Keystone token")

    // MARK: - Log-in

    /// Source: Keystone's api-ref v3, "Password authentication with scoped authorization", "Authenticating with an Application Credential".
    private func logIn() async throws(Failure) -> Token {
        let body = AuthRequest.body(credentials)
        let headers = [HTTPRequest.Header("Content-Type", "application/json"), HTTPRequest.Header("Accept", "application/json")]
        let request = HTTPRequest(
            method: .post, service: "Keystone", url: credentials.authURL + "/auth/tokens", headers: headers, body: body)
        let response = try await http.send(request)
        guard response.status == 201 || response.status == 200 else { throw refusal(request, response) }
        guard let text = response.header("x-subject-token"), !text.isEmpty else {
            throw Failure(.permanent, "\(request.name): the answer has no X-Subject-Token; is OS_AUTH_URL really Keystone v3?")
        }
        // The decoder's error would quote the body, which says nothing that an operator can use.
        let reply = try? JSONDecoder().decode(AuthReply.self, from: Data(response.body))
        guard let reply, let expires = Timestamp.date(reply.token.expiresAt) else {
            throw Failure(.permanent, "\(request.name): the answer is not a token; is OS_AUTH_URL really Keystone v3?")
        }
        // Counted from Keystone's own "issued at": the two clocks may differ.
        let lifetime = expires.timeIntervalSince(reply.token.issuedAt.flatMap(Timestamp.date) ?? now())
        let catalog = ServiceCatalog(services: reply.token.catalog ?? [])
        return Token(text: Secret(text), expiresAt: now().addingTimeInterval(lifetime), catalog: catalog)
    }

    private func refusal(_ request: HTTPRequest, _ response: HTTPResponse) -> Failure {
        let came = "answered \(response.status) \(response.excerpt(hiding: [credentials.identity.secret]))"
        let who = credentials.identity.name
        switch response.status {
        case 401:
            return Failure(
                .permanent, "\(request.name): Keystone refused \(who) of \(credentials.source); check name, secret, project and domains",
                cause: came)
        case 403:
            return Failure(.permanent, "\(request.name): Keystone forbids \(who) to log in so; check its roles in the project", cause: came)
        case 404: return Failure(.permanent, "\(request.name): no Keystone v3 there; check OS_AUTH_URL", cause: came)
        case 429, 500...:
            return Failure(.retriable, "\(request.name): Keystone cannot log us in now; is Keystone healthy?", cause: came)
        default:
            return Failure(
                .permanent, "\(request.name): Keystone did not accept the log-in of \(who); check the credentials of \(credentials.source)",
                cause: came)
        }
    }
}

extension Credentials.Identity {
    fileprivate var secret: Secret {
        switch self {
        case .password(_, let secret), .applicationCredential(_, let secret), .namedApplicationCredential(_, _, let secret): secret
        }
    }

    /// For messages: `user 'admin'`.
    fileprivate var name: String {
        switch self {
        case .password(.id(let id), _): "user \(id)"
        case .password(.name(let name, _), _): "user '\(name)'"
        case .applicationCredential(let id, _): "application credential \(id)"
        case .namedApplicationCredential(let name, _, _): "application credential '\(name)'"
        }
    }
}

/// What we read of Keystone's answer.
private struct AuthReply: Decodable {
    struct Body: Decodable {
        var expiresAt: String
        var issuedAt: String?
        var catalog: [ServiceCatalog.Service]?

        private enum CodingKeys: String, CodingKey {
            case catalog
            case expiresAt = "expires_at"
            case issuedAt = "issued_at"
        }
    }

    var token: Body
}
