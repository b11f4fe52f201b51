import ForecacheModel

/// What the node program can be asked to do.
enum NodeVerb: String, Sendable, CaseIterable {
    case survey, fetch, copy, publish, release, touch, sweep, receive, read
}

/// The node program as the command of an SSH session, and its parameters as standard input. The head of `Node/common.sh` has the protocol.
enum NodeCommand {
    /// libssh2 sends a command in one packet of at most 35 000 bytes, with 256 for itself.
    static let lengthLimit = 34_700

    private static let parts: [String: [UInt8]] = [
        "common": PackageResources.common_sh, "container": PackageResources.container_sh, "convert": PackageResources.convert_sh,
        "copy": PackageResources.copy_sh, "digest": PackageResources.digest_sh, "directory": PackageResources.directory_sh,
        "fetch": PackageResources.fetch_sh, "follower": PackageResources.follower_sh, "growing": PackageResources.growing_sh,
        "image": PackageResources.image_sh, "listing": PackageResources.listing_sh, "lock": PackageResources.lock_sh,
        "publish": PackageResources.publish_sh, "read": PackageResources.read_sh, "receive": PackageResources.receive_sh,
        "release": PackageResources.release_sh, "streams": PackageResources.streams_sh, "supervise": PackageResources.supervise_sh,
        "survey": PackageResources.survey_sh, "sweep": PackageResources.sweep_sh, "touch": PackageResources.touch_sh,
        "transfer": PackageResources.transfer_sh,
    ]

    private static let quotedPrograms = Dictionary(uniqueKeysWithValues: NodeVerb.allCases.map { ($0, quoted(program($0))) })

    /// The parts that the verb's own file asks for, that file, and the call. Without whole-comment lines and indentation, which a shell does not need and
    /// a packet has no room for.
    static func program(_ verb: NodeVerb) -> String {
        let own = lines(of: verb.rawValue)
        let needs = "# Parts: "
        guard let wanted = own.first(where: { $0.hasPrefix(needs) }) else {
            preconditionFailure("Node/\(verb).sh has no line of its parts")
        }
        let needed = wanted.dropFirst(needs.count).split(separator: " ").flatMap { lines(of: String($0)) }
        return ((needed + own).filter { !$0.drop { $0 == "\t" }.hasPrefix("#") } + ["main"]).joined(separator: "\n")
    }

    private static func lines(of part: String) -> [Substring] {
        guard let bytes = parts[part] else { preconditionFailure("there is no Node/\(part).sh") }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { $0.drop { $0 == " " } }.filter { !$0.isEmpty }
    }

    /// The command line for a login shell on the node.
    static func text(_ verb: NodeVerb, become: Become) -> String {
        let shell =
            switch become {
            case .sudo: "sudo -n sh"
            case .none: "sh"
            }
        return "\(shell) -c \(quotedPrograms[verb, default: "false"]) forecache-node \(verb.rawValue)"
    }

    /// The one quoting function: a word that a POSIX shell takes for exactly this text. There is no way to write a NUL, and no caller has one.
    static func quoted(_ text: String) -> String {
        precondition(!text.utf8.contains(0), "a shell word cannot hold a NUL")
        return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    /// `key=value` lines up to a line with a dot, then `names` up to another. Nil values are left out. The token goes this way and no other.
    static func input(
        _ values: KeyValuePairs<String, String?>..., names: [BaseFileName]? = nil, host: Host
    ) throws(Failure) -> [UInt8] {
        var text = ""
        for (key, value) in values.joined() {
            guard let value else { continue }
            guard value.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control }) else {
                throw Failure(
                    .permanent, "the value of \(key) for \(host.name) has a control character in it, which no line can carry; correct it")
            }
            guard key.utf8.count + value.utf8.count < 16000 else {
                throw Failure(.permanent, "the value of \(key) for \(host.name) is longer than 16 000 bytes; correct it")
            }
            text += "\(key)=\(value)\n"
        }
        text += ".\n"
        if let names { text += names.map { "\($0.text)\n" }.joined() + ".\n" }
        return Array(text.utf8)
    }
}
