import ForecacheModel
import Foundation
import RabbitMQSource

/// `forecache watch` as operators run it, on a made-up inventory whose hosts are away, with its memory and its status API.
struct WatchedService {
    struct Answer {
        var bytes: Int
        var seconds: Double
    }

    let binary: String
    private let directory: String
    private let publisher: Publisher
    private let exchange: String
    private let port = Int.random(in: 20_000..<30_000)
    private let process = Process()

    init(directory: String, ledger: String, fleet: Fleet, url: Secret) throws {
        binary = try Program.forecache()
        self.directory = directory
        publisher = Publisher(access: try TransportURL.parse(url))
        exchange = "forecache-bench-\(String(UInt32.random(in: .min ... .max), radix: 16))"
        try write("transport_url", url.reveal() + "\n")
        try write("inventory.yaml", Self.inventory(of: fleet))
        try write("rules.yaml", "apiVersion: forecache/v1\nrules:\n  - {name: golden, match: {name: 'ubuntu-*'}}\n")
        try write(
            "forecache.yaml",
            """
            notifications: {url_file: transport_url, exchanges: [\(exchange)], queue: \(exchange)}
            inventory: [inventory.yaml]
            rules: [rules.yaml]
            state: "\(URL(filePath: ledger).standardizedFileURL.path)"
            status: {listen: "127.0.0.1:\(port)"}
            """)
    }

    /// Starts the service, runs `body`, stops it, and deletes what it had on the broker.
    func running<Result>(_ body: () async throws -> Result) async throws -> Result {
        try await publisher.declareExchange(exchange)
        do {
            try start()
            let result = try await body()
            await end()
            return result
        } catch {
            say(log)
            await end()
            throw error
        }
    }

    /// Returns when it is subscribed and its memory has stood still for three seconds, or after a minute.
    func settle() async throws {
        var (last, still) = (0.0, 0)
        for _ in 0..<240 where still < 12 {
            try await Task.sleep(for: .milliseconds(250))
            guard process.isRunning else { throw Failure(.permanent, "forecache watch ended by itself: see its log above") }
            let now = try memory().residentMiB
            still = try await isReady() && abs(now - last) < 0.25 ? still + 1 : 0
            last = now
        }
        guard try await isReady() else { throw Failure(.permanent, "forecache watch was not ready within a minute: see its log above") }
    }

    func memory() throws -> ProcessMemory { try ProcessMemory(of: process.processIdentifier) }

    /// Fetches a whole answer and forgets it.
    func get(_ path: String) async throws -> Answer {
        let words = try await curl(path)
        guard words.count == 3, words[0] == "200", let bytes = Int(words[1]), let seconds = Double(words[2]) else {
            throw Failure(.permanent, "GET \(path) of forecache watch was answered by \(words.first ?? "nothing"): see its log above")
        }
        return Answer(bytes: bytes, seconds: seconds)
    }

    private func isReady() async throws -> Bool { try await curl("/readyz").first == "200" }

    /// Status, bytes and seconds, as curl counts them.
    private func curl(_ path: String) async throws -> [String] {
        let (curl, output) = (Process(), Pipe())
        curl.executableURL = URL(filePath: "/usr/bin/curl")
        curl.arguments = [
            "-s", "-m", "600", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{time_total}", "http://127.0.0.1:\(port)\(path)",
        ]
        curl.standardOutput = output
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            curl.terminationHandler = { _ in continuation.resume() }
            do {
                try curl.run()
            } catch {
                continuation.resume(
                    throwing: Failure(.permanent, "cannot run /usr/bin/curl: install it", cause: error.localizedDescription))
            }
        }
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        return String(decoding: text, as: UTF8.self).split(separator: " ").map(String.init)
    }

    private func start() throws {
        process.executableURL = URL(filePath: binary)
        process.arguments = ["watch", "--config", "\(directory)/forecache.yaml", "--log-level", "notice"]
        // Port 1 refuses at once: this cloud is away.
        process.environment = [
            "PATH": "/usr/bin:/bin", "HOME": directory, "OS_AUTH_URL": "http://127.0.0.1:1/v3", "OS_USERNAME": "bench",
            "OS_PASSWORD": "bench",
            "OS_PROJECT_NAME": "bench", "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default",
        ]
        try write("watch.log", "")
        let log = try FileHandle(forWritingTo: URL(filePath: "\(directory)/watch.log"))
        (process.standardOutput, process.standardError) = (log, log)
        try process.run()
    }

    private func end() async {
        if process.isRunning { process.terminate() }
        for _ in 0..<200 where process.isRunning {
            // Throws on cancellation only: then it is killed at once.
            guard (try? await Task.sleep(for: .milliseconds(100))) != nil else { break }
        }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        do {
            try await publisher.deleteQueue(exchange)
            try await publisher.deleteExchange(exchange)
        } catch {
            // The figures are not to be lost for it.
            say("forecache-bench: queue and exchange \(exchange) were left behind, delete them by hand: \(error)")
        }
    }

    private var log: String {
        // Without a log there is nothing to show.
        let text = (try? String(contentsOfFile: "\(directory)/watch.log", encoding: .utf8)) ?? ""
        return String(text.suffix(4000))
    }

    private func write(_ name: String, _ text: String) throws {
        let file = "\(directory)/\(name)"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
    }

    private static func inventory(of fleet: Fleet) -> String {
        fleet.sites.map { site in
            """
            \(site.name):
              hosts:
            \(site.hosts.map { "    \($0.name): {ansible_host: \($0.address), ansible_port: 1}" }.joined(separator: "\n"))
              vars: {plan: \(site.name), tripleo_role_name: Compute}
            """
        }.joined(separator: "\n") + "\nnova_compute:\n  children: {\(fleet.sites.map { "\($0.name): {}" }.joined(separator: ", "))}\n"
    }
}
