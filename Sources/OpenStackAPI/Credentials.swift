public import ForecacheModel

/// Who we are to OpenStack and where its Keystone is. Read once at start; printing it shows no secret.
public struct Credentials: Hashable, Sendable {
    public enum Identity: Hashable, Sendable {
        case password(user: Named, password: Secret)
        /// Carries its own scope.
        case applicationCredential(id: String, secret: Secret)
        /// A name is unique only within its user.
        case namedApplicationCredential(name: String, user: Named, secret: Secret)
    }

    public enum Scope: Hashable, Sendable {
        case project(Named)
        case domain(Named)
        case system
        /// The application credential's own.
        case ofIdentity
    }

    /// A user, project or domain: by id, or by name within a domain.
    public enum Named: Hashable, Sendable {
        case id(String)
        case name(String, domain: Domain?)
    }

    public enum Domain: Hashable, Sendable {
        case id(String)
        case name(String)
    }

    /// Which of an endpoint's addresses is used.
    public enum Interface: String, Hashable, Sendable, CaseIterable { case `public`, `internal`, admin }

    /// Keystone's root, always ending in `/v3`.
    public var authURL: String
    public var identity: Identity
    public var scope: Scope
    /// Nil is enough where the catalog has one region.
    public var region: String?
    public var interface: Interface
    /// Glance's address instead of the catalog's.
    public var imageEndpoint: String?
    /// PEM file that servers are checked with; nil means the system's store.
    public var caFile: String?
    public var certificateFile: String?
    public var keyFile: String?
    /// True only where the operator switched verification off.
    public var isInsecure: Bool
    /// Where these were read, for messages: `the OS_* environment`, `cloud 'lab' in /etc/openstack/clouds.yaml`.
    public var source: String

    /// Reads them from the named entry of a clouds.yaml, else from the one that `OS_CLOUD` names, else from the `OS_*` variables of an overcloudrc.
    ///
    /// `readFile` answers a file's text, or nil where there is no such file, and throws why one that is there cannot be read. The failure lists everything that
    /// is missing.
    /// Source: openstacksdk's `config/loader.py`, keystoneauth1's `loading/_plugins/identity`.
    public static func load(
        cloud: String?, environment: [String: String], readFile: (String) throws(Failure) -> String?
    ) throws(Failure) -> Credentials {
        let settings =
            if let cloud = cloud ?? environment.filled("OS_CLOUD"), cloud != "envvars" {
                try CloudSettings.fromCloudsFile(cloud: cloud, environment: environment, readFile: readFile)
            } else {
                try CloudSettings.fromEnvironment(environment)
            }
        return try settings.credentials()
    }
}

extension [String: String] {
    /// The value of a variable that is set to something: an empty one counts as not set, as with OpenStack's own clients.
    func filled(_ key: String) -> String? { self[key].flatMap { $0.isEmpty ? nil : $0 } }
}
