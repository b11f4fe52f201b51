public import ForecacheModel
import StrictYAML

/// The arguments of the `tripleo_nova_image_cache` playbook (`-e @FILE` or `-e key=value`), understood as they are.
public struct PlaybookArguments: Sendable {
    /// Nil: no list was given, which is not the same as an empty one.
    public var images: [String]?
    public var usesProxy: Bool?
    public var proxyHost: HostName?
    public var proxyNetwork: String?
    public var ignoresProxyError: Bool?
    public var proxyConcurrency: Int?
    /// The site to work on.
    public var plan: SiteName?

    public init() {}

    private static let prefix = "tripleo_nova_image_cache_"
    private static let names = [
        "images", "use_proxy", "proxy_hostname", "proxy_network", "ignore_proxy_error", "proxy_concurrency", "plan",
    ]

    /// Later arguments win, as Ansible's extra vars do. Throws `.invalid` with every problem.
    public static func read(_ arguments: [String], environment: [String: String]) throws(Refusal) -> PlaybookArguments {
        let files = OperatorFiles(environment: environment)
        var problems = Problems()
        var playbook = PlaybookArguments()
        for argument in arguments {
            if argument.hasPrefix("@"), argument.count > 1 {
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
        for pair in Self.words(of: pairs) {
            guard let equals = pair.firstIndex(of: "="), equals > pair.startIndex else {
                problems.add(place, "extra variables are @FILE or key=value, not '\(String(pair.prefix(60)).printable)'")
                continue
            }
            let text = String(pair[pair.index(after: equals)...])
            var value = Value(.scalar(text, isPlain: true), at: place)
            // Ansible evaluates a text that looks like a list when it is used as one.
            if text.hasPrefix("["), let list = Value.parse(text, file: "-e", problems: &problems) { value = list }
            take(Value(.mapping([.init(key: String(pair[..<equals]), keyPlace: place, value: value)]), at: place), &problems)
        }
    }

    /// Words between blanks; quotes hold blanks together, as in Ansible's `key=value` form, and so do the brackets of a list.
    private static func words(of text: String) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in text {
            let isInList = word.map { $0.contains("=[") && !$0.hasSuffix("]") } ?? false
            if quote == character {
                quote = nil
            } else if quote == nil, !isInList, character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if quote == nil, !isInList, character.isWhitespace {
                if let word { words.append(word) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        if let word { words.append(word) }
        return words
    }

    /// Variables of other names are somebody else's and passed over, as Ansible does, unless they look like a slip of ours.
    private mutating func take(_ root: Value, _ problems: inout Problems) {
        guard case .mapping(let entries) = root.content else {
            if root.content != .null { problems.add(root.place, "extra variables must be a mapping of names and values, not \(root.kind)") }
            return
        }
        let known = Self.names.map { Self.prefix + $0 }
        let isOwn = { (key: String) in
            key.hasPrefix(Self.prefix) || key.hasPrefix("tripleo_nova_") && key.contains("cache")
                || Nearest.word(to: key, among: known) != nil
        }
        let own = Value(.mapping(entries.filter { isOwn($0.key) }), at: root.place)
        guard var keys = Mapping(own, "the playbook's arguments", &problems) else { return }
        if let list = keys.take(Self.prefix + "images") { images = imageIDs(list, &problems) }
        if let value = keys.take(Self.prefix + "use_proxy") { usesProxy = Self.truth(value, "use_proxy", &problems) }
        if let value = keys.take(Self.prefix + "proxy_hostname") {
            proxyHost = value.string(Self.prefix + "proxy_hostname", &problems).map { HostName($0) }
        }
        if let value = keys.take(Self.prefix + "proxy_network") { proxyNetwork = value.string(Self.prefix + "proxy_network", &problems) }
        if let value = keys.take(Self.prefix + "ignore_proxy_error") {
            ignoresProxyError = Self.truth(value, "ignore_proxy_error", &problems)
        }
        if let value = keys.take(Self.prefix + "proxy_concurrency") {
            proxyConcurrency = value.integer(Self.prefix + "proxy_concurrency", in: LimitKeys.forks, &problems)
        }
        if let value = keys.take(Self.prefix + "plan") { plan = value.string(Self.prefix + "plan", &problems).map { SiteName($0) } }
        keys.finish(&problems)
    }

    /// What Ansible's `bool` filter takes for true and false, quoted or not.
    private static func truth(_ value: Value, _ what: String, _ problems: inout Problems) -> Bool? {
        if case .scalar(let text, _) = value.content {
            switch text.lowercased() {
            case "true", "yes", "on", "y", "t", "1": return true
            case "false", "no", "off", "n", "f", "0": return false
            default: break
            }
        }
        problems.add(value.place, "\(prefix)\(what) must be true or false, not \(value.kind)")
        return nil
    }

    private func imageIDs(_ list: Value, _ problems: inout Problems) -> [String] {
        (list.sequence("tripleo_nova_image_cache_images", &problems) ?? []).compactMap { item in
            guard var keys = Mapping(item, "an image", &problems) else { return nil }
            let id = keys.require("id", &problems)?.string("id", &problems)
            if let state = keys.take("state"), state.string("state", &problems) != "present" {
                problems.add(state.place, "state must be present, not \(state.kind): forecache never removes base files, Nova does")
            }
            keys.finish(&problems)
            return id
        }
    }
}
