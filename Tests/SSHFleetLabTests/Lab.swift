import Crypto
import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import Logging
import Planning
import SSHFleet
import Testing

/// The running lab, as its `lab.env` describes it.
struct Lab {
    private let values: [String: String]
    let hosts: [ForecacheModel.Host]

    init() throws {
        let values = try LabFile.read()
        self.values = values
        let names = (values["NODES"] ?? "").split(separator: " ").map { String($0) }
        hosts = try names.map { name in
            let key = name.replacingOccurrences(of: "-", with: "_")
            return ForecacheModel.Host(
                name: HostName(name), site: SiteName(String(name.prefix { $0 != "-" })), role: "Compute",
                address: try #require(values["ADDRESS_\(key)"]), peerAddress: values["INTERNAL_API_\(key)"],
                ssh: SSHSettings(
                    user: try #require(values["SSH_USER"]), identityFiles: [try #require(values["SSH_IDENTITY"])],
                    knownHostsFiles: [try #require(values["SSH_KNOWN_HOSTS"])]))
        }
        try #require(hosts.count >= 2, "the lab has no nodes")
    }

    func fleet() -> SSHFleet {
        SSHFleet(
            settings: SSHFleetSettings(
                peer: PeerSettings(
                    user: values["PEER_USER"], identity: values["PEER_IDENTITY"], port: values["PEER_PORT"].flatMap { Int($0) },
                    knownHosts: values["PEER_KNOWN_HOSTS"])), limits: Limits(), logger: Logger(label: "lab"))
    }

    func instances(of host: ForecacheModel.Host) throws -> String {
        try #require(values["INSTANCES_\(host.name.rawValue.replacingOccurrences(of: "-", with: "_"))"])
    }

    /// `deploy/lab/lab VERB …` of this lab.
    func lab(_ words: String...) throws {
        let command = (values["LAB"] ?? "").split(separator: " ").map { String($0) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(command.first))
        process.arguments = words + command.dropFirst()
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "lab \(words)")
    }

    /// This machine's address on the first node's network.
    var serverAddress: String { hosts[0].address.split(separator: ".").dropLast().joined(separator: ".") + ".1" }
}

/// An image made up for one test.
struct ImageFile {
    let bytes: Data
    var request: BaseFileRequest
    var name: BaseFileName { BaseFileName(of: request.image) }

    init(bytes count: Int) {
        // No two blocks are the same, so that none can stand in another's place.
        let block = (0..<65536).map { _ in UInt8.random(in: 0...255) }
        var bytes = Data(capacity: count)
        while bytes.count < count {
            withUnsafeBytes(of: bytes.count) { bytes.append(contentsOf: $0) }
            bytes.append(contentsOf: block)
        }
        bytes.removeLast(bytes.count - count)
        self.init(bytes)
    }

    /// A qcow2 of a disk with nothing in it, to be converted.
    init(emptyDiskBytes: Int64) throws {
        let path = "/tmp/forecache-disk-\(UUID().uuidString.prefix(8))"
        defer { try? FileManager.default.removeItem(atPath: path) }  // left behind where it cannot be removed: it lies in /tmp
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/qemu-img")
        process.arguments = ["create", "-q", "-f", "qcow2", path, String(emptyDiskBytes)]
        try process.run()
        process.waitUntilExit()
        self.init(try Data(contentsOf: URL(fileURLWithPath: path)))
        let head = bytes.prefix(65536)
        request.proof = RangeProof(ranges: [0..<Int64(head.count)], sha256: Hexadecimal.text(SHA256.hash(data: head)))
        request.conversion = .init(qemuFormat: "qcow2", rawBytes: emptyDiskBytes)
    }

    private init(_ bytes: Data) {
        guard let image = ImageID(UUID().uuidString), let digest = Digest(.sha512, hex: Hexadecimal.text(SHA512.hash(data: bytes))) else {
            preconditionFailure("a UUID is an image id, and a hash has its length")
        }
        self.bytes = bytes
        request = BaseFileRequest(image: image, bytes: Int64(bytes.count), digest: digest)
    }
}

/// An HTTP server of the test's own (python3) that gives one file to whoever has the token.
struct FileServer {
    let pid: Int32
    let token: String
    private let url: String
    private let folder: String

    /// Bytes that were given away so far, in all answers together.
    func sentBytes() throws -> Int { Int(try String(contentsOfFile: folder + "/sent", encoding: .utf8)) ?? 0 }

    func grant() -> DownloadGrant { DownloadGrant(url: url, token: Secret(token)) }

    /// `mode`: plain, slow (the file takes about four seconds), or an HTTP status to answer.
    static func run(_ image: ImageFile, address: String, mode: String, _ body: (FileServer) async throws -> Void) async throws {
        let folder = "/tmp/forecache-files-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let token = "token-\(UUID().uuidString)"
        try image.bytes.write(to: URL(fileURLWithPath: folder + "/file"))
        try token.write(toFile: folder + "/token", atomically: true, encoding: .utf8)
        try program.write(toFile: folder + "/server.py", atomically: true, encoding: .utf8)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = [folder + "/server.py", folder, address, mode]
        try process.run()
        defer {
            kill(process.processIdentifier, SIGKILL)
            // Left behind where it cannot be removed: it lies in /tmp.
            try? FileManager.default.removeItem(atPath: folder)
        }
        let deadline = ContinuousClock.now + .seconds(20)
        while !FileManager.default.fileExists(atPath: folder + "/port") {
            try #require(ContinuousClock.now < deadline, "the file server did not start on \(address)")
            try await Task.sleep(for: .milliseconds(20))
        }
        let port = try String(contentsOfFile: folder + "/port", encoding: .utf8)
        try await body(FileServer(pid: process.processIdentifier, token: token, url: "http://\(address):\(port)/file", folder: folder))
    }

    private static let program = """
        import http.server, os, sys, threading, time
        folder, address, mode = sys.argv[1:4]
        data = open(folder + '/file', 'rb').read()
        token = open(folder + '/token').read()
        sent, lock = 0, threading.Lock()
        class Handler(http.server.BaseHTTPRequestHandler):
            def give(self, part):
                global sent
                self.wfile.write(part)
                with lock:
                    sent += len(part)
                    open(folder + '/sent.new', 'w').write(str(sent))
                    os.rename(folder + '/sent.new', folder + '/sent')
            def do_GET(self):
                if mode.isdigit() or self.headers['X-Auth-Token'] != token:
                    self.send_error(int(mode) if mode.isdigit() else 401)
                    return
                start = self.headers['Range']
                asked, end = start is not None, len(data)
                if asked:
                    first, _, last = start[6:].partition('-')
                    start, end = int(first), int(last) + 1 if last else end
                else:
                    start = 0
                self.send_response(206 if asked else 200)
                self.send_header('Content-Length', str(end - start))
                if asked: self.send_header('Content-Range', 'bytes %d-%d/%d' % (start, end - 1, len(data)))
                self.end_headers()
                step = len(data) // 40 if mode == 'slow' else 1 << 18
                for at in range(start, end, step):
                    self.give(data[at:min(at + step, end)])
                    if mode == 'slow': time.sleep(0.1)
            def log_message(self, *_): pass
        server = http.server.ThreadingHTTPServer((address, 0), Handler)
        open(folder + '/port.new', 'w').write(str(server.server_address[1]))
        os.rename(folder + '/port.new', folder + '/port')
        server.serve_forever()
        """
}
