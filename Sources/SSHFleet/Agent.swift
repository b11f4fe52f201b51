import CSSH2
import ForecacheModel
import Foundation

/// A client of ssh-agent (draft-miller-ssh-agent), on the loop: libssh2's own blocks it and cannot ask for rsa-sha2 signatures.
struct Agent: Sendable {
    /// `SSH_AUTH_SOCK`.
    var socket: String

    /// All keys that it holds, in its order.
    @SSHLoop
    func identities() async throws(Failure) -> [Identity] {
        var reader = Wire.Reader(try await ask([11]))
        guard reader.bytes(1) == [12], let count = reader.number(), count <= 1000 else { throw refused("list its keys") }
        var identities: [Identity] = []
        for _ in 0..<count {
            guard let key = reader.string(), let comment = reader.text() else { throw refused("list its keys") }
            identities.append(
                Identity(name: "\(printable(comment, limit: 80)) (agent)", publicKey: key, signer: AgentKey(agent: self, key: key)))
        }
        return identities
    }

    @SSHLoop
    fileprivate func signature(of data: [UInt8], by key: [UInt8], flags: UInt32) async throws(Failure) -> [UInt8] {
        var reader = Wire.Reader(try await ask([13] + Wire.string(key) + Wire.string(data) + Wire.number(flags)))
        guard reader.bytes(1) == [14], let answer = reader.string() else { throw refused("sign") }
        var parts = Wire.Reader(answer)
        guard parts.string() != nil, let signature = parts.string() else { throw refused("sign") }
        return signature
    }

    private func refused(_ what: String) -> Failure {
        Failure(
            .permanent,
            "the ssh-agent at \(socket) refused to \(what); check it with ssh-add -l (is it locked, or does it ask for confirmation?)")
    }

    /// One question on a connection of its own.
    @SSHLoop
    private func ask(_ message: [UInt8]) async throws(Failure) -> [UInt8] {
        let descriptor = cssh2_unix_connect(socket)
        guard descriptor >= 0 else {
            throw Failure(.permanent, "the ssh-agent at \(socket) does not answer (\(systemText(errno))); check SSH_AUTH_SOCK")
        }
        defer { close(descriptor) }
        // A person may have to confirm.
        let deadline = ContinuousClock.now + .seconds(30)
        try await send(Wire.string(message), on: descriptor, until: deadline)
        let header = try await receive(4, on: descriptor, until: deadline)
        let length = header.reduce(0) { $0 << 8 | Int($1) }
        guard (1...262_144).contains(length) else { throw refused("answer with a message of a sensible length") }
        return try await receive(length, on: descriptor, until: deadline)
    }

    @SSHLoop
    private func send(_ bytes: [UInt8], on descriptor: Int32, until deadline: ContinuousClock.Instant) async throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { cssh2_send(descriptor, $0.baseAddress, $0.count) }
            if sent > 0 { rest = rest.dropFirst(sent) } else { try await wait(on: descriptor, directions: 2, until: deadline, errno) }
        }
    }

    @SSHLoop
    private func receive(_ count: Int, on descriptor: Int32, until deadline: ContinuousClock.Instant) async throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count < count {
            let got = read(descriptor, &buffer, min(buffer.count, count - bytes.count))
            if got > 0 {
                bytes += buffer.prefix(got)
            } else {
                try await wait(on: descriptor, directions: 1, until: deadline, got == 0 ? EPIPE : errno)
            }
        }
        return bytes
    }

    @SSHLoop
    private func wait(on descriptor: Int32, directions: Int32, until deadline: ContinuousClock.Instant, _ error: Int32)
        async throws(Failure)
    {
        guard error == EAGAIN else { throw Failure(.permanent, "the ssh-agent at \(socket) hung up (\(systemText(error)))") }
        switch await SSHLoop.shared.loop.wait(on: descriptor, directions: directions, until: deadline) {
        case .ready: return
        case .timedOut: throw Failure(.retriable, "the ssh-agent at \(socket) did not answer in time")
        case .cancelled: throw Failure(.cancelled, "cancelled while asking the ssh-agent")
        }
    }
}

/// A key that never leaves its agent.
struct AgentKey: SignatureMaking {
    var agent: Agent
    var key: [UInt8]

    func signature(of data: [UInt8], algorithm: String) async throws(Failure) -> [UInt8] {
        let flags: UInt32 = algorithm == "rsa-sha2-256" ? 2 : algorithm == "rsa-sha2-512" ? 4 : 0
        return try await agent.signature(of: data, by: key, flags: flags)
    }
}
