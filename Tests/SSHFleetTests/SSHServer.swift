import ForecacheModel
import ForecacheTestSupport
import Foundation
import Logging
import Synchronization
import Testing

@testable import SSHFleet

/// A real sshd of the test's own on 127.0.0.1, with own host keys and one authorised user: whoever runs the tests.
final class SSHServer: Sendable {
    let folder: URL
    let port: Int
    private let pid: Int32

    private init(folder: URL, port: Int, pid: Int32) {
        self.folder = folder
        self.port = port
        self.pid = pid
    }

    /// Starts a server, runs the test and ends the server by its process id.
    static func run(_ more: [String] = [], _ body: (SSHServer) async throws -> Void) async throws {
        let server = try await start(more)
        defer { server.end() }
        try await body(server)
    }

    private static func start(_ more: [String]) async throws -> SSHServer {
        let folder = URL(fileURLWithPath: "/tmp/forecache-ssh-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Debian's sshd wants it, and no service made it on a machine without init.
        try? FileManager.default.createDirectory(atPath: "/run/sshd", withIntermediateDirectories: true)
        for type in ["ed25519", "ecdsa"] { try tool("ssh-keygen", "-q", "-t", type, "-N", "", "-f", "\(folder.path)/host_\(type)") }
        try tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "\(folder.path)/id")
        try FileManager.default.copyItem(atPath: "\(folder.path)/id.pub", toPath: "\(folder.path)/authorized_keys")
        let port = freePort()
        let lines =
            [
                "Port \(port)", "ListenAddress 127.0.0.1", "HostKey \(folder.path)/host_ed25519", "HostKey \(folder.path)/host_ecdsa",
                "AuthorizedKeysFile \(folder.path)/authorized_keys", "PidFile \(folder.path)/pid", "UsePAM no", "StrictModes no",
                "PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "UseDNS no", "PrintMotd no",
                // Else bash reads start-up files for every command, which may cost more than all the rest.
                "SetEnv SHLVL=5",
            ] + (more.contains { $0.hasPrefix("MaxStartups") } ? [] : ["MaxStartups 200"]) + more
        try (lines.joined(separator: "\n") + "\n").write(toFile: "\(folder.path)/config", atomically: true, encoding: .utf8)
        let pid = try spawn("/usr/sbin/sshd", ["-D", "-E", "\(folder.path)/log", "-f", "\(folder.path)/config"])
        let server = SSHServer(folder: folder, port: port, pid: pid)
        try await eventually("sshd listens") { server.answers }
        try server.writeKnownHosts()
        return server
    }

    private func end() {
        kill(pid, SIGTERM)
        _ = exitCode(of: pid)
        // Left behind where it cannot be removed: it lies in /tmp.
        try? FileManager.default.removeItem(at: folder)
    }

    private var answers: Bool { FileManager.default.fileExists(atPath: "\(folder.path)/pid") }

    func path(_ name: String) -> String { "\(folder.path)/\(name)" }

    func text(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

    /// `type base64` of a host key.
    func hostKey(_ type: String) throws -> String { try text("host_\(type).pub").split(separator: " ").prefix(2).joined(separator: " ") }

    func writeKnownHosts(_ lines: [String]? = nil) throws {
        let standard = ["[127.0.0.1]:\(port) \(try hostKey("ed25519"))"]
        try ((lines ?? standard).joined(separator: "\n") + "\n").write(toFile: path("known_hosts"), atomically: true, encoding: .utf8)
    }

    /// Makes a key pair that may log in, unless told otherwise.
    func makeKey(_ name: String, _ arguments: String..., passphrase: String = "", authorised: Bool = true) throws -> String {
        try tool("ssh-keygen", ["-q", "-N", passphrase, "-f", path(name)] + arguments)
        if authorised {
            let all = try text("authorized_keys") + text("\(name).pub")
            try all.write(toFile: path("authorized_keys"), atomically: true, encoding: .utf8)
        }
        return path(name)
    }

    func host(
        identities: [String]? = nil, checking: HostKeyChecking = .strict, timeoutSeconds: Int = 20, jump: JumpHost? = nil,
        name: HostName = "node-0"
    ) -> ForecacheModel.Host {
        ForecacheModel.Host(
            name: name, site: "site", role: "Compute", address: "127.0.0.1",
            ssh: SSHSettings(
                user: NSUserName(), port: port, identityFiles: identities ?? [path("id")], knownHostsFiles: [path("known_hosts")],
                hostKeyChecking: checking, become: .none, connectTimeoutSeconds: timeoutSeconds, jump: jump))
    }
}

/// A pool as `SSHFleet` has it.
func makePool(passphrase: String? = nil, agent: String? = nil, logger: Logger = Logger(label: "test")) -> ConnectionPool {
    ConnectionPool(
        credentials: Credentials(passphrase: passphrase.map { Secret($0) }, agent: agent.map { Agent(socket: $0) }, logger: logger),
        idleLimit: 100,
        logger: logger)
}

extension ConnectionPool {
    /// Lines and end of one command, with generous bounds.
    func output(
        of command: String, input: String = "", on host: ForecacheModel.Host, silence: Duration = .seconds(30), lineBytes: Int = 16384,
        lines: Int = 1000
    ) async throws(Failure) -> (lines: [String], end: CommandEnd) {
        var seen: [String] = []
        let limits = CommandLimits(silence: silence, time: nil, lineBytes: lineBytes, lines: lines)
        let end = try await run(
            command, input: Array(input.utf8), on: host, limits: limits, started: {},
            line: { seen.append(String(decoding: $0, as: UTF8.self)) })
        return (seen, end)
    }
}

/// Whoever asks for a port listens on it only later: until then the system would give it to others as well.
private let givenPorts = Mutex<Set<Int>>([])

/// A port of the loopback address that was free a moment ago, and that no other test gets.
func freePort() -> Int {
    while true {
        let port = unboundPort()
        if givenPorts.withLock({ $0.insert(port).inserted }) { return port }
    }
}

private func unboundPort() -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    return withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, length)
            getsockname(descriptor, $0, &length)
        }
        return Int(UInt16(bigEndian: pointer.pointee.sin_port))
    }
}

/// The failure that the operation must end with.
func failure(_ body: () async throws(Failure) -> Void, sourceLocation: SourceLocation = #_sourceLocation) async throws -> Failure {
    do throws(Failure) {
        try await body()
    } catch {
        return error
    }
    Issue.record("no failure", sourceLocation: sourceLocation)
    return Failure(.fatal, "")
}
