import Foundation

/// `fault_server.py` as a process of its own; ends with this object.
final class FaultServer {
    /// `http://127.0.0.1:PORT`
    let origin: String
    private let process = Process()
    private let input = Pipe()

    struct TLS: Encodable {
        var cert: String
        var key: String
        var clientCA: String?
    }

    /// How one request is answered; the script explains the fields.
    struct Answer: Encodable {
        var status = 200
        var headers: [String: String] = [:]
        var body = ""
        var `repeat` = 1
        var length: Int?
        var hang = false
        var stall = false
        var close = false
        var wait: Double?
    }

    struct Seen: Decodable {
        var method: String
        var path: String
        var headers: [String: String]
        var body: String
        /// The client's port: the same for two requests on one connection.
        var port: Int
    }

    private struct Plan: Encodable {
        var routes: [String: [Answer]]
        var tls: TLS?
    }

    struct DidNotStart: Error {}

    init(_ routes: [String: [Answer]], tls: TLS? = nil) throws {
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "fault_server.py")
        process.executableURL = URL(filePath: "/usr/bin/python3")
        process.arguments = [script.path()]
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        let plan = try JSONEncoder().encode(Plan(routes: routes, tls: tls))
        try input.fileHandleForWriting.write(contentsOf: plan + Data("\n".utf8))
        let line = output.fileHandleForReading.availableData
        guard let port = Int(String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw DidNotStart()
        }
        origin = "\(tls == nil ? "http" : "https")://127.0.0.1:\(port)"
    }

    deinit {
        // Already closed is as good as closed.
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}

/// A CA of our own with one server certificate for 127.0.0.1 and one client certificate, in a folder that ends with this object.
final class TestCA {
    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "forecache-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=forecache-test-ca -keyout ca.key -out ca.pem")
        try Data("subjectAltName=IP:127.0.0.1\n".utf8).write(to: folder.appending(path: "server.ext"))
        try Data("extendedKeyUsage=clientAuth\n".utf8).write(to: folder.appending(path: "client.ext"))
        for name in ["server", "client"] {
            try openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=\(name) -keyout \(name).key -out \(name).csr")
            try openssl("x509 -req -in \(name).csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile \(name).ext -out \(name).pem")
        }
    }

    deinit {
        // A temporary folder that stays does no harm.
        try? FileManager.default.removeItem(at: folder)
    }

    func path(_ name: String) -> String { folder.appending(path: name).path() }

    struct Failed: Error { var command: String }

    private func openssl(_ command: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments = command.split(separator: " ").map(String.init)
        process.currentDirectoryURL = folder
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failed(command: command) }
    }
}
