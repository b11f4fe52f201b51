import Crypto
import ForecacheModel
import FoundationEssentials
import Synchronization

/// The files and directories that one reading of the operator's set depended on, each as it was right before it was read.
final class FilesRead: Sendable {
    /// What tells a changed file from an unchanged one. Editors write a new file and rename it over the old one: another inode.
    struct Stamp: Hashable, Sendable {
        var device: UInt?
        var inode: UInt64?
        var bytes: UInt?
        var modifiedAt: Date?
    }

    private struct State {
        /// Nil: there was none.
        var stamps: [String: Stamp?] = [:]
        var digests: [String: [UInt8]] = [:]
    }

    private let state = Mutex(State())

    /// The first look counts: what changes while it is read is found by the next comparison.
    func willRead(_ path: String) {
        state.withLock { state in
            if state.stamps[path] == nil { state.stamps[path] = .some(Self.stamp(path)) }
        }
    }

    func didRead(_ path: String, _ text: String) {
        let digest = Array(SHA256.hash(data: Array(text.utf8)))
        state.withLock { $0.digests[path] = digest }
    }

    var stamps: [String: Stamp?] { state.withLock { $0.stamps } }

    /// The same paths as they are now.
    func stampsNow() -> [String: Stamp?] {
        var now: [String: Stamp?] = [:]
        for path in stamps.keys { now[path] = .some(Self.stamp(path)) }
        return now
    }

    /// Names the set: the same files with the same contents have the same digest. 16 hexadecimal digits: nobody chooses his files to collide with others of his.
    var digest: String {
        var hash = SHA256()
        for (path, digest) in state.withLock({ $0.digests }).sorted(by: { $0.key < $1.key }) {
            hash.update(data: Array(path.utf8) + [0] + digest)
        }
        return String(Hexadecimal.text(Array(hash.finalize())).prefix(16))
    }

    private static func stamp(_ path: String) -> Stamp? {
        let file = URL(filePath: path).resolvingSymlinksInPath().path
        // Of what is not there, and of what may not be looked at, there is no stamp.
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: file) else { return nil }
        return Stamp(
            device: attributes[.systemNumber] as? UInt, inode: attributes[.systemFileNumber] as? UInt64, bytes: attributes[.size] as? UInt,
            modifiedAt: attributes[.modificationDate] as? Date)
    }
}
