import ForecacheModel
import Foundation

/// A real sshd of the measurement's own, with keys of its own, whose hosts are addresses of this machine and share its disk.
struct OwnSSHD {
    static let port = 2222

    let directory: String
    private let listenAddress: String
    /// It fills with a line a login, among others.
    private var logFile: String { "\(directory)/sshd.log" }

    /// Base files lie here.
    var cacheDirectory: String { "\(directory)/_base" }

    /// - Parameters:
    ///   - addresses: those that hosts are going to have; their keys are known then.
    ///   - settings: further lines for sshd, such as `Match` blocks.
    init(directory: String, listenAddress: String, addresses: [String], settings more: String = "") async throws {
        (self.directory, self.listenAddress) = (directory, listenAddress)
        for name in ["_base", "home"] {
            try FileManager.default.createDirectory(atPath: "\(directory)/\(name)", withIntermediateDirectories: true)
        }
        for key in ["host", "user"] {
            try await Program("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", "\(directory)/\(key)"])
                .succeed(log: "\(directory)/keygen.log")
        }
        let hostKey = try String(contentsOfFile: "\(directory)/host.pub", encoding: .utf8)
            .split(separator: " ").prefix(2).joined(separator: " ")
        let known = addresses.map { "[\($0)]:\(Self.port) \(hostKey)\n" }.joined()
        try known.write(toFile: "\(directory)/known_hosts", atomically: true, encoding: .utf8)
        // The shells' start-up files of whoever runs this are nobody's measure: hence a home without any.
        let settings = """
            Port \(Self.port)
            ListenAddress \(listenAddress)
            HostKey \(directory)/host
            AuthorizedKeysFile \(directory)/user.pub
            PidFile none
            UsePAM no
            StrictModes no
            PermitRootLogin prohibit-password
            PasswordAuthentication no
            MaxStartups 1000
            LogLevel INFO
            SetEnv HOME=\(directory)/home
            """
        try (settings + "\n" + more).write(toFile: "\(directory)/sshd_config", atomically: true, encoding: .utf8)
    }

    func whileListening<Value>(_ body: () async throws -> Value) async throws -> Value {
        let daemon = try Program("/usr/sbin/sshd", ["-D", "-e", "-f", "\(directory)/sshd_config"]).start(log: logFile)
        defer { daemon.end() }
        for _ in 0..<100 where !log.contains("Server listening") && daemon.isRunning { try await Task.sleep(for: .milliseconds(50)) }
        guard daemon.isRunning else { throw Failure(.permanent, "sshd did not start", cause: log) }
        return try await body()
    }

    func host(_ name: HostName, at address: String) -> ForecacheModel.Host {
        ForecacheModel.Host(
            name: name, site: "dcn1", role: "Compute", address: address,
            ssh: SSHSettings(
                user: "root", port: Self.port, identityFiles: ["\(directory)/user"], knownHostsFiles: ["\(directory)/known_hosts"],
                become: .none))
    }

    /// Until now.
    var logins: Int { log.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("Accepted publickey") }.count }

    private var log: String {
        // Not written yet: nothing was said.
        (try? String(contentsOfFile: logFile, encoding: .utf8)) ?? ""
    }
}
