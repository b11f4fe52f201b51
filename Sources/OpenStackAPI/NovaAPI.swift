public import Engine
public import ForecacheModel
import Foundation

/// Nova's host aggregates and its image pre-caching.
///
/// Source: Nova's api-ref, "Host aggregates": `GET /os-aggregates`, `POST /os-aggregates/{id}/images` (microversion 2.81, Ussuri).
public struct NovaAPI: ImagePreCaching {
    private let client: ServiceClient

    /// With the same sign-in as Glance's catalogue.
    public init(sharing catalog: OpenStackCatalog) {
        client = ServiceClient(type: "compute", name: "Nova", sharing: catalog) { ServiceURL.novaV21($0) }
    }

    public func aggregate(named name: String) async throws(Failure) -> HostAggregate {
        let (request, response) = try await send(.get, "/os-aggregates")
        guard response.status == 200 else { throw failure(request, response) }
        try checkVersion(request, response)
        // The decoder's error would quote the body, which says nothing that an operator can use.
        guard let list = try? JSONDecoder().decode(AggregateList.self, from: Data(response.body)) else {
            throw Failure(.permanent, "\(request.name): the answer is not a list of aggregates; is Nova's endpoint right?")
        }
        guard let found = list.aggregates.first(where: { $0.name == name }) else {
            let names = list.aggregates.map { Printable.text(Array($0.name.utf8), limit: 60) }.sorted().prefix(30)
            let known = names.isEmpty ? "none at all" : names.joined(separator: ", ")
            let remedy = "name the site's aggregate with `aggregate:`, or make one of its compute hosts"
            throw Failure(.permanent, "Nova has no host aggregate '\(name.printable)' (it has \(known)); \(remedy)")
        }
        return HostAggregate(id: found.id, uuid: found.uuid, name: found.name, hosts: found.hosts)
    }

    public func cache(_ image: ImageID, in aggregate: HostAggregate) async throws(Failure) -> String? {
        let body = Array(#"{"cache": [{"id": "\#(image)"}]}"#.utf8)
        let (request, response) = try await send(.post, "/os-aggregates/\(aggregate.id)/images", body: body)
        switch response.status {
        case 202:
            try checkVersion(request, response)
            return response.header("x-openstack-request-id") ?? response.header("x-compute-request-id")
        case 404:
            let what = "\(request.name): Nova does not know aggregate \(aggregate.id) ('\(aggregate.name)') any longer"
            throw Failure(.retriable, "\(what); it is looked up again in the next round", cause: client.came(request, response))
        default: throw failure(request, response)
        }
    }

    private static let microversion = "2.81"

    private func send(
        _ method: HTTPRequest.Method, _ path: String, body: [UInt8]? = nil
    ) async throws(Failure) -> (HTTPRequest, HTTPResponse) {
        var headers = [HTTPRequest.Header("Accept", "application/json"), .init("OpenStack-API-Version", "compute \(Self.microversion)")]
        if body != nil { headers.append(.init("Content-Type", "application/json")) }
        return try await client.send(method, path, headers: headers, body: body)
    }

    private func failure(_ request: HTTPRequest, _ response: HTTPResponse) -> Failure {
        switch response.status {
        case 403:
            let policy = "its policy 'os_compute_api:os-aggregates:images' wants an administrator"
            let what = "\(request.name): Nova forbids it, \(policy); check the roles of \(client.credentials.source)"
            return Failure(.permanent, what, cause: client.came(request, response))
        case 406: return tooOld(request, client.came(request, response))
        default: return client.failure(request, response)
        }
    }

    /// An endpoint that does not know microversions answers as the oldest API, and says nothing of it.
    private func checkVersion(_ request: HTTPRequest, _ response: HTTPResponse) throws(Failure) {
        let said = response.header("openstack-api-version") ?? response.header("x-openstack-nova-api-version").map { "compute \($0)" }
        guard said?.contains("compute \(Self.microversion)") == true else {
            throw tooOld(request, "answered as version '\(said ?? "unknown")'")
        }
    }

    private func tooOld(_ request: HTTPRequest, _ came: String) -> Failure {
        let what = "\(request.name): this Nova does not have microversion \(Self.microversion)"
        return Failure(.permanent, "\(what), which image pre-caching needs (Ussuri or later); use another `via` for this site", cause: came)
    }
}

/// What we read of Nova's answer.
private struct AggregateList: Decodable {
    struct Aggregate: Decodable {
        var id: Int64
        var uuid: String
        var name: String
        var hosts: [String]
    }

    var aggregates: [Aggregate]
}
