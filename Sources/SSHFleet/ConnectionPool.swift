import ForecacheModel
import Logging

/// Connections to the hosts: one operation has one for itself, and leaves it to the next one of that host.
@SSHLoop
final class ConnectionPool {
    /// Everything that makes two connections the same.
    private struct Key: Hashable {
        var address: String
        var ssh: SSHSettings
    }

    private struct Idle {
        var session: SSHSession
        var since: ContinuousClock.Instant
    }

    /// Where log-ins to one address pass.
    private final class Door {
        /// Log-ins in flight: sshd's MaxStartups begins to drop at 10.
        let turnstile = Turnstile(8)
        /// Who passes or still wants to.
        var users = 0
        /// When somebody last got in.
        var lastEntry = ContinuousClock.now
    }

    private static let idleTime = Duration.seconds(60)

    private let credentials: Credentials
    private let logger: Logger
    /// Idle connections kept in all.
    private let idleLimit: Int
    private var idle: [Key: [Idle]] = [:]
    private var idleCount = 0
    private var doors: [String: Door] = [:]
    private var reaper: Task<Void, Never>?
    private var isClosed = false

    nonisolated init(credentials: Credentials, idleLimit: Int, logger: Logger) {
        self.credentials = credentials
        self.idleLimit = idleLimit
        self.logger = logger
    }

    /// Runs a command on a connection of the pool. A kept connection that turns out to be dead before the command began is replaced.
    func run(
        _ command: String, input: [UInt8], feed: Feed? = nil, on host: Host, limits: CommandLimits, started: () -> Void,
        line: (_ line: [UInt8]) throws(Failure) -> Void
    ) async throws(Failure) -> CommandEnd {
        let key = Key(address: host.address, ssh: host.ssh)
        while true {
            if isClosed { throw Failure(.cancelled, "the connections are being closed") }
            let kept = takeIdle(key)
            let session: SSHSession
            if let kept { session = kept } else { session = try await login(host) }
            var hasStarted = false
            do throws(Failure) {
                let markStarted = {
                    hasStarted = true
                    started()
                }
                let end = try await session.run(command, input: input, feed: feed, limits: limits, started: markStarted, line: line)
                keep(session, key)
                return end
            } catch {
                guard kept != nil, !hasStarted, error.kind == .retriable else { throw error }
            }
        }
    }

    /// Closes what is idle, and lets nothing new begin.
    func close() {
        isClosed = true
        idle = [:]
        idleCount = 0
        reaper?.cancel()
    }

    // MARK: Idle connections

    private func takeIdle(_ key: Key) -> SSHSession? {
        while let last = idle[key]?.popLast() {
            idleCount -= 1
            if idle[key]?.isEmpty ?? false { idle[key] = nil }
            if last.session.isQuiet { return last.session }
        }
        return nil
    }

    private func keep(_ session: SSHSession, _ key: Key) {
        guard !isClosed, idleCount < idleLimit, session.isQuiet else { return }
        idle[key, default: []].append(Idle(session: session, since: .now))
        idleCount += 1
        guard reaper == nil else { return }
        // Owned by the pool; ends when nothing is idle any more, or with `close`.
        reaper = Task { await reap() }
    }

    private func reap() async {
        while idleCount > 0, !Task.isCancelled {
            _ = await SSHLoop.shared.loop.wait(until: .now + Self.idleTime / 4)
            let oldest = ContinuousClock.now - Self.idleTime
            idle = idle.mapValues { $0.filter { $0.since > oldest } }.filter { !$0.value.isEmpty }
            idleCount = idle.values.reduce(0) { $0 + $1.count }
        }
        reaper = nil
    }

    // MARK: Logging in

    private func login(_ host: Host) async throws(Failure) -> SSHSession {
        let ssh = host.ssh
        let target = LoginTarget(
            name: host.name.rawValue, address: host.address, port: ssh.port, user: ssh.user, timeoutSeconds: ssh.connectTimeoutSeconds,
            hostKeyChecking: ssh.hostKeyChecking)
        let identities = try await wrapped("SSH to \(target.text)") { () throws(Failure) in
            try await credentials.identities(for: ssh.identityFiles)
        }
        guard let bastion = ssh.jump else { return try await open(target, through: nil, ssh, identities, door: target) }
        let jump = LoginTarget(
            name: "jump host \(bastion.host)", address: bastion.host, port: bastion.port, user: bastion.user ?? ssh.user,
            timeoutSeconds: ssh.connectTimeoutSeconds, hostKeyChecking: ssh.hostKeyChecking)
        // A connection to the jump host for each host, as ssh -J has it: no two sessions share a socket, so none waits for another.
        let outer = try await open(jump, through: nil, ssh, identities, door: jump)
        return try await open(target, through: outer, ssh, identities, door: target)
    }

    /// A log-in that the server drops is tried again. As long as others get in there the server is merely busy; it is given up where nobody
    /// got in for as long as a connection may take.
    private func open(
        _ target: LoginTarget, through jump: SSHSession?, _ ssh: SSHSettings, _ identities: [Identity], door place: LoginTarget
    ) async throws(Failure) -> SSHSession {
        let key = "\(place.address) \(place.port)"
        let door = doors[key] ?? Door()
        doors[key] = door
        door.users += 1
        defer {
            door.users -= 1
            if door.users == 0 { doors[key] = nil }
        }
        var pause = 0.2
        var firstDrop: ContinuousClock.Instant?
        while true {
            try await enter(door, place, target)
            switch try await tryOnce(target, through: jump, ssh, identities, door) {
            case .open(let session):
                door.lastEntry = .now
                return session
            case .dropped(let failure):
                let dropped = firstDrop ?? .now
                firstDrop = dropped
                // A channel that was dropped is spent; the operation itself is tried again by whoever wanted it.
                guard jump == nil, .now < max(dropped, door.lastEntry) + .seconds(target.timeoutSeconds) else { throw failure }
                logger.debug("log-in dropped by the server, trying again", metadata: ["host": "\(target.name)"])
                let wake = await SSHLoop.shared.loop.wait(until: .now + .seconds(pause * Double.random(in: 0.5...1.5)))
                if wake == .cancelled { throw Failure(.cancelled, "cancelled while logging in to \(target.text)") }
                pause = min(2 * pause, 2)
            }
        }
    }

    private func tryOnce(
        _ target: LoginTarget, through jump: SSHSession?, _ ssh: SSHSettings, _ identities: [Identity], _ door: Door
    ) async throws(Failure) -> SSHSession.Opening {
        defer { door.turnstile.leave() }
        let known = credentials.knownHosts(ssh.knownHostsFiles)
        return try await SSHSession.open(
            target, through: jump, keyTypes: credentials.keyTypes(for: target, known),
            check: { [credentials] target, key throws(Failure) in
                try credentials.check(target, key: key, files: ssh.knownHostsFiles)
            },
            identities: identities)
    }

    private func enter(_ door: Door, _ place: LoginTarget, _ target: LoginTarget) async throws(Failure) {
        // Two hundred hosts behind one bastion take their time; a deadline is here so that nothing waits for ever.
        switch await door.turnstile.enter(until: .now + .seconds(300)) {
        case .ready: return
        case .timedOut:
            throw Failure(
                .retriable,
                "no turn to log in to \(target.text) within 300 s: too many log-ins to \(place.address) port \(place.port) are slow")
        case .cancelled: throw Failure(.cancelled, "cancelled before logging in to \(target.text)")
        }
    }

    private func wrapped<Value>(_ context: String, _ body: () async throws(Failure) -> Value) async throws(Failure) -> Value {
        do throws(Failure) { return try await body() } catch { throw error.wrapped(context) }
    }
}
