import ForecacheModel
import Foundation

/// The file on disk, before SQLite sees it.
enum LedgerFile {
    /// Makes the directory and an empty file of mode 0600: SQLite gives its log the same mode, and names of tenants' images are nobody else's business.
    /// What exists keeps its mode, so that an operator may let a group read it.
    static func prepare(_ path: String) throws(Failure) {
        let directory = URL(fileURLWithPath: path).deletingLastPathComponent().path
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700]
            )
        } catch {
            throw Failure(
                .fatal,
                "cannot create directory \(directory) for the ledger: create it so that the service's user may write there, or set `state:`",
                cause: reasonNotMade(directory))
        }
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Failure(
                .fatal, "cannot write ledger \(path): \(remedy(errno))",
                cause: String(cString: strerror(errno)))
        }
        close(descriptor)
    }

    /// SQLite reports a directory or an unreadable file as "unable to open"; this says which.
    static func check(_ path: String) throws {
        var isDirectory: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory),
            isDirectory.boolValue
        {
            throw Failure(.fatal, "ledger \(path) is a directory: set `state:` to a file")
        }
        guard access(path, R_OK) == 0 else {
            throw Failure(
                .fatal, "cannot read ledger \(path): run as the user that owns it",
                cause: String(cString: strerror(errno)))
        }
    }

    /// The system's own words; Foundation has only a sentence of its own.
    private static func reasonNotMade(_ directory: String) -> String {
        mkdir(directory, 0o700) == 0 ? "it could not be made at once" : String(cString: strerror(errno))
    }

    private static func remedy(_ code: Int32) -> String {
        switch code {
        case ENOSPC, EDQUOT: "free space on its file system"
        case EROFS: "its file system is mounted read-only; mount it writable or set `state:`"
        case EISDIR: "it is a directory; set `state:` to a file"
        default: "run as the user that owns its directory, or set `state:`"
        }
    }
}

/// An advisory lock beside the ledger (`<ledger>.lock`) that keeps two services from working on one fleet. A file of its own, because SQLite's own locks on
/// the ledger would be dropped when another descriptor of it is closed. The kernel drops it when the process dies.
final class LedgerLock: Sendable {
    private let descriptor: Int32

    init(ledger path: String) throws(Failure) {
        let name = path + ".lock"
        let descriptor = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw Failure(
                .fatal, "cannot write \(name): run as the user that owns its directory, or set `state:`",
                cause: String(cString: strerror(errno)))
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            let holder = Self.holder(descriptor)
            close(descriptor)
            guard code == EWOULDBLOCK else {
                throw Failure(.fatal, "cannot lock \(name)", cause: String(cString: strerror(code)))
            }
            throw Failure(
                .fatal,
                "ledger \(path) is in use by another forecache\(holder): stop that one, or give this one a ledger of its own with `state:`"
            )
        }
        Self.write(descriptor)
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Who holds it, for the message only; the lock itself does not depend on the text.
    private static func holder(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 20)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        let digits = bytes.prefix(max(0, count)).prefix {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        }
        return digits.isEmpty ? "" : " (process \(String(decoding: digits, as: UTF8.self)))"
    }

    private static func write(_ descriptor: Int32) {
        let text = Array("\(getpid())\n".utf8)
        // A lock file without the number of its holder still locks: a full disk is reported by the ledger itself.
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
    }
}
