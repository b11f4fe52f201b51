import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Glance's own API as a tenant uses it.
struct Glance {
    private let lab: Lab
    private let token: String

    init(_ lab: Lab) async throws {
        self.lab = lab
        let user: [String: Any] = [
            "name": lab["OS_USERNAME"], "password": lab["OS_PASSWORD"], "domain": ["name": lab["OS_USER_DOMAIN_NAME"]],
        ]
        let body: [String: Any] = [
            "auth": [
                "identity": ["methods": ["password"], "password": ["user": user]],
                "scope": ["project": ["name": lab["OS_PROJECT_NAME"], "domain": ["name": lab["OS_PROJECT_DOMAIN_NAME"]]]],
            ]
        ]
        var request = URLRequest(url: try Self.url(lab["OS_AUTH_URL"] + "/auth/tokens"))
        request.httpMethod = "POST"
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.httpBody = try JSONSerialization.data(withJSONObject: body)
        let (_, response) = try await URLSession.shared.data(for: request)
        token = (response as? HTTPURLResponse)?.value(forHTTPHeaderField: "X-Subject-Token") ?? ""
    }

    /// Creates an active public image declared raw, of random bytes or the given ones; its id.
    func upload(
        _ name: String, bytes: Int = 3_000_000, content: Data? = nil, tags: [String] = [], properties: [String: String] = [:]
    ) async throws -> String {
        var record: [String: Any] = ["name": name, "visibility": "public", "disk_format": "raw", "container_format": "bare", "tags": tags]
        for (key, value) in properties { record[key] = value }
        let created = try await call("POST", "/v2/images", json: record)
        guard let id = created["id"] as? String else { throw CommandFailed(description: "Glance made no image: \(created)") }
        // A first byte of zero keeps chance from making another format of it.
        let body = content ?? Data([0] + (1..<bytes).map { _ in UInt8.random(in: 0...255) })
        _ = try await call("PUT", "/v2/images/\(id)/file", body: body, type: "application/octet-stream")
        return id
    }

    func addTag(_ tag: String, to id: String) async throws { _ = try await call("PUT", "/v2/images/\(id)/tags/\(escaped(tag))") }
    func removeTag(_ tag: String, from id: String) async throws { _ = try await call("DELETE", "/v2/images/\(id)/tags/\(escaped(tag))") }
    /// Adds custom properties to an image that is there.
    func set(_ properties: [String: String], on id: String) async throws {
        let changes = properties.map { ["op": "add", "path": "/\($0.key)", "value": $0.value] }
        let body = try JSONSerialization.data(withJSONObject: changes)
        _ = try await call("PATCH", "/v2/images/\(id)", body: body, type: "application/openstack-images-v2.1-json-patch")
    }

    func deactivate(_ id: String) async throws { _ = try await call("POST", "/v2/images/\(id)/actions/deactivate") }
    func delete(_ id: String) async throws { _ = try await call("DELETE", "/v2/images/\(id)") }
    func record(_ id: String) async throws -> [String: Any] { try await call("GET", "/v2/images/\(id)") }

    private func call(_ method: String, _ path: String, json: [String: Any]) async throws -> [String: Any] {
        try await call(method, path, body: try JSONSerialization.data(withJSONObject: json), type: "application/json")
    }

    private func call(_ method: String, _ path: String, body: Data? = nil, type: String? = nil) async throws -> [String: Any] {
        var request = URLRequest(url: try Self.url(lab["GLANCE_URL"] + path))
        request.httpMethod = method
        request.httpBody = body
        request.setValue(token, forHTTPHeaderField: "X-Auth-Token")
        if let type { request.setValue(type, forHTTPHeaderField: "Content-Type") }
        let (data, response) = try await URLSession.shared.data(for: request)
        let status = (response as? HTTPURLResponse)?.statusCode ?? 0
        guard (200..<300).contains(status) else {
            throw CommandFailed(description: "\(method) \(path) answered \(status): \(String(decoding: data.prefix(300), as: UTF8.self))")
        }
        return (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] ?? [:]  // no body is no record
    }

    private func escaped(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text }

    private static func url(_ text: String) throws -> URL {
        guard let url = URL(string: text) else { throw CommandFailed(description: "not a URL: \(text)") }
        return url
    }
}
