import ForecacheModel

/// The settings of one cloud as texts under clouds.yaml's names (`auth_url`, `user_domain_name`, …), wherever they came from.
struct CloudSettings {
    var source: String
    /// How this source spells a setting: `OS_AUTH_URL`, or `auth.auth_url`.
    var spelling: @Sendable (String) -> String
    var values: [String: String] = [:]
    /// Keys that no setting is named like, for a hint at misspelt ones.
    var unknown: [String] = []

    /// Everything that belongs under `auth:` in clouds.yaml.
    static let authKeys = [
        "auth_url", "username", "user_id", "password", "project_name", "project_id", "user_domain_name", "user_domain_id",
        "project_domain_name", "project_domain_id", "domain_name", "domain_id", "default_domain_name", "default_domain_id", "system_scope",
        "application_credential_id", "application_credential_name", "application_credential_secret",
    ]
    /// And beside it.
    static let cloudKeys = ["region_name", "interface", "cacert", "cert", "key", "insecure", "auth_type", "image_endpoint_override"]

    private subscript(key: String) -> String? { values.filled(key) }

    func credentials() throws(Failure) -> Credentials {
        var missing: [String] = []
        let authURL = self["auth_url"].map(ServiceURL.keystoneV3)
        if authURL == nil { missing.append(spelling("auth_url")) }
        if let authURL, ServiceURL.origin(of: authURL) == nil {
            throw Failure(
                .permanent, "\(spelling("auth_url")) of \(source) is not an http or https URL: '\(ServiceURL.withoutQuery(authURL))'")
        }
        let identity = try identity(&missing)
        let scope = scope(identity, &missing)
        let interface = try interface()
        let isInsecure = try isInsecure()
        guard missing.isEmpty, let authURL, let identity, let scope else { throw incomplete(missing) }
        return Credentials(
            authURL: authURL, identity: identity, scope: scope, region: self["region_name"], interface: interface,
            imageEndpoint: self["image_endpoint_override"], caFile: self["cacert"], certificateFile: self["cert"], keyFile: self["key"],
            isInsecure: isInsecure, source: source)
    }

    private func identity(_ missing: inout [String]) throws(Failure) -> Credentials.Identity? {
        let hasApplicationCredential = self["application_credential_id"] ?? self["application_credential_name"] != nil
        switch self["auth_type"] ?? (hasApplicationCredential ? "v3applicationcredential" : "password") {
        case "password", "v3password": return password(&missing)
        case "v3applicationcredential": return applicationCredential(&missing)
        case let other:
            throw Failure(
                .permanent,
                "\(spelling("auth_type")) '\(other)' of \(source) is not supported; use password or v3applicationcredential")
        }
    }

    private func password(_ missing: inout [String]) -> Credentials.Identity? {
        let user = named("user", nameKey: "username", &missing)
        let password = self["password"]
        if password == nil { missing.append(spelling("password")) }
        guard let user, let password else { return nil }
        return .password(user: user, password: Secret(password))
    }

    private func applicationCredential(_ missing: inout [String]) -> Credentials.Identity? {
        let secret = self["application_credential_secret"].map { Secret($0) }
        if secret == nil { missing.append(spelling("application_credential_secret")) }
        if let id = self["application_credential_id"] { return secret.map { .applicationCredential(id: id, secret: $0) } }
        guard let name = self["application_credential_name"] else {
            missing.append("\(spelling("application_credential_id")) (or \(spelling("application_credential_name")))")
            return nil
        }
        guard let user = named("user", nameKey: "username", &missing), let secret else { return nil }
        return .namedApplicationCredential(name: name, user: user, secret: secret)
    }

    private func scope(_ identity: Credentials.Identity?, _ missing: inout [String]) -> Credentials.Scope? {
        switch identity {
        case .applicationCredential, .namedApplicationCredential: return .ofIdentity
        case .password, nil: break
        }
        if self["system_scope"] != nil { return .system }
        if self["project_id"] ?? self["project_name"] != nil {
            return named("project", nameKey: "project_name", &missing).map { .project($0) }
        }
        if let id = self["domain_id"] { return .domain(.id(id)) }
        if let name = self["domain_name"] { return .domain(.name(name, domain: nil)) }
        // Nothing about the scope where an application credential is meant but not complete: it needs none.
        let meansCredential = ["secret", "id", "name"].contains { self["application_credential_\($0)"] != nil }
        if identity != nil || !meansCredential {
            missing.append("\(spelling("project_name")) (or \(spelling("project_id")))")
        }
        return nil
    }

    /// A user or project: its id, or its name with a domain.
    private func named(_ what: String, nameKey: String, _ missing: inout [String]) -> Credentials.Named? {
        if let id = self["\(what)_id"] { return .id(id) }
        guard let name = self[nameKey] else {
            missing.append("\(spelling(nameKey)) (or \(spelling("\(what)_id")))")
            return nil
        }
        if let id = self["\(what)_domain_id"] { return .name(name, domain: .id(id)) }
        if let domain = self["\(what)_domain_name"] { return .name(name, domain: .name(domain)) }
        if let id = self["default_domain_id"] { return .name(name, domain: .id(id)) }
        if let domain = self["default_domain_name"] { return .name(name, domain: .name(domain)) }
        missing.append("\(spelling("\(what)_domain_name")) (or \(spelling("\(what)_domain_id")))")
        return nil
    }

    /// Old rc files write `publicURL`.
    private func interface() throws(Failure) -> Credentials.Interface {
        guard let text = self["interface"] else { return .public }
        let word = text.hasSuffix("URL") ? String(text.dropLast(3)) : text
        if let interface = Credentials.Interface(rawValue: word) { return interface }
        throw Failure(.permanent, "\(spelling("interface")) '\(text)' of \(source) must be public, internal or admin")
    }

    private func isInsecure() throws(Failure) -> Bool {
        switch self["insecure"]?.lowercased() {
        case nil, "false", "no", "off", "0", "f", "n": return false
        case "true", "yes", "on", "1", "t", "y": return true
        case .some:
            throw Failure(.permanent, "\(spelling("insecure")) of \(source) must be true or false")
        }
    }

    private func incomplete(_ missing: [String]) -> Failure {
        let odd = unknown.map { Printable.text(Array($0.utf8), limit: 60) }.joined(separator: ", ")
        let hint = odd.isEmpty ? "" : " (not understood there: \(odd))"
        let remedy =
            "source an overcloudrc that sets OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME and their domains, "
            + "or name a complete entry of clouds.yaml (`cloud:` in the configuration, or OS_CLOUD)"
        return Failure(.permanent, "\(source) lacks \(missing.joined(separator: ", "))\(hint); \(remedy)")
    }
}

extension CloudSettings {
    /// The variables of an rc file. `OS_TENANT_*` and `OS_ENDPOINT_TYPE` are what older ones say.
    static func fromEnvironment(_ environment: [String: String]) throws(Failure) -> CloudSettings {
        var settings = CloudSettings(source: "the OS_* environment", spelling: { "OS_" + Self.environmentName($0) })
        for key in authKeys + cloudKeys {
            if let value = environment.filled("OS_" + environmentName(key)) { settings.values[key] = value }
        }
        for (key, old) in [("project_name", "OS_TENANT_NAME"), ("project_id", "OS_TENANT_ID"), ("interface", "OS_ENDPOINT_TYPE")] {
            if settings.values[key] == nil, let value = environment.filled(old) { settings.values[key] = value }
        }
        return settings
    }

    private static func environmentName(_ key: String) -> String {
        switch key {
        case "default_domain_name": "DEFAULT_DOMAIN"
        default: key.uppercased()
        }
    }
}
