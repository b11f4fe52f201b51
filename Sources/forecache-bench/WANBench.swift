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

    private let directory: String
    private let daemon: OwnSSHD
    private let request: BaseFileRequest
    private let logger = Logger(label: "forecache-bench") { _ in SwiftLogNoOpLogHandler() }

    init(directory: String, imageBytes: Int) async throws {
        self.directory = directory
        daemon = try await OwnSSHD(directory: directory, listenAddress: "127.0.0.1", addresses: ["127.0.0.1"])
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
        try await daemon.whileListening {
            let program = "\(directory)/delaying_relay.py"
            try Data(PackageResources.delaying_relay_py).write(to: URL(filePath: program))
            let arguments = [program, "\(directory)/port", "\(directory)/image", "\(delaySeconds)", "\(windowBytes)"]
            let link = try Program("/usr/bin/python3", arguments).start(log: "\(directory)/link.log")
            defer { link.end() }
            for _ in 0..<200 where !FileManager.default.fileExists(atPath: "\(directory)/port") && link.isRunning {
                try await Task.sleep(for: .milliseconds(50))
            }
            guard link.isRunning else {
                throw Failure(.permanent, "the delaying relay did not start", cause: "see the log in \(directory)")
            }
            return try await body()
        }
    }

    /// One download from nothing, verified and removed again. `streams`: nil leaves their number to the node.
    func download(streams: Int?) async throws -> Download {
        let fleet = SSHFleet(
            settings: SSHFleetSettings(cacheDirectory: daemon.cacheDirectory, owner: "0:0", container: nil), limits: Limits(),
            logger: logger
        )
        var request = request
        request.streams = streams
        let url = "http://127.0.0.1:\(try number(in: "port"))/image"
        let grant = DownloadGrant(url: url, token: Secret(""))
        let before = try number(in: "port.sent")
        let started = ContinuousClock.now
        let moved = try await fleet.fetch(request, with: grant, on: host) { _ in }
        let seconds = started.duration(to: .now).seconds
        guard moved == Transfer(bytes: request.bytes), try await fleet.publish(request, on: host) == false else {
            throw Failure(.fatal, "the download was not a whole one")
        }
        try FileManager.default.removeItem(atPath: "\(daemon.cacheDirectory)/\(BaseFileName(of: request.image))")
        await fleet.close()
        return Download(seconds: seconds, share: Double(try number(in: "port.sent") - before) / Double(request.bytes))
    }

    private var host: ForecacheModel.Host { daemon.host("dcn1-compute-0", at: "127.0.0.1") }

    private func number(in file: String) throws -> Int {
        guard FileManager.default.fileExists(atPath: "\(directory)/\(file)") else { return 0 }
        let text = try String(contentsOfFile: "\(directory)/\(file)", encoding: .utf8)
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }
}
