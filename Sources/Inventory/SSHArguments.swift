import ForecacheModel

/// The options of ssh's command line that are understood, read from `ansible_ssh_common_args` and its siblings as ssh does: of an option given
/// twice the first counts, and every `IdentityFile` does.
struct SSHArguments {
    var port: Int?
    var user: String?
    /// `.some(nil)` where `ProxyJump=none` says to go straight.
    var jump: JumpHost??
    var hostKeyChecking: HostKeyChecking?
    var knownHostsFiles: [String]?
    var identityFiles: [String] = []
    /// Names of options that mean nothing here.
    var ignored: [String] = []
    /// What is wrong with an option that is understood; holds no value of any other.
    var faults: [String] = []
    /// Words that are no options, and what `-W` says: they mean something in a ProxyCommand only.
    private var operands: [String] = []
    private var forwarding: String?

    /// ssh's one-letter options that take a value.
    private static let lettersWithValue = Set("BbcDEeFIiJLlmOopQRSWw")

    init(_ text: String) {
        guard let words = Self.words(of: text) else {
            faults.append("has a quote that is not closed")
            return
        }
        read(words)
        if !operands.isEmpty { ignored.append("a word that is no option") }
        if forwarding != nil { ignored.append("-W") }
    }

    private init(words: some Sequence<String>) { read(words) }

    private mutating func read(_ words: some Sequence<String>) {
        var rest = Array(words)[...]
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), let letter = word.dropFirst().first else {
                if word.hasPrefix("-") { ignored.append(word) } else { operands.append(word) }
                continue
            }
            guard Self.lettersWithValue.contains(letter) else {
                ignored.append("-\(letter)")
                continue
            }
            guard let value = word.count > 2 ? String(word.dropFirst(2)) : rest.popFirst() else {
                faults.append("ends with -\(letter), which needs a value")
                return
            }
            switch letter {
            case "o": option(value)
            case "J": take("ProxyJump", value)
            case "i": take("IdentityFile", value)
            case "p": take("Port", value)
            case "l": take("User", value)
            case "W": forwarding = forwarding ?? value
            default: ignored.append("-\(letter)")
            }
        }
    }

    /// `Key=value`, `Key = value` or `Key value`.
    private mutating func option(_ text: String) {
        let text = text.drop { $0 == " " || $0 == "\t" }
        let key = text.prefix { $0 != "=" && $0 != " " && $0 != "\t" }
        var value = text[key.endIndex...].drop { $0 == " " || $0 == "\t" }
        if value.first == "=" { value = value.dropFirst().drop { $0 == " " || $0 == "\t" } }
        take(String(key), String(value))
    }

    private mutating func take(_ key: String, _ text: String) {
        if key.lowercased() == "proxycommand" { return takeProxyCommand(text) }
        guard let values = Self.words(of: text), let value = values.first, values.allSatisfy(PathText.isPath) else {
            if Self.isUnderstood(key) { faults.append("gives \(key) no value that can be used") } else { ignored.append(key) }
            return
        }
        switch key.lowercased() {
        case "port":
            guard let number = Int(value), (1...65535).contains(number) else { return faults.append("gives a Port outside of 1…65535") }
            port = port ?? number
        case "user":
            guard UserText.isUser(value) else { return faults.append("gives \(value.shown) as User, which is no login name") }
            user = user ?? value
        case "proxyjump":
            if value.lowercased() == "none" {
                jump = jump ?? .some(nil)
            } else if let bastion = JumpHost(value) {
                jump = jump ?? bastion
            } else {
                faults.append("gives \(value.shown) as ProxyJump; write one bastion as [user@]host[:port]")
            }
        case "stricthostkeychecking":
            guard let checking = HostKeyChecking(ssh: value) else {
                return faults.append("gives \(value.shown) as StrictHostKeyChecking; write yes, accept-new or no")
            }
            hostKeyChecking = hostKeyChecking ?? checking
        case "userknownhostsfile": knownHostsFiles = knownHostsFiles ?? (value.lowercased() == "none" ? [] : values)
        case "identityfile": if value.lowercased() != "none" { identityFiles.append(value) }
        case "identitiesonly": break  // Where keys are named, only they are tried.
        default: ignored.append(key)
        }
    }

    /// `ssh -W %h:%p [user@]host [-p port]`, which is how a bastion was named before there was ProxyJump. Nothing of it is ever run. Keys and known hosts that it
    /// names for the bastion alone have no effect: a bastion is logged in to as the hosts behind it are.
    private mutating func takeProxyCommand(_ text: String) {
        if text.lowercased() == "none" {
            jump = jump ?? .some(nil)
            return
        }
        let words = Self.words(of: text) ?? []
        let command = SSHArguments(words: words.dropFirst())
        guard ["ssh", "/usr/bin/ssh"].contains(words.first), let bastion = command.bastion else {
            return faults.append(
                "gives a ProxyCommand other than `ssh -W %h:%p [user@]host [-p port]`; write ProxyJump=[user@]host[:port]")
        }
        jump = jump ?? bastion
        ignored += command.ignored.map { "\($0) of ProxyCommand" }
        if !command.identityFiles.isEmpty { ignored.append("IdentityFile of ProxyCommand") }
        if command.knownHostsFiles != nil { ignored.append("UserKnownHostsFile of ProxyCommand") }
        if command.hostKeyChecking != nil { ignored.append("StrictHostKeyChecking of ProxyCommand") }
    }

    /// Where a ProxyCommand with these arguments goes through; nil where it is more than one bastion, or something else.
    private var bastion: JumpHost? {
        guard faults.isEmpty, jump == nil, operands.count == 1, let operand = operands.first,
            forwarding == "%h:%p" || forwarding == "[%h]:%p"
        else { return nil }
        var (name, host) = (user, operand)
        if let at = operand.lastIndex(of: "@") { (name, host) = (String(operand[..<at]), String(operand[operand.index(after: at)...])) }
        if host.contains(":"), AddressText.isAddress(host) { host = "[\(host)]" }
        return JumpHost((name.map { "\($0)@" } ?? "") + host + (port.map { ":\($0)" } ?? ""))
    }

    private static func isUnderstood(_ key: String) -> Bool {
        ["port", "user", "proxyjump", "stricthostkeychecking", "userknownhostsfile", "identityfile", "identitiesonly"].contains(
            key.lowercased())
    }

    /// Splits at white space, minding quotes and backslashes as a POSIX shell does. Nil where a quote is not closed.
    private static func words(of text: String) -> [String]? {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var isEscaped = false
        for character in text {
            if isEscaped {
                word = (word ?? "") + (quote == "\"" && character != "\"" && character != "\\" ? "\\\(character)" : String(character))
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
            } else if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + String(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character.isWhitespace {
                if let done = word { words.append(done) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        guard quote == nil, !isEscaped else { return nil }
        if let done = word { words.append(done) }
        return words
    }
}

extension HostKeyChecking {
    /// ssh's words; `ask` is strict here, where nobody can be asked.
    fileprivate init?(ssh word: String) {
        switch word.lowercased() {
        case "yes", "ask", "true": self = .strict
        case "accept-new": self = .acceptNew
        case "no", "off", "false": self = .off
        default: return nil
        }
    }
}

/// A file's path: not empty, no control characters, and nothing that a program takes for an option.
enum PathText {
    static func isPath(_ text: String) -> Bool {
        (1...4096).contains(text.utf8.count) && text.first != "-" && text.unicodeScalars.allSatisfy(\.isPrintable)
    }
}
