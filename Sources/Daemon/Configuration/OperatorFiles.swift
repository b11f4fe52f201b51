import ForecacheModel
import FoundationEssentials
import Glibc
import StrictYAML

/// The operator's files as the service reads them: bounded, in name order, with a reason where one cannot be read.
struct OperatorFiles: Sendable {
    let home: String
    /// Told of everything that is looked at.
    let journal: FilesRead?

    init(environment: [String: String], journal: FilesRead? = nil) {
        home = environment["HOME"] ?? "/"
        self.journal = journal
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// `~` is the home directory; relative paths count from `directory`.
    func absolute(_ path: String, from directory: String) -> String {
        if path == "~" { return home }
        if path.hasPrefix("~/") { return home + path.dropFirst() }
        if path.hasPrefix("/") || directory == "." { return path }
        return "\(directory)/\(path)"
    }

    /// One spelling for one path: without `.`, `..` and superfluous slashes.
    func plain(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == "..", let last = parts.last, last != ".." { parts.removeLast() } else { parts.append(part) }
        }
        return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    }

    func text(_ path: String) -> Result<String, Failure> {
        journal?.willRead(path)
        guard let bytes = Self.bytes(of: path) else {
            let (reason, remedy) = (String(cString: strerror(errno)).lowercased(), errno == EACCES ? "; run as a user that may" : "")
            return .failure(Failure(.permanent, "cannot read \(path): \(reason)\(remedy)"))
        }
        guard bytes.count <= Value.largestFileBytes, let text = String(validating: bytes, as: UTF8.self) else {
            return .failure(Failure(.permanent, "cannot read \(path): not UTF-8 text of at most \(Value.largestFileBytes) bytes"))
        }
        journal?.didRead(path, text)
        return .success(text)
    }

    /// Nil where there is none. Programs that run us as another user leave us in folders that we may not enter: nothing is looked for there.
    func textIfThere(_ path: String) throws(Failure) -> String? {
        let isBarred = path.hasPrefix("./") && access(".", X_OK) != 0
        return isBarred || Self.isAbsent(path) ? nil : try text(path).get()
    }

    /// At most a little more than may be taken, from a file or a pipe (`-e @/dev/stdin`). Nil where it cannot be read; `errno` says why.
    private static func bytes(of path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer {
            let reason = errno
            close(descriptor)
            errno = reason
        }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= Value.largestFileBytes {
            let count = Glibc.read(descriptor, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { break }
            bytes += part[..<count]
        }
        return bytes
    }

    typealias File = (path: String, text: String)

    /// The file at a path or, where that is a directory, its files whose names count: in name order, those of a directory that is entered in the place of its
    /// name. What cannot be read is noted, and reading goes on.
    func texts(
        at path: String, where counts: (String) -> Bool, entering enters: (String) -> Bool = { _ in false }, _ problems: inout Problems
    ) -> [File] {
        let base = Self.withoutSlash(path)
        guard isDirectory(base) else { return read(base, &problems).map { [$0] } ?? [] }
        return texts(in: base, levels: Self.deepestFolders, counts, enters, &problems)
    }

    private static func withoutSlash(_ path: String) -> String { path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path }

    /// A link may lead in a circle.
    private static let deepestFolders = 16

    private func texts(
        in directory: String, levels: Int, _ counts: (String) -> Bool, _ enters: (String) -> Bool, _ problems: inout Problems
    ) -> [File] {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        } catch {
            problems.add(Place(file: directory), "cannot list \(directory): permission denied")
            return []
        }
        var texts: [File] = []
        for name in names {
            let path = "\(directory)/\(name)"
            if isDirectory(path) {
                if enters(name), levels > 0 { texts += self.texts(in: path, levels: levels - 1, counts, enters, &problems) }
            } else if counts(name), let file = read(path, &problems) {
                texts.append(file)
            }
        }
        return texts
    }

    private func read(_ path: String, _ problems: inout Problems) -> File? {
        switch text(path) {
        case .success(let text): return (path, text)
        case .failure(let failure):
            problems.add(Place(file: path), failure.description)
            return nil
        }
    }

    /// What `ssh` itself uses where nothing is said: the user's own keys, as far as they exist, and known hosts. The user's file is where a host key that is
    /// accepted will be written.
    var sshDefaults: SSHSettings {
        let keys = ["id_ed25519", "id_ecdsa", "id_rsa"].map { "\(home)/.ssh/\($0)" }
        return SSHSettings(
            identityFiles: keys.filter { FileManager.default.fileExists(atPath: $0) },
            knownHostsFiles: ["\(home)/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"])
    }

    /// Whether nothing is there for sure. What may not be looked at is not absent: who reads it learns why it cannot be read.
    static func isAbsent(_ path: String) -> Bool { access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR) }

    /// The paths of what lies in a directory, but for what is hidden.
    func contents(of path: String) -> [String] {
        // A file is none, and what cannot be listed `texts` tells.
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else { return [] }
        return names.filter { !$0.hasPrefix(".") }.sorted().map { "\(Self.withoutSlash(path))/\($0)" }
    }

    func isDirectory(_ path: String) -> Bool {
        journal?.willRead(path)
        var isDirectory = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory
    }
}
