public import ForecacheModel
import StrictYAML

/// The arguments of the `tripleo_nova_image_cache` playbook (`-e @FILE` or `-e key=value`), understood as they are.
public struct PlaybookArguments: Sendable {
    public var images: [String] = []
    public var usesProxy: Bool?
    public var proxyHost: HostName?
    public var proxyNetwork: String?
    public var ignoresProxyError: Bool?
    public var proxyConcurrency: Int?
    /// The site to work on.
    public var plan: SiteName?

    public init() {}

    private static let prefix = "tripleo_nova_image_cache_"

    /// Later arguments win, as Ansible's extra vars do. Throws `.invalid` with every problem.
    public static func read(_ arguments: [String], environment: [String: String]) throws(Refusal) -> PlaybookArguments {
        let files = OperatorFiles(environment: environment)
        var problems = Problems()
        var playbook = PlaybookArguments()
        for argument in arguments {
            if argument.hasPrefix("@") {
                let path = files.absolute(String(argument.dropFirst()), from: ".")
                switch files.text(path) {
                case .success(let text):
                    if let root = Value.parse(text, file: path, problems: &problems) { playbook.take(root, &problems) }
                case .failure(let failure): problems.add(Place(file: path), failure.description)
                }
            } else if argument.hasPrefix("{") {
                if let root = Value.parse(argument, file: "-e", problems: &problems) { playbook.take(root, &problems) }
            } else {
                playbook.take(pairs: argument, &problems)
            }
        }
        guard problems.isEmpty else { throw .invalid(problems) }
        return playbook
    }

    private mutating func take(pairs: String, _ problems: inout Problems) {
        let place = Place(file: "-e")
        for pair in pairs.split(separator: " ") {
            guard let equals = pair.firstIndex(of: "=") else {
                problems.add(place, "extra variables are @FILE or key=value, not '\(pair)'")
                continue
            }
            let text = Value(.scalar(String(pair[pair.index(after: equals)...]), isPlain: true), at: place)
            take(Value(.mapping([.init(key: String(pair[..<equals]), keyPlace: place, value: text)]), at: place), &problems)
        }
    }

    /// Variables without the playbook's prefix are somebody else's and passed over, as Ansible does.
    private mutating func take(_ root: Value, _ problems: inout Problems) {
        guard case .mapping(let entries) = root.content else {
            if root.content != .null { problems.add(root.place, "extra variables must be a mapping of names and values, not \(root.kind)") }
            return
        }
        let own = Value(.mapping(entries.filter { $0.key.hasPrefix(Self.prefix) }), at: root.place)
        guard var keys = Mapping(own, "the playbook's arguments", &problems) else { return }
        if let list = keys.take(Self.prefix + "images") { images += imageIDs(list, &problems) }
        if let value = keys.take(Self.prefix + "use_proxy") { usesProxy = value.bool("use_proxy", &problems) }
        if let value = keys.take(Self.prefix + "proxy_hostname") {
            proxyHost = value.string("proxy_hostname", &problems).map { HostName($0) }
        }
        if let value = keys.take(Self.prefix + "proxy_network") { proxyNetwork = value.string("proxy_network", &problems) }
        if let value = keys.take(Self.prefix + "ignore_proxy_error") { ignoresProxyError = value.bool("ignore_proxy_error", &problems) }
        if let value = keys.take(Self.prefix + "proxy_concurrency") {
            proxyConcurrency = value.integer("proxy_concurrency", in: 1...10_000, &problems)
        }
        if let value = keys.take(Self.prefix + "plan") { plan = value.string("plan", &problems).map { SiteName($0) } }
        keys.finish(&problems)
    }

    private func imageIDs(_ list: Value, _ problems: inout Problems) -> [String] {
        (list.sequence("tripleo_nova_image_cache_images", &problems) ?? []).compactMap { item in
            guard var keys = Mapping(item, "an image", &problems) else { return nil }
            let id = keys.require("id", &problems)?.string("id", &problems)
            if let state = keys.take("state"), state.string("state", &problems) != "present" {
                problems.add(state.place, "state must be present: forecache never removes base files, Nova does")
            }
            keys.finish(&problems)
            return id
        }
    }
}
