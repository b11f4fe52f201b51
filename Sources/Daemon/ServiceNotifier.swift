import ForecacheModel
import Glibc

/// Tells systemd (`Type=notify`) that the service is ready and, at the end, that it is stopping. Without `NOTIFY_SOCKET` it says nothing.
struct ServiceNotifier: Sendable {
    private let path: String?

    init(environment: [String: String]) { path = environment["NOTIFY_SOCKET"] }

    /// Runs until cancelled. Ready is said when `ready` has its first element: the ledger is open and the status port is bound by then.
    func run(ready: AsyncStream<Void>) async {
        for await _ in ready {
            send("READY=1")
            break
        }
        // Sleeps until cancelled, which is the only way out of it.
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
        send("STOPPING=1")
    }

    /// sd_notify(3): one datagram. A path that starts with @ is in the abstract name space.
    private func send(_ message: String) {
        guard let path, let first = path.utf8.first, first == UInt8(ascii: "/") || first == UInt8(ascii: "@") else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = first == UInt8(ascii: "@") ? [0] + Array(path.utf8.dropFirst()) : Array(path.utf8)
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { space in
            guard name.count < space.count else { return false }
            space.copyBytes(from: name)
            return true
        }
        let handle = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fits, handle >= 0 else { return }
        defer { close(handle) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(handle, message, message.utf8.count, 0, $0, length) }
        }
    }
}
