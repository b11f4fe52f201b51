import ForecacheModel
import ForecacheTestSupport
import Foundation
import Testing

@testable import SSHFleet

/// Against a real sshd that the test starts.
@Suite struct ConnectionTests {
    @Test func runsACommandWithInputOutputErrorsAndExitCode() async throws {
        try await SSHServer.run { server in
            let pool = makePool()
            let (lines, end) = try await pool.output(
                of: "read a; echo \"got $a\"; printf 'no line end'; echo oops >&2; exit 3", input: "hello\n", on: server.host())
            #expect(lines == ["got hello", "no line end"])
            #expect(end.exitCode == 3)
            #expect(end.errorText == "oops ")
            await pool.close()
        }
    }

    @Test func keepsTheConnectionForTheNextCommand() async throws {
        try await SSHServer.run { server in
            let pool = makePool()
            let first = try await pool.output(of: "echo $PPID", on: server.host()).lines
            let second = try await pool.output(of: "echo $PPID", on: server.host()).lines
            #expect(first == second)
            // A connection that died meanwhile is replaced without anybody noticing.
            try #require(kill(try #require(Int32(first[0])), SIGKILL) == 0)
            let third = try await pool.output(of: "echo $PPID", on: server.host()).lines
            #expect(third != first)
            await pool.close()
        }
    }

    @Test func endsBySignalAreTold() async throws {
        try await SSHServer.run { server in
            let (_, end) = try await makePool().output(of: "kill -9 $$", on: server.host())
            #expect(end.exitCode == nil)
            #expect(end.signal == "KILL")
        }
    }

    @Test func aLongCommandAndMuchOutputArrive() async throws {
        try await SSHServer.run { server in
            let padding = String(repeating: "x", count: 34_000)
            let (lines, _) = try await makePool().output(of: "seq 1 200000; : \(padding)", on: server.host(), lines: 200_000)
            #expect(lines.count == 200_000)
            #expect(lines.last == "200000")
        }
    }

    @Test func tooLongALineAndTooManyLinesAreRefused() async throws {
        try await SSHServer.run { server in
            let pool = makePool()
            let long = try await failure { () throws(Failure) in
                _ = try await pool.output(of: "yes | tr -d '\\n'", on: server.host(), lineBytes: 1000)
            }
            #expect(long.context.contains("longer than 1000 bytes"))
            let many = try await failure { () throws(Failure) in _ = try await pool.output(of: "yes", on: server.host(), lines: 50) }
            #expect(many.context.contains("more than 50 lines"))
        }
    }

    /// It sends faster than its lines are taken here, so that there is always more to read.
    @Test func aNodeThatNeverStopsTalkingHoldsUpNobody() async throws {
        try await SSHServer.run { server in
            let pool = makePool()
            func talk(for time: Duration?, _ report: @escaping @Sendable () -> Void) async throws -> Failure {
                try await failure { () throws(Failure) in
                    let limits = CommandLimits(silence: .seconds(30), time: time, lineBytes: 2000, lines: 300_000)
                    let command = "yes \(String(repeating: "x", count: 1000))"
                    _ = try await pool.run(command, input: [], on: server.host(), limits: limits, started: {}) { _ in
                        report()
                        let end = ContinuousClock.now + .microseconds(20)
                        while ContinuousClock.now < end {}
                    }
                }
            }
            let (lines, report) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            let endless = Task { try await talk(for: nil) { report.yield() } }
            _ = await lines.first { _ in true }
            #expect(try await pool.output(of: "echo hello", on: server.host()).lines == ["hello"])
            let late = try await talk(for: .milliseconds(500)) {}
            #expect(late.context.contains("did not end within 0.5 seconds"))
            endless.cancel()
            #expect(try await endless.value.kind == .cancelled)
        }
    }

    @Test func sixtySessionsAtOnce() async throws {
        try await SSHServer.run { server in
            let pool = makePool()
            let hosts = (0..<60).map { server.host(name: HostName("node-\($0)")) }
            let answers = try await withThrowingTaskGroup(of: [String].self) { group in
                for (index, host) in hosts.enumerated() { group.addTask { try await pool.output(of: "echo \(index)", on: host).lines } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(Set(answers) == Set((0..<60).map { String($0) }))
            await pool.close()
        }
    }

    @Test func logInsThatTheServerDropsAreTriedAgain() async throws {
        try await SSHServer.run(["MaxStartups 4:90:6"]) { server in
            let pool = makePool()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 { group.addTask { _ = try await pool.output(of: "true", on: server.host()) } }
                try await group.waitForAll()
            }
            await pool.close()
        }
    }

    @Test func cancellationEndsTheRemoteProcess() async throws {
        try await SSHServer.run { server in
            let pool = makePool()
            let (pids, report) = AsyncStream.makeStream(of: Int32.self, bufferingPolicy: .unbounded)
            let command = Task { () -> Failure? in
                do throws(Failure) {
                    let limits = CommandLimits(silence: .seconds(60), time: nil, lineBytes: 100, lines: 10)
                    _ = try await pool.run("echo $$; exec cat", input: [], on: server.host(), limits: limits, started: {}) { line in
                        report.yield(Int32(String(decoding: line, as: UTF8.self)) ?? 0)
                    }
                    return nil
                } catch {
                    return error
                }
            }
            let pid = try #require(await pids.first { _ in true })
            #expect(kill(pid, 0) == 0)
            command.cancel()
            #expect(await command.value?.kind == .cancelled)
            try await eventually("the remote command ends") { kill(pid, 0) != 0 }
        }
    }

    @Test func aFrozenPeerHitsOurDeadline() async throws {
        try await SSHServer.run { server in
            let pool = makePool()
            var (pid, began) = (Int32(0), ContinuousClock.now)
            let frozen = try await failure { () throws(Failure) in
                let limits = CommandLimits(silence: .seconds(8), time: nil, lineBytes: 100, lines: 10)
                _ = try await pool.run("echo $PPID; sleep 60", input: [], on: server.host(), limits: limits, started: {}) { line in
                    pid = Int32(String(decoding: line, as: UTF8.self)) ?? 0
                    if pid > 1 { kill(pid, SIGSTOP) }
                    began = .now
                }
            }
            if pid > 1 { kill(pid, SIGKILL) }
            #expect(frozen.kind == .retriable)
            #expect(frozen.context.contains("no answer from node-0"))
            #expect(ContinuousClock.now - began < .seconds(30))
        }
    }

    @Test func aServerKilledInTheMiddleIsARetriableFailure() async throws {
        try await SSHServer.run { server in
            let broken = try await failure { () throws(Failure) in
                _ = try await makePool().output(of: "echo x; kill -9 $PPID; sleep 60", on: server.host())
            }
            #expect(broken.kind == .retriable)
            #expect(broken.context.contains("broke while a command was running"))
        }
    }

    @Test func nothingListensThere() async throws {
        try await SSHServer.run { server in
            var host = server.host()
            host.ssh.port = freePort()
            let refused = try await failure { () throws(Failure) in _ = try await makePool().output(of: "true", on: host) }
            #expect(refused.kind == .retriable)
            #expect(refused.description.contains("127.0.0.1: Connection refused"))
            host.address = "no-such-host.invalid"
            let unknown = try await failure { () throws(Failure) in _ = try await makePool().output(of: "true", on: host) }
            #expect(unknown.description.contains("cannot look up the address of no-such-host.invalid"))
        }
    }

    @Test func aServerThatSaysNothingHitsTheConnectTimeout() async throws {
        try await SSHServer.run { server in
            let (listener, port) = listen()
            defer { close(listener) }
            var host = server.host(timeoutSeconds: 1)
            host.ssh.port = port
            let silent = try await failure { () throws(Failure) in _ = try await makePool().output(of: "true", on: host) }
            #expect(silent.kind == .retriable)
            #expect(silent.context.contains("the SSH handshake: no answer"))
        }
    }

    @Test func aServerThatAlwaysHangsUpIsGivenUp() async throws {
        try await SSHServer.run { server in
            let (listener, port) = listen()
            // Ends when the listener is shut down.
            let hangsUp = Thread { while case let client = accept(listener, nil, nil), client >= 0 { close(client) } }
            hangsUp.start()
            defer {
                shutdown(listener, Int32(SHUT_RDWR))
                close(listener)
            }
            var host = server.host(timeoutSeconds: 1)
            host.ssh.port = port
            let refused = try await failure { () throws(Failure) in _ = try await makePool().output(of: "true", on: host) }
            #expect(refused.kind == .retriable)
            #expect(refused.context.contains("or no SSH server"))
        }
    }

    /// A listener on a free port of the loopback address, and the port.
    private func listen() -> (Int32, Int) {
        let (listener, port) = (socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0), freePort())
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                _ = Glibc.listen(listener, 8)
            }
        }
        return (listener, port)
    }

    @Test func throughAJumpHost() async throws {
        try await SSHServer.run { bastion in
            try await SSHServer.run { server in
                let both = try bastion.text("known_hosts") + server.text("known_hosts")
                try both.write(toFile: server.path("known_hosts"), atomically: true, encoding: .utf8)
                let key = try bastion.text("authorized_keys") + server.text("id.pub")
                try key.write(toFile: bastion.path("authorized_keys"), atomically: true, encoding: .utf8)
                let pool = makePool()
                let host = server.host(jump: JumpHost(user: NSUserName(), host: "127.0.0.1", port: bastion.port))
                let (lines, _) = try await pool.output(of: "read a; seq 1 100000", input: "\n", on: host, lines: 100_000)
                #expect(lines.count == 100_000)
            }
        }
    }
}
