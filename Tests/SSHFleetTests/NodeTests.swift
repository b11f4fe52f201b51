import ForecacheModel
import ForecacheTestSupport
import Foundation
import Testing

@testable import SSHFleet

/// What is sent to a node and what comes back.
@Suite struct NodeTests {
    private static let host = ForecacheModel.Host(
        name: "node-0", site: "s", role: "Compute", address: "10.0.0.1", ssh: SSHSettings(user: "admin"))
    private static let name = String(repeating: "a1", count: 20)

    /// Words that a shell must take for exactly themselves, through a real /bin/sh.
    @Test func quotingSurvivesARealShell() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let odd = Array("'\"\\$`!*?[]{}()<>|&;#~ \n\t\r=%aé\u{1}\u{7f}")
        var words = ["", "'", "''", "a'b", "-n", "$(id)", "\\", "\n", "';id;'"]
        for _ in 0..<200 {
            words.append(
                String((0..<Int.random(in: 0...30, using: &random)).map { _ in odd[Int.random(in: 0..<odd.count, using: &random)] }))
        }
        let file = "/tmp/forecache-words-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try tool("env", ["sh", "-c", "printf '%s\\0' " + words.map(NodeCommand.quoted).joined(separator: " ") + " > \(file)"])
        let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
        let got = bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast().map { String(decoding: $0, as: UTF8.self) }
        #expect(got == words, "seed \(seed)")
    }

    @Test(arguments: NodeVerb.allCases) func theProgramFitsIntoOnePacket(verb: NodeVerb) {
        let command = NodeCommand.text(verb, become: .sudo)
        #expect(command.utf8.count < NodeCommand.lengthLimit)
        #expect(command.hasPrefix("sudo -n sh -c '") && command.hasSuffix("' forecache-node \(verb.rawValue)"))
        #expect(NodeCommand.text(verb, become: .none).hasPrefix("sh -c '"))
    }

    /// The shell that runs it must find it as well-formed as the file itself.
    @Test(arguments: NodeVerb.allCases) func theStrippedProgramIsStillAProgram(verb: NodeVerb) throws {
        try tool("env", ["sh", "-nc", NodeCommand.text(verb, become: .none)])
        try tool("env", ["sh", "-n", "-c", NodeCommand.program(verb)])
    }

    @Test func inputLines() throws {
        let name = try #require(BaseFileName(Self.name))
        let text = String(decoding: try NodeCommand.input(["a": "b=c", "x": nil, "e": ""], names: [name], host: Self.host), as: UTF8.self)
        #expect(text == "a=b=c\ne=\n.\n\(Self.name)\n.\n")
    }

    @Test(arguments: ["a\nb", "a\0b", "a\rb", "\u{1b}[2J", "\u{85}", String(repeating: "x", count: 17000)]) func valuesThatNoLineCanCarry(
        value: String
    ) async throws {
        let refused = try await failure { () throws(Failure) in _ = try NodeCommand.input(["token": value], host: Self.host) }
        #expect(refused.kind == .permanent)
        #expect(refused.context.contains("token") && !refused.context.contains(value))
    }

    @Test func linesOfTheNodeProgram() throws {
        #expect(NodeEvent(line: Array(#"{"event":"started","offset":7}"#.utf8)) == .started(offset: 7))
        #expect(NodeEvent(line: Array(#"{"event":"progress","bytes":9007199254740993}"#.utf8)) == .progress(bytes: 9_007_199_254_740_993))
        #expect(NodeEvent(line: Array(#"{"event":"shiny","x":[1]}"#.utf8)) == .unknown)
        let name = try #require(BaseFileName(Self.name))
        #expect(
            NodeEvent(line: Array(#"{"event":"base_file","name":"\#(Self.name)","bytes":5,"allocated":4096,"mtime":-3}"#.utf8))
                == .baseFile(name: name, bytes: 5, allocatedBytes: 4096, modified: -3))
        #expect(
            NodeEvent(line: Array(#"{"event":"done","existing":true,"bytes":0,"offset":0,"seconds":0}"#.utf8))
                == .done(NodeDone(isExisting: true, bytes: 0, offset: 0)))
        #expect(
            NodeEvent(line: Array(#"{"event":"error","kind":"http","status":503,"detail":"HTTP 503"}"#.utf8))
                == .error(NodeError(kind: "http", detail: "HTTP 503", status: 503)))
    }

    @Test(arguments: [
        "", "x", "Welcome to compute-0!", "[]", "{}", "null", "{\"event\":3}", "{\"event\":\"progress\"}",
        "{\"event\":\"progress\",\"bytes\":-1}",
        "{\"event\":\"progress\",\"bytes\":1e99}", "{\"event\":\"progress\",\"bytes\":\"1\"}",
        "{\"event\":\"touched\",\"name\":\"../../etc\",\"bytes\":1}",
        "{\"event\":\"missing\",\"name\":\"\"}", "{\"event\":\"node\"}", "{\"event\":\"error\"}", "{\"event\":\"progress\",\"bytes\":1}{}",
        String(repeating: "[", count: 16000), String(repeating: "{\"a\":", count: 3000), "\u{0}\u{1}",
    ]) func hostileLines(line: String) {
        #expect(NodeEvent(line: Array(line.utf8)) == nil)
        let failure = wording().garbage(Array(line.utf8))
        #expect(failure.context.contains("node-0") && failure.context.utf8.count < 600)
    }

    @Test func damagedLinesNeverCrash() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let good = Array(
            #"{"event":"node","now":1,"ttl":null,"force_raw_images":true,"free_bytes":1,"total_bytes":2,"cache_dir":true,"tools":{"curl":true}}"#
                .utf8)
        #expect(NodeEvent(line: good) != nil)
        for _ in 0..<2000 {
            var line = good
            line[Int.random(in: 0..<line.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            _ = NodeEvent(line: line)
        }
    }

    private func wording() -> NodeFailure { NodeFailure(verb: .fetch, host: Self.host, image: nil, cacheDirectory: "/c") }

    @Test(
        arguments: [
            ("no_tool", nil, Failure.Kind.permanent), ("container", nil, .retriable), ("no_space", nil, .retriable),
            ("not_found", 404, .permanent),
            ("forbidden", 401, .retriable),
            ("forbidden", 403, .permanent), ("http", 503, .retriable), ("http", 302, .permanent), ("http", 0, .retriable),
            ("network", nil, .retriable),
            ("too_long", nil, .permanent), ("truncated", nil, .retriable), ("digest_mismatch", nil, .permanent), ("peer", nil, .retriable),
            ("busy", nil, .retriable), ("io", nil, .retriable), ("bad_parameter", nil, .permanent), ("interrupted", nil, .retriable),
            ("new", nil, .retriable),
        ] as [(String, Int?, Failure.Kind)]) func kindsOfErrors(kind: String, status: Int?, expected: Failure.Kind)
    {
        let failure = wording().failure(for: NodeError(kind: kind, detail: "detail", status: status))
        #expect(failure.kind == expected)
        for word in ["fetch on node-0 (10.0.0.1)", kind, "detail"] { #expect(failure.context.contains(word)) }
    }

    @Test(arguments: [
        "sudo: a password is required\n", "admin is not in the sudoers file.  sudo", "sudo: sorry, you must have a tty to run sudo",
    ])
    func sudoThatWantsAPassword(text: String) {
        let failure = wording().ended(CommandEnd(exitCode: 1, errorText: text))
        #expect(failure.kind == .permanent)
        #expect(failure.context.contains("admin ALL=(root) NOPASSWD: ALL"))
    }

    @Test func otherEnds() {
        #expect(wording().ended(CommandEnd(exitCode: 127, errorText: "sh: sudo: not found")).kind == .permanent)
        #expect(wording().ended(CommandEnd(signal: "KILL", errorText: "")).context.contains("signal KILL"))
        #expect(wording().ended(CommandEnd(exitCode: 0, errorText: "")).kind == .retriable)
    }

    @Test func whatANodeCallsItsErrorIsMadePrintable() throws {
        let line = #"{"event":"error","kind":"x\u001b[2J\u202e\#(String(repeating: "y", count: 500))","detail":"d\u0007"}"#
        guard case .error(let error) = NodeEvent(line: Array(line.utf8)) else {
            Issue.record("not understood")
            return
        }
        #expect(error.kind == "x?[2J?" + String(repeating: "y", count: 34) + "…")
        #expect(wording().failure(for: error).context.contains("failed: x?[2J?yyy"))
    }

    @Test func foreignTextIsMadePrintable() {
        #expect(printable("a\u{1b}[2J\u{7f}\u{9b}b\nc\u{202e}d\u{2028}e", limit: 50) == "a?[2J??b c?d?e")
        #expect(printable("abcdef", limit: 3) == "abc…")
    }
}
