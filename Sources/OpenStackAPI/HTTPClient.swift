import CCurl
import ForecacheModel
import Foundation
import Synchronization

/// HTTP over libcurl, on one thread of its own. Every request has deadlines and a bound on its answer, and ends soon after cancellation.
///
/// Redirects are followed for GET within the same origin only, at most three times: elsewhere they would carry the token away.
final class HTTPClient: Sendable {
    private let inbox: HTTPInbox
    private let thread: pthread_t
    private let lastID = Mutex<UInt64>(0)

    init(tls: TLSOptions = TLSOptions(), deadlines: HTTPDeadlines = HTTPDeadlines()) throws(Failure) {
        inbox = HTTPInbox()
        thread = try HTTPLoop.start(inbox: inbox, tls: tls, deadlines: deadlines)
    }

    deinit {
        // No request is under way (each holds the client), so the thread ends as soon as it is woken. It never holds the client itself.
        inbox.stop()
        pthread_join(thread, nil)
    }

    /// Sends and waits for the whole answer, whatever its status. Throws where there is no answer, and for a redirect that is not followed.
    func send(_ request: HTTPRequest) async throws(Failure) -> HTTPResponse {
        var request = request
        for _ in 0...Self.mostRedirects {
            let response = try await sendOnce(request)
            guard [301, 302, 303, 307, 308].contains(response.status) else { return response }
            request.url = try redirect(of: request, response)
        }
        throw Failure(.permanent, "\(request.name): more than \(Self.mostRedirects) redirects; check the endpoint's URL")
    }

    private static let mostRedirects = 3

    private func sendOnce(_ request: HTTPRequest) async throws(Failure) -> HTTPResponse {
        try request.validate()
        let id = lastID.withLock { last in
            last += 1
            return last
        }
        inbox.announce(id)
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { inbox.post(HTTPOrder(id: id, request: request, answer: $0)) }
        } onCancel: {
            inbox.cancel(id)
        }
        return try result.get()
    }

    private func redirect(of request: HTTPRequest, _ response: HTTPResponse) throws(Failure) -> String {
        let from = ServiceURL.withoutQuery(request.url)
        guard let location = response.header("location"), !location.isEmpty else {
            throw Failure(.permanent, "\(request.name): answered \(response.status) without a Location; check the endpoint's URL")
        }
        let isRelative = location.hasPrefix("/") && !location.hasPrefix("//")
        let target = isRelative ? (ServiceURL.origin(of: request.url) ?? "") + location : location
        guard request.method == .get, let origin = ServiceURL.origin(of: target), origin == ServiceURL.origin(of: request.url) else {
            let to = Printable.text(Array(ServiceURL.withoutQuery(target).utf8), limit: 200)
            let what = "\(request.name): \(from) redirects (\(response.status)) to \(to), which is not followed with credentials"
            throw Failure(.permanent, "\(what); set the endpoint to where \(request.service) is")
        }
        return target
    }
}

/// How the server is checked and how we show who we are.
struct TLSOptions: Hashable, Sendable {
    /// PEM; nil means the system's store.
    var caFile: String?
    var certificateFile: String?
    var keyFile: String?
    /// The operator's own word (`insecure`), never a fallback.
    var isInsecure = false
}

struct HTTPDeadlines: Hashable, Sendable {
    /// TCP and TLS hand-shake, in milliseconds: a WAN round trip is below a second.
    var connectMilliseconds = 10_000
    /// No byte for so long, in whole seconds: Keystone under load takes seconds, not half a minute.
    var stallSeconds = 30
    /// The whole request, in milliseconds.
    var totalMilliseconds = 120_000
}

struct HTTPRequest: Sendable {
    enum Method: String, Sendable {
        case get = "GET"
        case post = "POST"
        case put = "PUT"
        case delete = "DELETE"
    }

    /// A header's value may be a token, so it is held as a secret.
    struct Header: Sendable {
        var name: String
        var value: Secret

        init(_ name: String, _ value: Secret) {
            self.name = name
            self.value = value
        }

        init(_ name: String, _ value: String) { self.init(name, Secret(value)) }
    }

    var method = Method.get
    /// Which service this is, for messages: "Keystone", "Glance".
    var service: String
    var url: String
    var headers: [Header] = []
    var body: [UInt8]?
    /// Largest answer that is kept, in bytes.
    var mostAnswerBytes = 32 << 20
    /// Whether a longer answer is given as far as it was kept, with its status; else it is a failure.
    var isBeginningEnough = false

    /// `GET http://host/path`: what messages call it. Queries are left out, they may hold anything.
    var name: String { "\(method.rawValue) \(ServiceURL.withoutQuery(url))" }

    /// Refuses what could be read as more than one header or as another kind of URL.
    func validate() throws(Failure) {
        guard ServiceURL.origin(of: url) != nil else {
            let shown = Printable.text(Array(ServiceURL.withoutQuery(url).utf8), limit: 200)
            throw Failure(.permanent, "\(service)'s URL '\(shown)' is not an http or https URL; check the endpoint")
        }
        for header in headers {
            let isName = !header.name.isEmpty && header.name.utf8.allSatisfy { HTTPRequest.isTokenByte($0) }
            let isValue = header.value.reveal().utf8.allSatisfy { $0 >= 32 && $0 != 127 || $0 == 9 }
            guard isName, isValue else {
                let shown = Printable.text(Array(header.name.utf8), limit: 60)
                throw Failure(.permanent, "\(name): header '\(shown)' has characters that a header may not have; not sent")
            }
        }
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

struct HTTPResponse: Sendable {
    var status: Int
    /// Names are lower case; the last one of a name counts.
    var headers: [String: String]
    var body: [UInt8]

    func header(_ name: String) -> String? { headers[name] }

    /// The beginning of the body, printable, with the given secrets blotted out: for messages.
    func excerpt(hiding secrets: [Secret] = []) -> String {
        var text = Printable.text(body, limit: 4096)
        for secret in secrets where !secret.reveal().isEmpty { text = text.replacingOccurrences(of: secret.reveal(), with: "<secret>") }
        return text.isEmpty ? "(empty body)" : "'\(Printable.text(Array(text.utf8), limit: 200))'"
    }
}
