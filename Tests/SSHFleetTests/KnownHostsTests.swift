import ForecacheTestSupport
import Foundation
import Testing

@testable import SSHFleet

@Suite struct KnownHostsTests {
    private static let ours = Wire.string("ssh-ed25519") + Wire.string([1, 2, 3])
    private static let theirs = Wire.string("ssh-ed25519") + Wire.string([4, 5, 6])
    private static let curve = Wire.string("ecdsa-sha2-nistp256") + Wire.string([7])

    private func line(_ patterns: String, _ key: [UInt8] = ours) -> String {
        "\(patterns) \(Wire.keyType(of: key) ?? "") \(Data(key).base64EncodedString()) a comment"
    }

    private func verdict(_ lines: [String], _ host: String = "node-1", _ port: Int = 22) -> KnownHosts.Verdict {
        var known = KnownHosts()
        known.add(lines.joined(separator: "\n"), file: "f")
        return known.verdict(host: host, port: port, key: Self.ours)
    }

    @Test(arguments: [
        ("node-1", true), ("NODE-1", true), ("node-2,node-1", true), ("node-*", true), ("node-?", true), ("*", true), ("*-1,x", true),
        ("node-*,!node-1", false), ("!node-1,node-*", false), ("node-?,!node-2", true), ("node", false), ("ode-1", false),
        ("[node-1]:22", false),
        ("n*o*d*e*1*2", false), ("", false), (",,", false), ("!node-2", false),
    ]) func patterns(pattern: String, isMatch: Bool) {
        #expect(KnownHosts.Entry.Names(Substring(pattern))?.include("node-1") == isMatch)
    }

    @Test func verdicts() {
        #expect(verdict([line("node-1")]) == .matched(place: "f:1"))
        #expect(verdict(["# x", line("node-1", Self.theirs), line("node-1")]) == .matched(place: "f:3"))
        #expect(verdict([line("node-1", Self.theirs), line("node-1", Self.curve)]) == .changed(places: ["f:1", "f:2"]))
        #expect(verdict([line("node-2")]) == .unknown)
        #expect(verdict([line("node-1"), line("@revoked *")]) == .revoked(place: "f:2"))
        #expect(verdict([line("node-1"), line("@revoked *", Self.theirs)]) == .matched(place: "f:1"))
        #expect(verdict([line("@cert-authority *")]) == .unknown)
        #expect(verdict([line("@odd node-1")]) == .unknown)
    }

    /// Were the file one line, all hosts but the first would be unknown, and `accept-new` would take any key of theirs.
    @Test func filesFromWindows() {
        var known = KnownHosts()
        known.add([line("node-2"), "# x", line("node-1", Self.theirs), line("@revoked node-3"), ""].joined(separator: "\r\n"), file: "f")
        #expect(known.verdict(host: "node-1", port: 22, key: Self.ours) == .changed(places: ["f:3"]))
        #expect(known.verdict(host: "node-2", port: 22, key: Self.ours) == .matched(place: "f:1"))
        #expect(known.verdict(host: "node-3", port: 22, key: Self.ours) == .revoked(place: "f:4"))
        #expect(known.notes == [])
    }

    @Test func aHashThatIsNoneIsSaid() {
        var known = KnownHosts()
        known.add([line("|1|x|y"), line("|2|AAAA|AAAA"), line("|1|AAAA")].joined(separator: "\n"), file: "f")
        #expect(known.entries.isEmpty)
        #expect(known.notes == (1...3).map { "f:\($0): the hashed name cannot be read" })
    }

    @Test func portsOtherThan22() {
        #expect(verdict([line("[node-1]:2222")], "node-1", 2222) == .matched(place: "f:1"))
        #expect(verdict([line("[node-1]:2222")]) == .unknown)
        #expect(verdict([line("[node-1]:2222", Self.theirs), line("node-1")], "node-1", 2222) == .matched(place: "f:2"))
        // The bare name accepts, but its other key says nothing about this port.
        #expect(verdict([line("node-1", Self.theirs)], "node-1", 2222) == .unknown)
    }

    @Test func keyTypesInFileOrder() {
        var known = KnownHosts()
        known.add(
            [line("a", Self.curve), line("a", Self.ours), line("b", Self.ours), line("@revoked a", Self.theirs)].joined(separator: "\n"),
            file: "f")
        #expect(known.keyTypes(host: "A", port: 22) == ["ecdsa-sha2-nistp256", "ssh-ed25519"])
        #expect(known.keyTypes(host: "c", port: 22) == [])
    }

    @Test func hashedByKeygen() throws {
        let file = "/tmp/forecache-known-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        let key = file + "-key"
        try tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        let words = try String(contentsOfFile: key + ".pub", encoding: .utf8).split(separator: " ")
        try "10.0.0.1 \(words[0]) \(words[1])\n[10.0.0.2]:2222 \(words[0]) \(words[1])\n".write(
            toFile: file, atomically: true, encoding: .utf8)
        try tool("ssh-keygen", "-H", "-f", file)
        var known = KnownHosts()
        known.addFile(file)
        let blob = Array(try #require(Data(base64Encoded: String(words[1]))))
        #expect(known.verdict(host: "10.0.0.1", port: 22, key: blob) == .matched(place: "\(file):1"))
        #expect(known.verdict(host: "10.0.0.2", port: 2222, key: blob) == .matched(place: "\(file):2"))
        #expect(known.verdict(host: "10.0.0.3", port: 22, key: blob) == .unknown)
        for path in [key, key + ".pub", file + ".old"] { try FileManager.default.removeItem(atPath: path) }
    }

    /// Random bytes and damaged lines are never a match and never a crash.
    @Test func hostileFiles() {
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: .min ... .max, using: &generator)
        var random = SplitMix64(seed: seed)
        let good = Array(line("node-1").utf8)
        for _ in 0..<300 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                bytes[Int.random(in: 0..<bytes.count - 20, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            var known = KnownHosts()
            known.add(String(decoding: bytes, as: UTF8.self), file: "f")
            _ = known.verdict(host: "node-1", port: 22, key: Self.ours)
        }
        for odd in ["@", "@revoked", "|", "|1|", "|1||", "|1|x|y ssh-ed25519 AAAA", "a b", "a b c", "\r", "@revoked a b"] {
            #expect(verdict([odd]) == .unknown, "seed \(seed)")
        }
    }
}
