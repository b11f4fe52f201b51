import CSSH2
import ForecacheModel
import Foundation
import Synchronization

/// One resolved address.
struct SocketAddress: Sendable {
    var family: Int32
    var bytes: [UInt8]
    /// `10.20.1.10` or `fe80::1`.
    var text: String
}

/// Opens TCP connections without ever blocking the loop.
enum TCPConnection {
    /// A connected, non-blocking socket that the caller closes. Every address of the name is tried, each for its share of the time that is left.
    @SSHLoop
    static func open(to name: String, port: Int, within seconds: Int) async throws(Failure) -> Int32 {
        let deadline = ContinuousClock.now + .seconds(seconds)
        let addresses = try await resolve(name, port: port, until: deadline)
        var tried: [String] = []
        for (index, address) in addresses.enumerated() {
            let share = (deadline - .now) / (addresses.count - index)
            switch try await connect(to: address, until: .now + share) {
            case .success(let descriptor): return descriptor
            case .failure(let refusal): tried.append("\(address.text): \(refusal.text)")
            }
        }
        throw Failure(
            .retriable,
            "no TCP connection to \(name) port \(port) (\(tried.joined(separator: "; "))); check that the host is up, that sshd listens there and that no firewall is in between"
        )
    }

    private struct Refusal: Error {
        var text: String
    }

    @SSHLoop
    private static func connect(to address: SocketAddress, until deadline: ContinuousClock.Instant) async throws(Failure)
        -> Result<Int32, Refusal>
    {
        let descriptor = cssh2_tcp_socket(address.family, 60_000)
        guard descriptor >= 0 else { return .failure(Refusal(text: systemText(errno))) }
        var error = cssh2_connect(descriptor, address.bytes, UInt32(address.bytes.count))
        if error == EINPROGRESS {
            switch await SSHLoop.shared.loop.wait(on: descriptor, directions: 2, until: deadline) {
            case .ready: error = cssh2_connect_result(descriptor)
            case .timedOut: error = ETIMEDOUT
            case .cancelled:
                close(descriptor)
                throw Failure(.cancelled, "cancelled while connecting to \(address.text)")
            }
        }
        guard error == 0 else {
            close(descriptor)
            return .failure(Refusal(text: systemText(error)))
        }
        return .success(descriptor)
    }

    // MARK: Names

    /// getaddrinfo may block for as long as the DNS likes; eight look-ups at once are enough for a fleet and bound the threads.
    @SSHLoop private static let lookups = Turnstile(8)

    @SSHLoop
    private static func resolve(_ name: String, port: Int, until deadline: ContinuousClock.Instant) async throws(Failure) -> [SocketAddress]
    {
        guard (1...65535).contains(port) else { throw Failure(.permanent, "\(port) is not a TCP port (host \(name))") }
        if case .success(let numeric) = lookUp(name, port: port, flags: AI_NUMERICHOST) { return numeric }
        guard await lookups.enter(until: deadline) == .ready else {
            throw Failure(Task.isCancelled ? .cancelled : .retriable, "no time was left to look up the address of \(name)")
        }
        let loop = SSHLoop.shared.loop
        let token = loop.newToken()
        let answer = Answer()
        Thread { [answer] in
            answer.value.withLock { $0 = lookUp(name, port: port, flags: 0) }
            loop.finish(token, .ready)
        }.start()
        let wake = await loop.wait(token, until: deadline)
        lookups.leave()
        switch (wake, answer.value.withLock { $0 }) {
        case (.ready, .success(let addresses)?): return addresses
        case (.ready, .failure(let refusal)?):
            throw Failure(
                .retriable, "cannot look up the address of \(name): \(refusal.text); check the inventory's ansible_host and the DNS")
        case (.ready, nil), (.timedOut, _):
            throw Failure(.retriable, "the address of \(name) could not be looked up in time; check the DNS")
        case (.cancelled, _): throw Failure(.cancelled, "cancelled while looking up the address of \(name)")
        }
    }

    private final class Answer: Sendable {
        let value = Mutex<Result<[SocketAddress], Refusal>?>(nil)
    }

    private static func lookUp(_ name: String, port: Int, flags: Int32) -> Result<[SocketAddress], Refusal> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = flags | AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, String(port), &hints, &list)
        guard status == 0, let list else { return .failure(Refusal(text: String(cString: gai_strerror(status)))) }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next: UnsafeMutablePointer<addrinfo>? = list
        // More addresses than this would leave no time for any of them.
        while let info = next?.pointee, addresses.count < 8 {
            addresses.append(SocketAddress(family: info.ai_family, bytes: bytes(of: info), text: numericText(of: info)))
            next = info.ai_next
        }
        return .success(addresses)
    }

    private static func bytes(of info: addrinfo) -> [UInt8] {
        guard let address = info.ai_addr else { return [] }
        return Array(UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen)))
    }

    private static func numericText(of info: addrinfo) -> String {
        var text = [UInt8](repeating: 0, count: 64)
        let status = text.withUnsafeMutableBytes {
            getnameinfo(info.ai_addr, info.ai_addrlen, $0.baseAddress?.assumingMemoryBound(to: CChar.self), 64, nil, 0, NI_NUMERICHOST)
        }
        return status == 0 ? String(decoding: text.prefix { $0 != 0 }, as: UTF8.self) : "?"
    }
}

/// The system's words for an `errno`.
func systemText(_ code: Int32) -> String { String(cString: strerror(code)) }

/// Why a file could not be read, in the system's words.
func unreadable(_ path: String) -> String { access(path, R_OK) == 0 ? "it is no file" : systemText(errno) }
