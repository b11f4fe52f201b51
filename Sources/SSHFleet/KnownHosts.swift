import Crypto
import ForecacheModel
import Foundation

/// OpenSSH's known_hosts (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), matched as OpenSSH does: libssh2's own matcher ignores `@revoked`, knows no wildcards and
/// takes a host that is known by another key type for a changed one.
struct KnownHosts: Sendable {
    /// One line that names a key.
    struct Entry: Sendable {
        enum Marker: Sendable {
            case none, revoked, certificateAuthority
        }

        /// Whom the line is about.
        enum Names: Sendable {
            /// A comma list with `*`, `?` and `!`, in lower case.
            case patterns(String)
            /// `|1|salt|HMAC-SHA1(salt, name)`, decoded.
            case hashed(salt: SymmetricKey, hash: Data)
        }

        var marker: Marker
        var names: Names
        var keyType: String
        var key: [UInt8]
        /// `file:line`.
        var place: String
    }

    enum Verdict: Hashable, Sendable {
        case matched(place: String)
        /// No line names this host.
        case unknown
        /// The host is known, and by other keys; where they stand.
        case changed(places: [String])
        case revoked(place: String)
    }

    private(set) var entries: [Entry] = []
    /// Files that could not be read, with the reason, and lines that mean nothing to us.
    private(set) var notes: [String] = []

    init() {}

    /// What the presented key is to us. Port 22 is looked up by the bare name, others as `[name]:port` and then, as OpenSSH does, by the bare name, which can
    /// accept a key but does not make it a changed one.
    func verdict(host: String, port: Int, key: [UInt8]) -> Verdict {
        for name in Self.names(host: host, port: port) {
            if let revoked = entries.first(where: { $0.marker == .revoked && $0.key == key && $0.names.include(name) }) {
                return .revoked(place: revoked.place)
            }
        }
        var places: [String] = []
        for (rank, name) in Self.names(host: host, port: port).enumerated() {
            let known = entries.filter { $0.marker == .none && $0.names.include(name) }
            if let match = known.first(where: { $0.key == key }) { return .matched(place: match.place) }
            if rank == 0 { places = known.map(\.place) }
        }
        return places.isEmpty ? .unknown : .changed(places: places)
    }

    /// Types of the keys that the host is known by, in file order: asking the server for anything else would make a known host an unknown one.
    func keyTypes(host: String, port: Int) -> [String] {
        for name in Self.names(host: host, port: port) {
            var types: [String] = []
            for entry in entries where entry.marker == .none && !types.contains(entry.keyType) && entry.names.include(name) {
                types.append(entry.keyType)
            }
            if !types.isEmpty { return types }
        }
        return []
    }

    private static func names(host: String, port: Int) -> [String] {
        let host = host.lowercased()
        return port == 22 ? [host] : ["[\(host)]:\(port)", host]
    }

    // MARK: Reading

    /// Largest file that is read, in bytes: 100 000 hosts.
    static let sizeLimit = 32 << 20

    mutating func addFile(_ path: String) {
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            guard data.count <= Self.sizeLimit else {
                return notes.append("\(path) is larger than \(Self.sizeLimit) bytes and was not read")
            }
            add(String(decoding: data, as: UTF8.self), file: path)
        } catch {
            notes.append("\(path) cannot be read: \(unreadable(path))")
        }
    }

    mutating func add(_ text: String, file: String) {
        // By bytes: as characters, the two that end a line on Windows are one that is neither of them.
        for (index, line) in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let words = line.split { [UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r")].contains($0) }.map(Substring.init)
            guard let first = words.first, first.utf8.first != UInt8(ascii: "#") else { continue }
            addLine(words, place: "\(file):\(index + 1)")
        }
    }

    private mutating func addLine(_ words: [Substring], place: String) {
        var words = words[...]
        var marker = Entry.Marker.none
        if words[0].hasPrefix("@") {
            switch words[0] {
            case "@revoked": marker = .revoked
            case "@cert-authority": marker = .certificateAuthority
            default: return notes.append("\(place): the marker \(words[0].prefix(40)) is not known")
            }
            words = words.dropFirst()
        }
        guard words.count >= 3 else { return notes.append("\(place): not a line of known_hosts") }
        let base = words.startIndex
        guard let key = Data(base64Encoded: String(words[base + 2])).map(Array.init), Wire.keyType(of: key) == String(words[base + 1])
        else {
            return notes.append("\(place): the key cannot be read")
        }
        guard let names = Entry.Names(words[base]) else { return notes.append("\(place): the hashed name cannot be read") }
        if marker == .certificateAuthority {
            notes.append("\(place): @cert-authority is ignored: host certificates are not supported, so the hosts need lines of their own")
        }
        entries.append(
            Entry(marker: marker, names: names, keyType: String(words[base + 1]), key: key, place: place))
    }

    // MARK: Writing

    /// Adds the host's key to a file, which is made where there is none; nil, or why that cannot be. One write to the end of it: others may be writing too.
    static func append(_ key: [UInt8], host: String, port: Int, to path: String) -> String? {
        let file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { return systemText(errno) }
        defer { close(file) }
        var state = stat()
        guard fstat(file, &state) == 0 else { return systemText(errno) }
        // What is not read back must not count as remembered.
        guard state.st_mode & S_IFMT == S_IFREG else { return "it is no regular file" }
        guard state.st_size < sizeLimit else { return "it is larger than \(sizeLimit) bytes" }
        // A last line without its end must not swallow ours.
        var last = UInt8(ascii: "\n")
        if state.st_size > 0, pread(file, &last, 1, state.st_size - 1) != 1 { return systemText(errno) }
        let begin = last == UInt8(ascii: "\n") ? "" : "\n"
        let line = "\(begin)\(names(host: host, port: port)[0]) \(Wire.keyType(of: key) ?? "") \(Data(key).base64EncodedString())\n"
        return write(file, line, line.utf8.count) == line.utf8.count ? nil : "a line could not be written whole"
    }

    /// `SHA256:…` as ssh-keygen -l prints it.
    static func fingerprint(_ key: [UInt8]) -> String {
        "SHA256:" + Data(SHA256.hash(data: key)).base64EncodedString().replacingOccurrences(of: "=", with: "")
    }
}

extension KnownHosts.Entry.Names {
    /// Nil for a hash that is none.
    init?(_ word: Substring) {
        guard word.utf8.first == UInt8(ascii: "|") else {
            self = .patterns(word.lowercased())
            return
        }
        let parts = word.split(separator: "|", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[1] == "1", let salt = Data(base64Encoded: String(parts[2])),
            let hash = Data(base64Encoded: String(parts[3]))
        else { return nil }
        self = .hashed(salt: SymmetricKey(data: salt), hash: hash)
    }

    /// A negated pattern that matches forbids the line.
    func include(_ name: String) -> Bool {
        switch self {
        case .hashed(let salt, let hash): HMAC<Insecure.SHA1>.isValidAuthenticationCode(hash, authenticating: Array(name.utf8), using: salt)
        case .patterns(let patterns): Self.matches(patterns, name)
        }
    }

    private static func matches(_ patterns: String, _ name: String) -> Bool {
        var isMatch = false
        for pattern in patterns.split(separator: ",") {
            if pattern.hasPrefix("!") {
                if glob(pattern.dropFirst(), name) { return false }
            } else if glob(pattern, name) {
                isMatch = true
            }
        }
        return isMatch
    }

    /// In steps of at most pattern times name, whatever the pattern.
    private static func glob(_ pattern: Substring, _ name: String) -> Bool {
        let pattern = Array(pattern.utf8)
        let name = Array(name.utf8)
        var (place, at) = (0, 0)
        var star: (place: Int, at: Int)?
        while at < name.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                star = (place, at)
                place += 1
            } else if place < pattern.count, pattern[place] == UInt8(ascii: "?") || pattern[place] == name[at] {
                place += 1
                at += 1
            } else if let last = star {
                star = (last.place, last.at + 1)
                (place, at) = (last.place + 1, last.at + 1)
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
