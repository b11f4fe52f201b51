import Foundation
import Testing

/// The built program in a directory of its own, with nothing of the environment of whoever runs the tests.
struct Program {
    private let directory: Directory
    var folder: URL { directory.url }
    var environment: [String: String]

    /// Goes with the last copy of its program.
    private final class Directory: Sendable {
        let url = FileManager.default.temporaryDirectory.appending(path: "forecache-command-\(UUID().uuidString)")

        init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }

        deinit {
            // Nothing is lost where it stays: the system clears its temporary directory.
            try? FileManager.default.removeItem(at: url)
        }
    }

    init() throws {
        directory = try Directory()
        let folder = directory.url
        environment = ["HOME": folder.path, "PATH": "/usr/bin:/bin"]
    }

    struct Ended {
        let code: Int32
        let output: String
        let errors: String

        /// The answer as JSON: all of standard output, or nothing is.
        func json() throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
        }
    }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let url = folder.appending(path: name)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
        return url.path
    }

    /// `FORECACHE_BINARY`, else the one of the build that the tests belong to.
    static var binary: URL {
        if let path = ProcessInfo.processInfo.environment["FORECACHE_BINARY"] { return URL(filePath: path) }
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return root.appending(path: ".build/debug/forecache")
    }

    /// Runs to its end. `started` is called right after the start; `standing` when standard error has the text. Output goes to files: a pipe would be
    /// inherited by programs that other tests start at the same moment, and have its end only with theirs. `redirection` is the shell's: `>&-`.
    func run(
        _ arguments: [String], redirection: String? = nil, started: (_ process: Int32) async throws -> Void = { _ in },
        until text: String? = nil,
        standing: (_ process: Int32, _ errors: String) async throws -> Void = { _, _ in }
    ) async throws -> Ended {
        let process = Process()
        process.executableURL = redirection == nil ? Self.binary : URL(filePath: "/bin/sh")
        process.arguments = (redirection.map { ["-c", "exec \"$0\" \"$@\" \($0)", Self.binary.path] } ?? []) + arguments
        process.environment = environment
        process.currentDirectoryURL = folder
        process.standardInput = FileHandle.nullDevice
        let name = UUID().uuidString
        let (output, errors) = (try write("\(name).out", ""), try write("\(name).err", ""))
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: output))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: errors))
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        process.terminationHandler = { _ in end.finish() }
        try process.run()
        try await started(process.processIdentifier)
        if let text {
            while process.isRunning {
                let said = try String(contentsOfFile: errors, encoding: .utf8)
                if said.contains(text) {
                    try await standing(process.processIdentifier, said)
                    break
                }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        for await _ in ends {}
        return Ended(
            code: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
            errors: try String(contentsOfFile: errors, encoding: .utf8))
    }

    func run(_ arguments: String...) async throws -> Ended { try await run(arguments) }

    // MARK: - Files that most tests need

    /// Port 1 of this machine: nobody listens there.
    static let nowhere = "127.0.0.1:1"

    /// Two hosts of one site that nobody can log in to.
    func writeInventory() throws -> String {
        try write(
            "inventories/dcn1.yaml",
            """
            dcn1_nova_compute:
              hosts:
                dcn1-compute-0: { ansible_host: 127.0.0.1, ansible_port: 1, internal_api_ip: 127.0.0.2 }
                dcn1-compute-1: { ansible_host: 127.0.0.1, ansible_port: 1 }
              vars: { tripleo_role_name: Compute, ansible_user: nobody }
            dcn1: { children: { dcn1_nova_compute: {} } }
            """)
    }

    static let overcloudrc = [
        "OS_AUTH_URL": "http://\(nowhere)/v3", "OS_USERNAME": "admin", "OS_PASSWORD": "s3cret", "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default",
    ]
}
