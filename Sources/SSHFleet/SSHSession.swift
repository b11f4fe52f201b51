import CSSH2
import ForecacheModel
import Foundation

/// Whom to log in to, and how.
struct LoginTarget: Hashable, Sendable {
    /// The inventory's name, for messages.
    var name: String
    var address: String
    var port: Int
    var user: String
    var timeoutSeconds: Int
    var hostKeyChecking: HostKeyChecking

    /// `compute-0 (tripleo-admin@10.20.1.10 port 22)`
    var text: String { "\(name) (\(user)@\(address) port \(port))" }
}

/// One authenticated SSH connection. All of its calls run on the loop, one after the other.
@SSHLoop
final class SSHSession {
    /// Host keys that `accept-new` and `off` let in are told here, with the reason.
    typealias HostKeyCheck = @SSHLoop (_ target: LoginTarget, _ key: [UInt8]) throws(Failure) -> Void

    let target: LoginTarget
    /// Freed in `deinit`, on the loop, before the descriptor is closed and the carrier goes.
    let handle: OpaquePointer
    private let descriptor: Int32
    /// The session to the jump host and the channel on it that is our socket; nil for a connection of our own.
    private let carrier: (session: SSHSession, channel: OpaquePointer)?

    private init(_ target: LoginTarget, handle: OpaquePointer, descriptor: Int32, carrier: (session: SSHSession, channel: OpaquePointer)?) {
        self.target = target
        self.handle = handle
        self.descriptor = descriptor
        self.carrier = carrier
        libssh2_session_set_blocking(handle, 0)
    }

    isolated deinit {
        // Says goodbye where that does not block. Then the socket must be dead to libssh2: else it would wait for the server's answer before it frees a
        // channel, and free nothing. What was sent before still goes out.
        libssh2_session_disconnect_ex(handle, SSH_DISCONNECT_BY_APPLICATION, "", "")
        if let carrier {
            libssh2_session_abstract(handle).pointee = nil
            libssh2_session_free(handle)
            libssh2_channel_free(carrier.channel)
        } else {
            shutdown(descriptor, Int32(SHUT_RDWR))
            libssh2_session_free(handle)
            close(descriptor)
        }
    }

    /// False once the server closed an idle connection.
    var isQuiet: Bool { carrier?.session.isQuiet ?? (cssh2_is_quiet(descriptor) != 0) }

    // MARK: Logging in

    /// TCP (or a channel through `jump`), handshake, host key, authentication, in this order: no key of ours is shown to a host that is not who it says.
    static func open(
        _ target: LoginTarget, through jump: SSHSession? = nil, keyTypes: [String], check: HostKeyCheck, identities: [Identity]
    ) async throws(Failure) -> Opening {
        let session = try await connect(target, through: jump)
        try session.ask(for: keyTypes)
        if let dropped = try await session.shakeHands(keyTypes) { return .dropped(dropped) }
        try check(target, try session.hostKey())
        try await session.authenticate(identities)
        return .open(session)
    }

    enum Opening {
        case open(SSHSession)
        /// The server hung up before it said a word, as sshd does with more than MaxStartups log-ins at once: trying again soon is right.
        case dropped(Failure)
    }

    private static func connect(_ target: LoginTarget, through jump: SSHSession?) async throws(Failure) -> SSHSession {
        if let jump { return try await connect(target, on: jump) }
        let descriptor: Int32
        do throws(Failure) {
            descriptor = try await TCPConnection.open(to: target.address, port: target.port, within: target.timeoutSeconds)
        } catch {
            throw error.wrapped("SSH to \(target.text)")
        }
        guard let handle = libssh2_session_init_ex(nil, nil, nil, nil) else {
            close(descriptor)
            throw Failure(.retriable, "no memory for an SSH session to \(target.text)")
        }
        return SSHSession(target, handle: handle, descriptor: descriptor, carrier: nil)
    }

    private static func connect(_ target: LoginTarget, on jump: SSHSession) async throws(Failure) -> SSHSession {
        let deadline = ContinuousClock.now + .seconds(target.timeoutSeconds)
        var opened: OpaquePointer?
        let status = try await jump.call("opening a way to \(target.address) port \(target.port)", until: deadline) {
            opened = libssh2_channel_direct_tcpip_ex(jump.handle, target.address, Int32(target.port), "127.0.0.1", 22)
            return opened == nil ? Int(libssh2_session_last_errno(jump.handle)) : 0
        }
        guard status == 0, let channel = opened else {
            throw Failure(
                .retriable,
                "the jump host \(jump.target.text) cannot reach \(target.text): \(jump.lastError); check that it allows TCP forwarding and that the host is up"
            )
        }
        guard let handle = cssh2_session_through(channel) else {
            libssh2_channel_free(channel)
            throw Failure(.retriable, "no memory for an SSH session to \(target.text)")
        }
        return SSHSession(target, handle: handle, descriptor: jump.descriptor, carrier: (jump, channel))
    }

    private func ask(for keyTypes: [String]) throws(Failure) {
        guard libssh2_session_method_pref(handle, LIBSSH2_METHOD_HOSTKEY, keyTypes.joined(separator: ",")) == 0 else {
            throw Failure(
                .permanent,
                "\(target.text) is in known_hosts by \(keyTypes.joined(separator: ", ")) alone, which libssh2 cannot check; add its ed25519 or ecdsa key: \(scanRemedy)"
            )
        }
    }

    /// Nil where it went well.
    private func shakeHands(_ keyTypes: [String]) async throws(Failure) -> Failure? {
        let status = try await call("the SSH handshake", until: .now + .seconds(target.timeoutSeconds)) {
            Int(libssh2_session_handshake(handle, descriptor))
        }
        guard status != 0 else { return nil }
        if status == Int(LIBSSH2_ERROR_KEX_FAILURE) {
            throw Failure(
                .permanent,
                "SSH to \(target.text): no common algorithm; asked for host keys \(keyTypes.joined(separator: ", ")), which the server may not have: \(scanRemedy)",
                cause: lastError)
        }
        let failure = Failure(
            .retriable, "SSH handshake with \(target.text) failed; too many log-ins at once (MaxStartups of its sshd), or no SSH server",
            cause: lastError)
        let drops = [LIBSSH2_ERROR_BANNER_RECV, LIBSSH2_ERROR_SOCKET_DISCONNECT, LIBSSH2_ERROR_SOCKET_RECV].map(Int.init)
        guard drops.contains(status) else { throw failure }
        return failure
    }

    var scanRemedy: String {
        "ssh-keyscan -p \(target.port) \(target.address) >> known_hosts, after comparing the fingerprint with the host's own"
    }

    private func hostKey() throws(Failure) -> [UInt8] {
        var (length, type) = (0, Int32(0))
        guard let key = libssh2_session_hostkey(handle, &length, &type) else {
            throw Failure(.permanent, "\(target.text) presented no host key", cause: lastError)
        }
        return Array(UnsafeRawBufferPointer(start: key, count: length))
    }

    private func authenticate(_ identities: [Identity]) async throws(Failure) {
        let deadline = ContinuousClock.now + .seconds(target.timeoutSeconds)
        var methods: String?
        _ = try await call("asking for the ways to log in", until: deadline) {
            guard let list = libssh2_userauth_list(handle, target.user, UInt32(target.user.utf8.count)) else {
                return Int(libssh2_session_last_errno(handle))
            }
            methods = String(cString: list)
            return 0
        }
        if libssh2_userauth_authenticated(handle) != 0 { return }
        guard let methods else { throw Failure(.retriable, "\(target.text) ended the connection before log-in", cause: lastError) }
        guard methods.split(separator: ",").contains("publickey") else {
            throw Failure(
                .permanent,
                "\(target.text) does not accept public keys, only \(printable(methods, limit: 100)); set PubkeyAuthentication yes there")
        }
        var tried: [String] = []
        for identity in identities {
            for algorithm in identity.algorithms {
                let status = try await offer(identity, algorithm, until: deadline)
                if status == 0 { return }
                tried.append("\(identity.name) (\(algorithm), \(KnownHosts.fingerprint(identity.publicKey)))")
                // The server hangs up after MaxAuthTries keys.
                guard status == Int(LIBSSH2_ERROR_AUTHENTICATION_FAILED) || status == Int(LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED) else {
                    throw refused(tried, cause: lastError)
                }
            }
        }
        throw refused(tried, cause: nil)
    }

    private func refused(_ tried: [String], cause: String?) -> Failure {
        Failure(
            .permanent,
            "\(target.text) refused our keys: \(tried.joined(separator: ", ")); add one of their public keys to ~\(target.user)/.ssh/authorized_keys there, or correct ssh.user and ssh.identity",
            cause: cause)
    }

    private func offer(_ identity: Identity, _ algorithm: String, until deadline: ContinuousClock.Instant) async throws(Failure) -> Int {
        let key = identity.publicKey(for: algorithm)
        let state = UnsafeMutablePointer<cssh2_signature>.allocate(capacity: 1)
        state.initialize(to: cssh2_signature())
        defer {
            free(state.pointee.data)
            free(state.pointee.signature)
            state.deallocate()
        }
        var isSigned = false
        while true {
            let status = Int(cssh2_userauth_publickey(handle, target.user, key, key.count, state))
            guard status == Int(LIBSSH2_ERROR_EAGAIN) else { return status }
            if !isSigned, let data = state.pointee.data {
                let signature = try await identity.signer.signature(
                    of: Array(UnsafeBufferPointer(start: data, count: state.pointee.data_length)), algorithm: algorithm)
                guard let copy = malloc(signature.count) else { throw Failure(.retriable, "no memory for a signature") }
                signature.withUnsafeBytes { copy.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(copy), byteCount: $0.count) }
                state.pointee.signature = copy.assumingMemoryBound(to: UInt8.self)
                state.pointee.signature_length = signature.count
                isSigned = true
            } else {
                try await waitForSocket("logging in", until: deadline)
            }
        }
    }

    // MARK: Waiting

    /// Calls until libssh2 no longer says "would block"; its status, negative for an error.
    func call(_ doing: String, until deadline: ContinuousClock.Instant, _ body: () -> Int) async throws(Failure) -> Int {
        while true {
            let status = body()
            guard status == Int(LIBSSH2_ERROR_EAGAIN) else { return status }
            try await waitForSocket(doing, until: deadline)
        }
    }

    /// Waits for what libssh2 waits for.
    func waitForSocket(_ doing: String, until deadline: ContinuousClock.Instant) async throws(Failure) {
        let directions = libssh2_session_block_directions(carrier?.session.handle ?? handle)
        switch await SSHLoop.shared.loop.wait(on: descriptor, directions: directions == 0 ? 1 : directions, until: deadline) {
        case .ready: return
        case .timedOut:
            throw Failure(.retriable, "\(doing): no answer from \(target.text) in time; is the host frozen or the network down?")
        case .cancelled: throw Failure(.cancelled, "cancelled while \(doing) on \(target.text)")
        }
    }

    /// libssh2's own words for the last error.
    var lastError: String {
        var text: UnsafeMutablePointer<CChar>?
        var length: Int32 = 0
        let code = libssh2_session_last_error(handle, &text, &length, 0)
        return "\(text.map { String(cString: $0) } ?? "no details") (libssh2 \(code))"
    }
}

/// Foreign text, fit for a message: at most so many characters, and nothing that moves a cursor or breaks a line.
func printable(_ text: some StringProtocol, limit: Int) -> String {
    var clean = ""
    for scalar in text.unicodeScalars.prefix(limit) {
        clean.unicodeScalars.append(scalar.isPrintable ? scalar : scalar == "\n" || scalar == "\t" ? " " : "?")
    }
    return text.unicodeScalars.count > limit ? clean + "…" : clean
}
