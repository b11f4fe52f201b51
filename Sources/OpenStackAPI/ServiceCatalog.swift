import ForecacheModel

/// Keystone's list of services and their addresses.
struct ServiceCatalog: Sendable {
    struct Service: Decodable, Sendable {
        var type: String
        var endpoints: [Endpoint]
    }

    struct Endpoint: Decodable, Sendable {
        var interface: String
        var regionID: String?
        /// What catalogs had before `region_id`; both say the same.
        var region: String?
        var url: String

        var regionName: String? { regionID ?? region }

        private enum CodingKeys: String, CodingKey {
            case interface, region, url
            case regionID = "region_id"
        }
    }

    var services: [Service]

    func imageEndpoint(_ credentials: Credentials) throws(Failure) -> String {
        try endpoint(of: "image", called: "Glance", credentials)
    }

    /// A service's address in the wanted region and interface. Where there is more than one choice, nothing is guessed.
    func endpoint(of type: String, called name: String, _ credentials: Credentials) throws(Failure) -> String {
        let endpoints = services.filter { $0.type == type }.flatMap(\.endpoints)
        guard !endpoints.isEmpty else {
            let types = Self.list(services.map(\.type))
            let what = "Keystone's catalog at \(credentials.authURL) has no service of type '\(type)' (it has \(types))"
            throw Failure(.permanent, "\(what); is the project scope right, and \(name) registered?")
        }
        let ofInterface = endpoints.filter { $0.interface == credentials.interface.rawValue }
        guard !ofInterface.isEmpty else {
            let what =
                "the catalog has no \(credentials.interface.rawValue) endpoint of \(name) (only \(Self.list(endpoints.map(\.interface))))"
            throw Failure(.permanent, "\(what); set OS_INTERFACE or `interface` in clouds.yaml")
        }
        let regions = Set(ofInterface.compactMap(\.regionName))
        if let region = credentials.region {
            guard let endpoint = ofInterface.first(where: { $0.regionName == region }) else {
                let what = "\(name) has no \(credentials.interface.rawValue) endpoint in region '\(region)' (only in \(Self.list(regions)))"
                throw Failure(.permanent, "\(what); set OS_REGION_NAME or `region_name` in clouds.yaml")
            }
            return endpoint.url
        }
        guard regions.count <= 1 else {
            let what = "\(name) has endpoints in several regions (\(Self.list(regions)))"
            throw Failure(.permanent, "\(what); choose one by OS_REGION_NAME or `region_name` in clouds.yaml")
        }
        return ofInterface[0].url
    }

    private static func list(_ words: some Sequence<String>) -> String {
        let known = Set(words).sorted()
        return known.isEmpty ? "nothing" : known.prefix(30).map { Printable.text(Array($0.utf8), limit: 60) }.joined(separator: ", ")
    }
}
