import Foundation

/// Glance's own API as a tenant uses it.
struct Glance {
    private let root: String
    private let session: Session

    /// Without the images of earlier tests: every service that starts would look at all of them again.
    init(_ lab: Lab) async throws {
        root = lab["GLANCE_URL"] + "/v2/images"
        session = try await Session(lab)
        let images = try await session.call("GET", root + "?limit=1000")["images"] as? [[String: Any]] ?? []
        for image in images where (image["name"] as? String ?? "").hasPrefix("e2e ") {
            if let id = image["id"] as? String { try await delete(id) }
        }
    }

    /// Creates an active public image declared raw, of random bytes or the given ones; its id.
    func upload(
        _ name: String, bytes: Int = 3_000_000, content: Data? = nil, tags: [String] = [], properties: [String: String] = [:]
    ) async throws -> String {
        var record: [String: Any] = ["name": name, "visibility": "public", "disk_format": "raw", "container_format": "bare", "tags": tags]
        for (key, value) in properties { record[key] = value }
        let created = try await session.call("POST", root, body: try JSONSerialization.data(withJSONObject: record))
        guard let id = created["id"] as? String else { throw CommandFailed(description: "Glance made no image: \(created)") }
        _ = try await session.call(
            "PUT", "\(root)/\(id)/file", body: try content ?? Self.random(bytes), type: "application/octet-stream")
        return id
    }

    /// A first byte of zero keeps chance from making another format of it.
    static func random(_ bytes: Int) throws -> Data {
        let source = try FileHandle(forReadingFrom: URL(filePath: "/dev/urandom"))
        return Data([0]) + (try source.read(upToCount: bytes - 1) ?? Data())
    }

    func addTag(_ tag: String, to id: String) async throws { _ = try await session.call("PUT", "\(root)/\(id)/tags/\(escaped(tag))") }
    func removeTag(_ tag: String, from id: String) async throws {
        _ = try await session.call("DELETE", "\(root)/\(id)/tags/\(escaped(tag))")
    }

    /// Adds custom properties to an image that is there.
    func set(_ properties: [String: String], on id: String) async throws {
        let changes = properties.map { ["op": "add", "path": "/\($0.key)", "value": $0.value] }
        let body = try JSONSerialization.data(withJSONObject: changes)
        _ = try await session.call("PATCH", "\(root)/\(id)", body: body, type: "application/openstack-images-v2.1-json-patch")
    }

    func deactivate(_ id: String) async throws { _ = try await session.call("POST", "\(root)/\(id)/actions/deactivate") }
    func delete(_ id: String) async throws { _ = try await session.call("DELETE", "\(root)/\(id)") }
    func record(_ id: String) async throws -> [String: Any] { try await session.call("GET", "\(root)/\(id)") }

    private func escaped(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text }
}
