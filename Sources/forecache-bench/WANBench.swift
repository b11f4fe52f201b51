import Crypto
import Engine
import ForecacheModel
import Foundation
import Logging
import Planning
import SSHFleet

/// One node behind a long, fat link, and downloads of one image over it.
struct WANBench {
    struct Download {
        var seconds: Double
        /// What crossed the link for each byte of the image.
        var share: Double
    }

    private static let port = 2222

    private let directory: String
    private let request: BaseFileRequest
    private let logger = Logger(label: "forecache-bench") { _ in SwiftLogNoOpLogHandler() }

    init(directory: String, imageBytes: Int) async throws {
        self.directory = directory
        for name in ["_base", "home"] {
            try FileManager.default.createDirectory(atPath: "\(directory)/\(name)", withIntermediateDirectories: true)
        }
        for key in ["host", "user"] {
            try await Program("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", "\(directory)/\(key)"])
                .succeed(log: "\(directory)/keygen.log")
        }
        let hostKey = try String(contentsOfFile: "\(directory)/host.pub", encoding: .utf8)
            .split(separator: " ").prefix(2).joined(separator: " ")
        try "[127.0.0.1]:\(Self.port) \(hostKey)\n".write(toFile: "\(directory)/known_hosts", atomically: true, encoding: .utf8)
        let settings = """
            Port \(Self.port)
            ListenAddress 127.0.0.1
            HostKey \(directory)/host
            AuthorizedKeysFile \(directory)/user.pub
            PidFile none
            UsePAM no
            StrictModes no
            PermitRootLogin prohibit-password
            PasswordAuthentication no
            SetEnv HOME=\(directory)/home
            """
        try (settings + "\n").write(toFile: "\(directory)/sshd_config", atomically: true, encoding: .utf8)
        var hash = SHA256()
        guard FileManager.default.createFile(atPath: "\(directory)/image", contents: nil) else {
            throw Failure(.permanent, "cannot write \(directory)/image")
        }
        let file = try FileHandle(forWritingTo: URL(filePath: "\(directory)/image"))
        for start in stride(from: 0, to: imageBytes, by: 1 << 20) {
            let part = Data(
                (0..<min(1 << 20, imageBytes - start) / 8).flatMap { index in
                    withUnsafeBytes(of: UInt64(start + index) &* 0x9e37_79b9_7f4a_7c15) { Array($0) }
                })
            hash.update(data: part)
            try file.write(contentsOf: part)
        }
        try file.close()
        guard let image = ImageID(UUID().uuidString), let digest = Digest(.sha256, hex: Hexadecimal.text(hash.finalize())) else {
            throw Failure(.fatal, "the made-up image has no digest")
        }
        request = BaseFileRequest(image: image, bytes: Int64(imageBytes), digest: digest)
    }

    /// `body` may download while the node and the link are there.
    func whileUp<Value>(delaySeconds: Double, windowBytes: Int, _ body: () async throws -> Value) async throws -> Value {
        let daemon = try Program("/usr/sbin/sshd", ["-D", "-e", "-f", "\(directory)/sshd_config"]).start(log: "\(directory)/sshd.log")
        defer { daemon.end() }
        let program = "\(directory)/delaying_relay.py"
        try Data(PackageResources.delaying_relay_py).write(to: URL(filePath: program))
        let arguments = [program, "\(directory)/port", "\(directory)/image", "\(delaySeconds)", "\(windowBytes)"]
        let link = try Program("/usr/bin/python3", arguments).start(log: "\(directory)/link.log")
        defer { link.end() }
        for _ in 0..<200 where !FileManager.default.fileExists(atPath: "\(directory)/port") { try await Task.sleep(for: .milliseconds(50)) }
        guard daemon.isRunning, link.isRunning else {
            throw Failure(.permanent, "sshd or the delaying relay did not start", cause: "see the logs in \(directory)")
        }
        return try await body()
    }

    /// One download from nothing, verified and removed again. `streams`: nil leaves their number to the node.
    func download(streams: Int?) async throws -> Download {
        let fleet = SSHFleet(
            settings: SSHFleetSettings(cacheDirectory: "\(directory)/_base", owner: "0:0", container: nil), limits: Limits(), logger: logger
        )
        var request = request
        request.streams = streams
        let url = "http://127.0.0.1:\(try number(in: "port"))/image"
        let grant = DownloadGrant(url: url, token: Secret(""), expiresAt: .distantFuture)
        let before = try number(in: "port.sent")
        let started = ContinuousClock.now
        let moved = try await fleet.fetch(request, with: grant, on: host) { _ in }
        let seconds = started.duration(to: .now).seconds
        guard moved == Transfer(bytes: request.bytes), try await fleet.publish(request, on: host) == false else {
            throw Failure(.fatal, "the download was not a whole one")
        }
        try FileManager.default.removeItem(atPath: "\(directory)/_base/\(BaseFileName(of: request.image))")
        await fleet.close()
        return Download(seconds: seconds, share: Double(try number(in: "port.sent") - before) / Double(request.bytes))
    }

    private var host: ForecacheModel.Host {
        ForecacheModel.Host(
            name: "dcn1-compute-0", site: "dcn1", role: "Compute", address: "127.0.0.1",
            ssh: SSHSettings(
                user: "root", port: Self.port, identityFiles: ["\(directory)/user"], knownHostsFiles: ["\(directory)/known_hosts"],
                become: .none))
    }

    private func number(in file: String) throws -> Int {
        guard FileManager.default.fileExists(atPath: "\(directory)/\(file)") else { return 0 }
        let text = try String(contentsOfFile: "\(directory)/\(file)", encoding: .utf8)
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }
}
