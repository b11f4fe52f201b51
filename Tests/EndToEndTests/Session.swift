import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// A sign-in to the lab's Keystone as its administrator, and requests with the token that it gave.
struct Session {
    private let lab: Lab
    private let token: String
    /// Id of the administrator.
    let user: String

    /// In the lab's project, unless another is named.
    init(_ lab: Lab, project: String? = nil) async throws {
        self.lab = lab
        let user: [String: Any] = [
            "name": lab["OS_USERNAME"], "password": lab["OS_PASSWORD"], "domain": ["name": lab["OS_USER_DOMAIN_NAME"]],
        ]
        let body: [String: Any] = [
            "auth": [
                "identity": ["methods": ["password"], "password": ["user": user]],
                "scope": ["project": ["name": project ?? lab["OS_PROJECT_NAME"], "domain": ["name": lab["OS_PROJECT_DOMAIN_NAME"]]]],
            ]
        ]
        let (data, response) = try await Self.send(
            "POST", lab["OS_AUTH_URL"] + "/auth/tokens", JSONSerialization.data(withJSONObject: body), ["Content-Type": "application/json"])
        token = response.value(forHTTPHeaderField: "X-Subject-Token") ?? ""
        let answer = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        self.user = ((answer?["token"] as? [String: Any])?["user"] as? [String: Any])?["id"] as? String ?? ""
    }

    /// The answer's JSON object; throws with its beginning where it is no 2xx.
    func call(
        _ method: String, _ url: String, body: Data? = nil, type: String = "application/json", headers: [String: String] = [:]
    ) async throws -> [String: Any] {
        var headers = headers.merging(["X-Auth-Token": token]) { mine, _ in mine }
        if body != nil { headers["Content-Type"] = type }
        let (data, _) = try await Self.send(method, url, body, headers)
        return (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] ?? [:]  // no body is no record
    }

    /// Another project that the administrator has the same role in; the name.
    func makeProject(_ name: String) async throws -> String {
        let root = lab["OS_AUTH_URL"]
        let body = try JSONSerialization.data(withJSONObject: ["project": ["name": name, "domain_id": "default"]])
        let project = try await call("POST", root + "/projects", body: body)["project"] as? [String: Any]
        let roles = try await call("GET", root + "/roles?name=admin")["roles"] as? [[String: Any]]
        guard let project = project?["id"] as? String, let role = roles?.first?["id"] as? String else {
            throw CommandFailed(description: "Keystone made no project, or has no role admin")
        }
        _ = try await call("PUT", "\(root)/projects/\(project)/users/\(user)/roles/\(role)")
        return name
    }

    /// Ends somebody's token before its time.
    func revoke(_ token: String) async throws {
        _ = try await call("DELETE", lab["OS_AUTH_URL"] + "/auth/tokens", headers: ["X-Subject-Token": token])
    }

    /// Nova's own pre-caching, asked as any operator may ask for it.
    func novaCaches(_ image: String, inAggregate name: String) async throws {
        let version = ["OpenStack-API-Version": "compute 2.81"]
        let root = lab["NOVA_URL"] + "/v2.1/os-aggregates"
        let aggregates = try await call("GET", root, headers: version)["aggregates"] as? [[String: Any]] ?? []
        guard let id = aggregates.first(where: { $0["name"] as? String == name })?["id"] as? Int else {
            throw CommandFailed(description: "Nova has no aggregate \(name); the lab runs without its part nova?")
        }
        let body = try JSONSerialization.data(withJSONObject: ["cache": [["id": image]]])
        _ = try await call("POST", "\(root)/\(id)/images", body: body, headers: version)
    }

    private static func send(
        _ method: String, _ text: String, _ body: Data?, _ headers: [String: String]
    ) async throws -> (Data, HTTPURLResponse) {
        guard let url = URL(string: text) else { throw CommandFailed(description: "not a URL: \(text)") }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.httpBody = body
        for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
        let (data, answer) = try await URLSession.shared.data(for: request)
        guard let response = answer as? HTTPURLResponse, (200..<300).contains(response.statusCode) else {
            let status = (answer as? HTTPURLResponse)?.statusCode ?? 0
            throw CommandFailed(description: "\(method) \(text) answered \(status): \(String(decoding: data.prefix(300), as: UTF8.self))")
        }
        return (data, response)
    }
}
