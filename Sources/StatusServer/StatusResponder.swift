import Engine
import ForecacheModel
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging

/// One request, one answer. There are six resources and no parameters in paths, so this is a switch and no router.
struct StatusResponder: HTTPResponder {
    typealias Context = BasicRequestContext

    let source: StatusSource
    let hosts: HostCheck
    let clients: ClientCount
    let logger: Logger
    private let counts: PlacementCounts

    init(source: StatusSource, hosts: HostCheck, clients: ClientCount, logger: Logger) {
        (self.source, self.hosts, self.clients, self.logger) = (source, hosts, clients, logger)
        self.counts = PlacementCounts(ledger: source.ledger)
    }

    /// Live feeds, and as many again for everything else and for those that are told there is no room.
    var connections: Int { 2 * clients.limit + 32 }

    func respond(to request: Request, context: Context) async throws -> Response {
        var response: Response
        if !hosts.accepts(request.head.authority) {
            response = .text(.misdirectedRequest, "this server answers for its own address only\n")
        } else if request.method != .get && request.method != .head {
            response = .text(.methodNotAllowed, "read only\n")
            response.headers[.allow] = "GET, HEAD"
        } else {
            do {
                response = try await answer(request)
            } catch let failure as Failure {
                logger.warning(
                    "status request failed",
                    metadata: ["path": "\(request.uri.path)", "reason": "\(failure)"])
                response = .text(.serviceUnavailable, "\(failure)\n")
            }
        }
        if request.method == .head { response.body = ResponseBody() }
        response.secure()
        return response
    }

    private func answer(_ request: Request) async throws -> Response {
        switch request.uri.path {
        case "/": return try await page(StatusFilter(request.uri))
        case "/api/v1/status": return status(StatusFilter(request.uri))
        case "/api/v1/events": return events(isWanted: request.method == .get)
        case "/metrics": return await metrics()
        case "/healthz": return .text(.ok, "alive\n")
        case "/readyz": return await ready()
        default:
            return .text(
                .notFound, "not here: try /, /api/v1/status, /api/v1/events, /metrics, /healthz, /readyz\n")
        }
    }

    private func page(_ filter: StatusFilter) async throws -> Response {
        if let problem = filter.problem { return .text(.badRequest, problem) }
        let nonce = Hexadecimal.text((0..<16).map { _ in UInt8.random(in: .min ... .max) })
        let page = Page(
            rows: try await filter.firstRows(of: source.ledger, at: source.now(), limit: Page.rows),
            filter: filter,
            counts: try await counts.at(source.now()), queue: try await source.ledger.workCount(),
            counters: source.counters(),
            notReady: source.notReady(), now: source.now(), nonce: nonce)
        var response = Response(
            status: .ok, headers: [.contentType: "text/html; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: page.html)))
        response.headers[.contentSecurityPolicy] =
            "default-src 'none'; script-src 'nonce-\(nonce)'; style-src 'nonce-\(nonce)'; connect-src 'self'; base-uri 'none'; "
            + "form-action 'self'; frame-ancestors 'none'"
        return response
    }

    private func status(_ filter: StatusFilter) -> Response {
        if let problem = filter.problem { return .text(.badRequest, problem) }
        let (source, logger) = (source, logger)
        return Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: ResponseBody { writer in
                do {
                    try await filter.write(source, to: &writer)
                } catch {
                    // The status line is out: what is left is to break off, so that nobody takes half a report for a whole one.
                    logger.warning("status report broken off", metadata: ["reason": "\(error)"])
                    throw error
                }
                try await writer.finish(nil)
            })
    }

    private func events(isWanted: Bool) -> Response {
        let headers: HTTPFields = [.contentType: "text/event-stream"]
        guard isWanted else { return Response(status: .ok, headers: headers) }
        guard let ticket = clients.enter() else {
            var response = Response.text(
                .serviceUnavailable,
                "\(clients.limit) live feeds are open already: close one, or raise limits.status_clients\n")
            response.headers[.retryAfter] = "30"
            return response
        }
        let source = source
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { writer in
                // Held by this answer; the place is free when it is dropped, also where the client went away before the first byte.
                defer { withExtendedLifetime(ticket) {} }
                try await EventFeed(events: source.events).write(to: &writer)
                try await writer.finish(nil)
            })
    }

    private func metrics() async -> Response {
        var snapshot = Metrics(
            counters: source.counters(), now: source.now(), isReady: source.notReady().isEmpty)
        do throws(Failure) {
            let counts = try await counts.at(source.now())
            (snapshot.placements, snapshot.atRisk) = (counts.states, counts.atRisk)
            snapshot.queueLength = try await source.ledger.workCount()
        } catch {
            // The other numbers are still worth having, and `forecache_ledger_up 0` tells what is missing.
            logger.warning("metrics without ledger", metadata: ["reason": "\(error)"])
        }
        return Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: snapshot.text)))
    }

    private func ready() async -> Response {
        var reasons = source.notReady()
        do throws(Failure) { _ = try await source.ledger.nextWorkDue() } catch {
            reasons.append(error.description)
        }
        guard reasons.isEmpty else {
            return .text(.serviceUnavailable, "not ready\n" + reasons.map { "- \($0)\n" }.joined())
        }
        return .text(.ok, "ready\n")
    }
}

extension Response {
    static func text(_ status: HTTPResponse.Status, _ text: String) -> Response {
        Response(
            status: status, headers: [.contentType: "text/plain; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    fileprivate mutating func secure() {
        headers[.cacheControl] = "no-store"
        headers[.xContentTypeOptions] = "nosniff"
        headers[fixed: "Referrer-Policy"] = "no-referrer"
        headers[fixed: "Cross-Origin-Resource-Policy"] = "same-origin"
        headers[fixed: "X-Frame-Options"] = "DENY"
        if headers[.contentSecurityPolicy] == nil {
            headers[.contentSecurityPolicy] = "default-src 'none'; frame-ancestors 'none'"
        }
    }
}

extension HTTPFields {
    /// For names that HTTPTypes has no constant for.
    fileprivate subscript(fixed name: String) -> String? {
        get { HTTPField.Name(name).flatMap { self[$0] } }
        set {
            guard let name = HTTPField.Name(name) else { return }
            self[name] = newValue
        }
    }
}
