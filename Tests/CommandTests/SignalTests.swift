import Foundation
import FoundationNetworking
import Glibc
import Testing

/// The service without its servers, and how programs end when they are told to.
@Suite(.timeLimit(.minutes(4))) struct SignalTests {
    private var program: Program

    init() throws {
        program = try Program()
        program.environment.merge(Program.overcloudrc) { $1 }
    }

    private func writeConfiguration(port: Int = 0) throws -> String {
        _ = try program.writeInventory()
        return try program.write(
            "f.yaml",
            """
            notifications: { url: "rabbit://u:s3cret@\(Program.nowhere)/" }
            inventory: [inventories]
            rules: [rules]
            state: ledger.sqlite
            status: { listen: "127.0.0.1:\(port)" }
            """)
    }

    @Test(.serialized, arguments: [SIGTERM, SIGINT])
    func watchStartsWithoutItsServersAndStopsWhenTold(number: Int32) async throws {
        try program.write("rules/a.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: all, match: { always: true } }\n")
        let config = try writeConfiguration()
        let systemd = try NotifySocket(path: program.path("notify"))
        var program = program
        program.environment["NOTIFY_SOCKET"] = systemd.path
        let ended = try await program.run(["watch", "--config", config], until: "status server listens") { process, errors in
            let port = try #require(errors.firstMatch(of: /port=(\d+)/)?.1)
            let ready = try await get("http://127.0.0.1:\(port)/readyz")
            #expect(ready.code == 503)
            #expect(ready.text.contains("not subscribed to notifications"))
            #expect(try await get("http://127.0.0.1:\(port)/healthz").code == 200)
            #expect(kill(process, number) == 0)
        }
        #expect(ended.code == 0)
        #expect(ended.output == "")
        #expect(!ended.errors.contains("s3cret"))
        #expect(systemd.received == ["READY=1", "STOPPING=1"])

        // The ledger is there now, and nobody runs: it is only read.
        let status = try await program.run("status", "--config", config, "--output", "json")
        #expect(status.code == 0)
        let report = try status.json()
        #expect((report["images"] as? [Any])?.isEmpty == true)
        #expect(Set(report.keys) == ["images", "queue", "notifications", "policy"])
    }

    /// The configuration is a pipe, so that the service stands still where it reads it.
    @Test func aHangupWhileTheServiceStartsDoesNotEndIt() async throws {
        let config = program.path("f.yaml")
        #expect(mkfifo(config, 0o600) == 0)
        // Should the service have ended, writing fails; the tests are to go on all the same.
        signal(SIGPIPE, SIG_IGN)
        let ended = try await program.run(["watch", "--config", config]) { process in
            // Opens when the service does.
            let pipe = try FileHandle(forWritingTo: URL(filePath: config))
            #expect(kill(process, SIGHUP) == 0)
            try pipe.write(contentsOf: Data("clod: x\n".utf8))
            try pipe.close()
        }
        #expect(ended.code == 78)
        #expect(ended.errors.contains("unknown key 'clod'"))
    }

    /// Likewise; what it reads never comes.
    @Test(arguments: [SIGTERM, SIGINT]) func theServiceEndsWhereItReadsItsConfiguration(number: Int32) async throws {
        let config = program.path("f.yaml")
        #expect(mkfifo(config, 0o600) == 0)
        var pipe: FileHandle?
        let ended = try await program.run(["watch", "--config", config]) { process in
            pipe = try FileHandle(forWritingTo: URL(filePath: config))
            #expect(kill(process, number) == 0)
        }
        #expect(ended.code == 0)
        #expect(ended.output == "" && ended.errors == "")
        try pipe?.close()
    }

    /// Counted from the program's own first line. Before it there is only the dynamic loader, in which a signal ends any program.
    @Test(arguments: [0, 2, 5, 10, 20, 50, 100, 200, 400])
    func theServiceEndsWellWheneverItIsToldTo(milliseconds: Int) async throws {
        try program.write("rules/a.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: all, match: { always: true } }\n")
        let ended = try await program.run(["watch", "--config", try writeConfiguration()]) { process in
            while try !catches(SIGTERM, process) { await Task.yield() }
            try await Task.sleep(for: .milliseconds(milliseconds))
            #expect(kill(process, SIGTERM) == 0)
        }
        #expect(ended.code == 0)
        #expect(ended.output == "")
        #expect(!ended.errors.contains(" error forecache"))
    }

    /// Whether the process has a handler of its own for the signal: proc(5)'s `SigCgt`, a set of bits.
    private func catches(_ signal: Int32, _ process: Int32) throws -> Bool {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let caught = try #require(status.firstMatch(of: /SigCgt:\s*([0-9a-f]+)/)?.1)
        return try #require(UInt64(caught, radix: 16)) >> UInt64(signal - 1) & 1 == 1
    }

    @Test func aTakenPortEndsTheServiceWithItsAddress() async throws {
        let listener = try Listener()
        try program.write("rules/a.yaml", "apiVersion: forecache/v1\nrules: []\n")
        let ended = try await program.run("watch", "--config", try writeConfiguration(port: listener.port))
        #expect(ended.code == 1)
        #expect(ended.errors.contains("cannot listen on 127.0.0.1:\(listener.port)"))
        #expect(ended.errors.hasSuffix("free address of this machine: Address already in use\n"))
    }

    /// Keystone takes the connection and never answers.
    @Test(arguments: ["cache", "plan", "refresh"])
    func aCommandThatIsToldToStopEndsWithoutAnAnswer(command: String) async throws {
        let listener = try Listener()
        var program = program
        program.environment["OS_AUTH_URL"] = "http://127.0.0.1:\(listener.port)/v3"
        let inventory = try program.writeInventory()
        let ended = try await program.run([command, "-i", inventory, "image_0", "--output", "json"]) { process in
            await listener.connected()
            #expect(kill(process, SIGTERM) == 0)
        }
        #expect(ended.code == 1)
        #expect(ended.output == "")
        #expect(ended.errors.contains("told to stop"))
    }

    private func get(_ url: String) async throws -> (code: Int, text: String) {
        let (data, response) = try await URLSession.shared.data(from: try #require(URL(string: url)))
        return (try #require(response as? HTTPURLResponse).statusCode, String(decoding: data, as: UTF8.self))
    }
}
