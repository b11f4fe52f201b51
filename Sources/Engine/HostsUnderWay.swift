import ForecacheModel
import Synchronization

/// The hosts that rounds are at work on, by image. A round may take hours at one slow site, and its image is looked at again meanwhile for all the others.
final class HostsUnderWay: Sendable {
    private let hosts = Mutex<[ImageID: Set<HostName>]>([:])

    func of(_ image: ImageID) -> Set<HostName> { hosts.withLock { $0[image] ?? [] } }

    func begin(_ image: ImageID, on more: [HostName]) {
        guard !more.isEmpty else { return }
        hosts.withLock { $0[image, default: []].formUnion(more) }
    }

    func end(_ image: ImageID, on host: HostName) {
        hosts.withLock { hosts in
            hosts[image]?.remove(host)
            if hosts[image]?.isEmpty ?? false { hosts[image] = nil }
        }
    }
}
