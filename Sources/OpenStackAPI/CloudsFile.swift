import ForecacheModel
import StrictYAML

extension CloudSettings {
    /// One entry of clouds.yaml, with secure.yaml's entry of the same name laid over it.
    static func fromCloudsFile(
        cloud: String, environment: [String: String], readFile: (String) throws(Failure) -> String?
    ) throws(Failure) -> CloudSettings {
        let folders = searchFolders(environment)
        let usual = folders.flatMap { folder in ["clouds.yaml", "clouds.yml", "clouds.json"].map { folder + $0 } }
        let names = environment.filled("OS_CLIENT_CONFIG_FILE").map { [$0] } ?? usual
        let (found, unread) = try firstFile(names, readFile)
        guard let (path, root) = found else {
            if let unread { throw unread }
            let what = "no clouds.yaml for cloud '\(cloud)'; looked for \(names.joined(separator: ", "))"
            throw Failure(.permanent, "\(what); write one, or name it by OS_CLIENT_CONFIG_FILE")
        }
        let entries = root.child("clouds")
        guard var entry = entries?.child(cloud) else {
            let known = entries?.keys.sorted() ?? []
            let has = "; it has \(known.isEmpty ? "none" : known.joined(separator: ", "))"
            let near = Nearest.word(to: cloud, among: known).map { "; did you mean '\($0)'?" } ?? has
            throw Failure(.permanent, "\(path) has no cloud '\(cloud)'\(near)\(unread.map { " (\($0))" } ?? "")")
        }
        let secureName = environment.filled("OS_CLIENT_SECURE_FILE")
        let (secure, unreadSecure) = try firstFile(secureName.map { [$0] } ?? folders.map { $0 + "secure.yaml" }, readFile)
        if secureName != nil, let unreadSecure { throw unreadSecure }
        if let over = secure?.root.child("clouds")?.child(cloud) { entry = entry.overlaid(with: over) }
        // What is missing may stand there.
        let source = "cloud '\(cloud)' of \(path)\(unreadSecure.map { " (\($0))" } ?? "")"
        var reader = CloudEntryReader(home: environment.filled("HOME"), entry: entry)
        let settings = reader.settings(source: source)
        guard reader.problems.isEmpty else { throw Failure(.permanent, "\(path) is not valid", cause: reader.problems.description) }
        return settings
    }

    /// openstacksdk's order: here, the user's, the machine's.
    private static func searchFolders(_ environment: [String: String]) -> [String] {
        let home = environment.filled("HOME")
        let user = environment.filled("XDG_CONFIG_HOME") ?? home.map { $0 + "/.config" }
        return ["./"] + (user.map { [$0 + "/openstack/"] } ?? []) + ["/etc/openstack/"]
    }

    /// As openstacksdk does, a file that cannot be read is passed over: the next may do. `unread`: why the first of these could not be.
    private static func firstFile(
        _ names: [String], _ readFile: (String) throws(Failure) -> String?
    ) throws(Failure) -> (found: (path: String, root: Value)?, unread: Failure?) {
        var unread: Failure?
        for path in names {
            let text: String?
            do throws(Failure) { text = try readFile(path) } catch {
                unread = unread ?? error
                continue
            }
            guard let text else { continue }
            var problems = Problems()
            guard let root = Value.parse(text, file: path, problems: &problems) else {
                throw Failure(.permanent, "\(path) is not valid", cause: problems.description)
            }
            return ((path, root), unread)
        }
        return (nil, unread)
    }
}

/// Reads the settings we know. Other keys of clouds.yaml belong to other programs and are left alone.
private struct CloudEntryReader {
    var home: String?
    var entry: Value
    var problems = Problems()

    mutating func settings(source: String) -> CloudSettings {
        let authKeys = Set(CloudSettings.authKeys)
        var settings = CloudSettings(source: source, spelling: { authKeys.contains($0) ? "auth.\($0)" : $0 })
        let auth = entry.child("auth")
        for key in CloudSettings.authKeys {
            // Both places are read, as openstacksdk does; `auth` wins.
            settings.values[key] = text(key, in: auth) ?? text(key, in: entry)
        }
        for key in CloudSettings.cloudKeys { settings.values[key] = text(key, in: entry) }
        readOtherSpellings(&settings)
        for key in ["cacert", "cert", "key"] {
            if let path = settings.values[key], path.hasPrefix("~/"), let home { settings.values[key] = home + path.dropFirst(1) }
        }
        let known = CloudSettings.authKeys
        settings.unknown = (auth?.keys ?? []).filter { !known.contains($0) && Nearest.word(to: $0, among: known) != nil }
        return settings
    }

    /// Nil where it is empty, too: the other place or spelling counts then.
    private mutating func text(_ key: String, in place: Value?) -> String? {
        let text = place?.child(key)?.string("'\(key)'", mayBeEmpty: true, &problems)
        return text == "" ? nil : text
    }

    private mutating func readOtherSpellings(_ settings: inout CloudSettings) {
        settings.values["interface"] = settings.values["interface"] ?? text("endpoint_type", in: entry)
        if settings.values["insecure"] == nil, let verify = entry.child("verify")?.bool("'verify'", &problems) {
            settings.values["insecure"] = verify ? "false" : "true"
        }
        // `regions:` with one entry is a choice; several are none, and the catalog's are listed then.
        if settings.values["region_name"] == nil, let regions = entry.child("regions")?.sequence("'regions'", &problems),
            let only = regions.first,
            regions.count == 1, let name = (only.child("name") ?? only).string("the region", mayBeEmpty: true, &problems)
        {
            settings.values["region_name"] = name
        }
    }
}

extension Value {
    /// The value of a key; nil where there is none, or this is no mapping.
    fileprivate func child(_ key: String) -> Value? {
        guard case .mapping(let entries) = content, let value = entries.first(where: { $0.key == key })?.value else { return nil }
        return value.content == .null ? nil : value
    }

    fileprivate var keys: [String] {
        guard case .mapping(let entries) = content else { return [] }
        return entries.map(\.key)
    }

    /// This mapping with another one's values laid over it, mapping by mapping.
    fileprivate func overlaid(with over: Value) -> Value {
        guard case .mapping(var entries) = content, case .mapping(let others) = over.content else { return over }
        for other in others {
            if let index = entries.firstIndex(where: { $0.key == other.key }) {
                entries[index].value = entries[index].value.overlaid(with: other.value)
            } else {
                entries.append(other)
            }
        }
        return Value(.mapping(entries), at: place)
    }
}
