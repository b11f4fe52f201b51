public import Engine
public import ForecacheModel

/// Certificates that are secrets of the key manager.
///
/// Source: Barbican's API, "Secrets": `GET /v1/secrets/{uuid}/payload`. Its user must be allowed to read them: by default those of the same project,
/// and others where their owners say so (`PUT /v1/secrets/{uuid}/acl`).
public struct Barbican: SignatureCertificates {
    private let client: ServiceClient

    /// With the same sign-in as Glance's catalogue.
    public init(sharing catalog: OpenStackCatalog) {
        client = ServiceClient(type: "key-manager", name: "Barbican", sharing: catalog) { ServiceURL.barbicanV1($0) }
    }

    public func certificate(_ id: String) async throws(Failure) -> [UInt8]? {
        // Which of the two it is stored as, nobody knows beforehand; the other one is answered with 406.
        var answer = try await payload(id, as: "application/octet-stream")
        if answer.1.status == 406 { answer = try await payload(id, as: "text/plain") }
        switch answer.1.status {
        case 200: return answer.1.body
        case 403:
            let remedy = "another project's is ours to read once its owner allows it: openstack acl user add --operation-type read"
            throw Failure(
                .permanent, "Barbican forbids \(client.credentials.source) to read certificate \(id); \(remedy)",
                cause: client.came(answer.0, answer.1))
        case 404: return nil
        default: throw client.failure(answer.0, answer.1)
        }
    }

    private func payload(_ id: String, as type: String) async throws(Failure) -> (HTTPRequest, HTTPResponse) {
        try await client.send(.get, "/secrets/\(id)/payload", headers: [.init("Accept", type)])
    }
}
