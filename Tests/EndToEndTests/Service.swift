import ForecacheTestSupport
import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// `forecache` as operators run it: the built binary, a configuration file, the lab's servers.
final class Service {
    let lab: Lab
    let folder: URL
    private let port: Int
    private var process: Process?

    static var binary: String {
        ProcessInfo.processInfo.environment["FORECACHE_BINARY"]
            ?? URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../.build/debug/forecache").standardized.path
    }

    static let rules = """
        apiVersion: forecache/v1
        rules:
          - name: everywhere
            match: { all: [ { tag: e2e-everywhere }, { visibility: public } ] }
          - name: by-tag
            match: { all: [ { tag: "e2e-precache:{site}" }, { visibility: public } ] }
            targets: { sites: ["{site}"] }
          - name: short-lived
            match: { all: [ { tag: e2e-short }, { visibility: public } ] }
            targets: { sites: [dcn2] }
            ttl: 20s
        """

    /// Each test has a queue, ledger and status port of its own; `more` is added to the configuration.
    init(_ lab: Lab, more: String = "", limits: [String: Int] = [:], rules: String = Service.rules) throws {
        self.lab = lab
        // Below those of the labs, and of the kernel's own choice: whatever is connected to something may have one of these.
        port = Int.random(in: 10_000..<20_000)
        folder = FileManager.default.temporaryDirectory.appending(path: "forecache-e2e-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try write("transport_url", lab["RABBITMQ_URL"] + "\n")
        try write("rules.yaml", rules)
        let limits = ["backoff_seconds": 1, "survey_max_age_seconds": 2, "away_seconds": 2].merging(limits) { $1 }
        try write(
            "forecache.yaml",
            """
            notifications: { url_file: transport_url, queue: "forecache-e2e-\(port)" }
            inventory: ["\(lab["INVENTORY"])"]
            rules: [rules.yaml]
            ssh: { user: \(lab["SSH_USER"]), identity: ["\(lab["SSH_IDENTITY"])"], known_hosts: "\(lab["SSH_KNOWN_HOSTS"])" }
            state: ledger.sqlite
            status: { listen: "127.0.0.1:\(port)" }
            limits: { \(limits.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")) }
            resync: 1h
            \(more)
            """)
    }

    deinit {
        process?.terminate()
        try? FileManager.default.removeItem(at: folder)  // a leftover in the temporary directory harms nobody
    }

    func write(_ name: String, _ text: String) throws {
        let file = folder.appending(path: name)
        try text.write(to: file, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
    }

    /// Starts `watch` and awaits that it is subscribed.
    func start() async throws {
        let process = Process()
        process.executableURL = URL(filePath: Self.binary)
        process.arguments = ["watch", "--config", folder.appending(path: "forecache.yaml").path, "--log-level", "info"]
        process.environment = environment
        let log = folder.appending(path: "watch.log")
        if !FileManager.default.fileExists(atPath: log.path) { _ = FileManager.default.createFile(atPath: log.path, contents: nil) }
        let handle = try FileHandle(forWritingTo: log)
        try handle.seekToEnd()
        process.standardError = handle
        process.standardOutput = handle
        try process.run()
        self.process = process
        try await eventually("watch is ready; its log: \(self.log)") {
            guard process.isRunning else { throw CommandFailed(description: "watch ended with \(process.terminationStatus): \(self.log)") }
            return try await status(of: "/readyz") == 200
        }
    }

    var log: String { (try? String(contentsOf: folder.appending(path: "watch.log"), encoding: .utf8)) ?? "" }  // none yet

    /// Sends the signal and awaits the end: exit code, or the signal that ended it as a negative number.
    func stop(_ signal: Int32) async throws -> Int32 {
        guard let process else { return -1 }
        kill(process.processIdentifier, signal)
        try await eventually("watch ends after signal \(signal)", within: 25) { !process.isRunning }
        self.process = nil
        return process.terminationReason == .uncaughtSignal ? -process.terminationStatus : process.terminationStatus
    }

    /// The queue goes with the test; the exchange and its bindings are not ours.
    func removeQueue() throws { try run(lab["RABBITMQCTL"], ["delete_queue", "--vhost", lab["RABBITMQ_VHOST"], "forecache-e2e-\(port)"]) }

    func status(of path: String) async throws -> Int {
        guard let url = URL(string: "http://127.0.0.1:\(port)\(path)") else { return 0 }
        var request = URLRequest(url: url)
        request.timeoutInterval = 5
        // Refused while it starts: not ready.
        guard let (_, response) = try? await URLSession.shared.data(for: request) else { return 0 }
        return (response as? HTTPURLResponse)?.statusCode ?? 0
    }

    /// A command with this configuration: what it printed and its exit code.
    func command(_ words: [String]) throws -> String {
        try run(
            Self.binary, words + ["--config", folder.appending(path: "forecache.yaml").path], environment: environment, allow: [0, 1, 2])
    }

    /// The same with whatever exit code, and with what it said on standard error.
    func ended(_ words: [String]) throws -> (code: Int32, output: String, errors: String) {
        let output = Pipe()
        let process = try beside(words, errors: "ended.log", output: output)
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text, try self.text("ended.log"))
    }

    /// The same beside other things; whoever starts it awaits its end. Its standard error is a file of the folder.
    func beside(_ words: [String], errors name: String, output: Any = FileHandle.nullDevice) throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: Self.binary)
        process.arguments = words + ["--config", folder.appending(path: "forecache.yaml").path]
        process.environment = environment
        try write(name, "")
        process.standardError = try FileHandle(forWritingTo: folder.appending(path: name))
        process.standardOutput = output
        try process.run()
        return process
    }

    func text(_ name: String) throws -> String { try String(contentsOf: folder.appending(path: name), encoding: .utf8) }

    /// Sends a signal to the running service.
    func signal(_ number: Int32) { if let process { kill(process.processIdentifier, number) } }

    func json(_ words: [String]) throws -> [String: Any] {
        let text = try command(words + ["--output", "json"])
        return try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] ?? [:]
    }

    /// State by host, as `status --output json` has it.
    func states(of image: String) throws -> [String: String] {
        Dictionary(try placements(of: image).map { ($0["host"] as? String ?? "", $0["state"] as? String ?? "") }) { first, _ in first }
    }

    func error(of image: String, on host: String) throws -> String {
        try placements(of: image).first { $0["host"] as? String == host }?["error"] as? String ?? ""
    }

    private func placements(of image: String) throws -> [[String: Any]] {
        let text = try command(["status", "--output", "json"])
        let report = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        let images = report?["images"] as? [[String: Any]] ?? []
        return images.first { $0["id"] as? String == image }?["placements"] as? [[String: Any]] ?? []
    }

    private var environment: [String: String] {
        lab.values.filter { $0.key.hasPrefix("OS_") }.merging(["PATH": "/usr/bin:/bin", "HOME": folder.path]) { $1 }
    }
}
