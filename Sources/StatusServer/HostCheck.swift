import Foundation
import Synchronization

/// Which `Host:` headers are answered. A page of the outside world can make an operator's browser ask `http://name-of-mine:9797/` after its name was
/// pointed at 127.0.0.1 (DNS rebinding); such a request carries the outside name. So a server on loopback answers to loopback's names only.
struct HostCheck: Sendable {
    /// Nil accepts every name: a server on a routable address is meant to be reached by whatever name its operators gave it.
    private let names: Set<String>?

    init(listen: String) {
        names =
            listen == "localhost" || listen == "::1" || listen.hasPrefix("127.")
            ? ["localhost", "127.0.0.1", "::1", listen] : nil
    }

    func accepts(_ authority: String?) -> Bool {
        guard let names else { return true }
        guard let authority else { return false }
        return names.contains(Self.host(authority).lowercased())
    }

    /// `[::1]:9797` → `::1`, `localhost:9797` → `localhost`.
    private static func host(_ authority: String) -> String {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            return String(authority[authority.index(after: authority.startIndex)..<end])
        }
        return String(authority.prefix { $0 != ":" })
    }
}

/// How many live feeds are open.
final class ClientCount: Sendable {
    let limit: Int
    private let open = Mutex(0)

    init(limit: Int) { self.limit = max(0, limit) }

    /// Nil where there is no room.
    func enter() -> Ticket? {
        open.withLock { open in
            guard open < limit else { return nil }
            open += 1
            return Ticket(count: self)
        }
    }

    fileprivate func leave() { open.withLock { $0 -= 1 } }

    /// A place among the clients, given back when the last holder lets go of it.
    final class Ticket: Sendable {
        private let count: ClientCount

        fileprivate init(count: ClientCount) { self.count = count }

        deinit { count.leave() }
    }
}
