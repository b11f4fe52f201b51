import ForecacheModel
import ForecacheTestSupport
import Foundation
import Logging
import Testing

@testable import SSHFleet

/// Host keys and our own keys, against a real sshd.
@Suite struct KeyTests {
    @Test(arguments: [
        ["-t", "ed25519"], ["-t", "ecdsa", "-b", "256"], ["-t", "ecdsa", "-b", "384"], ["-t", "ecdsa", "-b", "521"],
        ["-t", "rsa", "-b", "2048"],
        ["-t", "rsa", "-b", "3072", "-m", "PEM"], ["-t", "ecdsa", "-b", "384", "-m", "PEM"], ["-t", "ecdsa", "-m", "PKCS8"],
        ["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
    ]) func identityFiles(arguments: [String]) async throws {
        try await SSHServer.run { server in
            let key = server.path("key")
            try tool("ssh-keygen", ["-q", "-N", "", "-f", key] + arguments)
            try FileManager.default.copyReplacing(key + ".pub", server.path("authorized_keys"))
            _ = try await makePool().output(of: "true", on: server.host(identities: [key]))
        }
    }

    @Test(arguments: ["ed25519", "rsa"], ["aes256-ctr", "aes256-cbc", "aes128-ctr"]) func encryptedKeys(type: String, cipher: String)
        async throws
    {
        try await SSHServer.run { server in
            let key = try server.makeKey("locked", "-t", type, "-a", "2", "-Z", cipher, passphrase: "open sesame")
            _ = try await makePool(passphrase: "open sesame").output(of: "true", on: server.host(identities: [key]))
            let wrong = try await failure { () throws(Failure) in
                _ = try await makePool(passphrase: "wrong").output(of: "true", on: server.host(identities: [key]))
            }
            #expect(wrong.kind == .permanent)
            #expect(wrong.description.contains("the passphrase is wrong"))
            let none = try await failure { () throws(Failure) in
                _ = try await makePool().output(of: "true", on: server.host(identities: [key]))
            }
            #expect(none.description.contains("FORECACHE_SSH_PASSPHRASE"))
            #expect(!none.description.contains("open sesame") && !wrong.description.contains("open sesame"))
        }
    }

    @Test func keysOfAnAgent() async throws {
        try await SSHServer.run { server in
            let socket = server.path("agent")
            let agent = try spawn("/usr/bin/ssh-agent", ["-D", "-a", socket])
            defer {
                kill(agent, SIGTERM)
                _ = exitCode(of: agent)
            }
            try await eventually("the agent listens") { FileManager.default.fileExists(atPath: socket) }
            for type in ["rsa", "ecdsa", "ed25519"] {
                try tool("ssh-add", ["-q", "-D"], environment: ["SSH_AUTH_SOCK": socket])
                let key = try server.makeKey("agent_\(type)", "-t", type)
                try tool("ssh-add", ["-q", key], environment: ["SSH_AUTH_SOCK": socket])
                _ = try await makePool(agent: socket).output(of: "true", on: server.host(identities: []))
            }
            // A locked file whose key the agent holds needs no passphrase.
            let locked = try server.makeKey("locked", "-t", "ed25519", "-a", "2")
            try tool("ssh-add", ["-q", locked], environment: ["SSH_AUTH_SOCK": socket])
            try tool("ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", locked)
            _ = try await makePool(agent: socket).output(of: "true", on: server.host(identities: [locked]))
        }
    }

    @Test func noKeyAtAll() async throws {
        try await SSHServer.run { server in
            let nothing = try await failure { () throws(Failure) in
                _ = try await makePool().output(of: "true", on: server.host(identities: []))
            }
            #expect(nothing.description.contains("set ssh.identity"))
            let missing = try await failure { () throws(Failure) in
                _ = try await makePool().output(of: "true", on: server.host(identities: [server.path("nowhere")]))
            }
            #expect(missing.description.contains("nowhere cannot be read (No such file or directory); correct ssh.identity"))
            let gone = try await failure { () throws(Failure) in
                _ = try await makePool(agent: server.path("no-agent")).output(of: "true", on: server.host(identities: []))
            }
            #expect(gone.description.contains("check SSH_AUTH_SOCK"))
        }
    }

    @Test func aKeyThatTheServerRefuses() async throws {
        try await SSHServer.run { server in
            let key = try server.makeKey("stranger", "-t", "ed25519", authorised: false)
            let refused = try await failure { () throws(Failure) in
                _ = try await makePool().output(of: "true", on: server.host(identities: [key]))
            }
            #expect(refused.kind == .permanent)
            #expect(refused.context.contains("refused our keys: \(key) (ssh-ed25519, SHA256:"))
            #expect(refused.context.contains("authorized_keys"))
            // The next key counts.
            _ = try await makePool().output(of: "true", on: server.host(identities: [key, server.path("id")]))
        }
    }

    @Test func hostKeysByKindOfLine() async throws {
        try await SSHServer.run { server in
            let place = "[127.0.0.1]:\(server.port)"
            let (ed25519, ecdsa) = (try server.hostKey("ed25519"), try server.hostKey("ecdsa"))
            let good = [
                [place + " " + ed25519], [place + " " + ecdsa], ["# comment", "", "other,\(place) \(ecdsa)"], ["[127.0.0.*]:* \(ed25519)"],
                ["127.0.0.1 \(ed25519)"],
            ]
            for lines in good {
                try server.writeKnownHosts(lines)
                _ = try await makePool().output(of: "true", on: server.host())
            }
            try tool("ssh-keygen", "-H", "-f", server.path("known_hosts"))
            #expect(try server.text("known_hosts").hasPrefix("|1|"))
            _ = try await makePool().output(of: "true", on: server.host())
        }
    }

    @Test func hostKeysThatAreRefused() async throws {
        try await SSHServer.run { server in
            let place = "[127.0.0.1]:\(server.port)"
            let (ours, theirs) = (
                try server.hostKey("ed25519"), try server.text("id.pub").split(separator: " ").prefix(2).joined(separator: " ")
            )
            let bad: [(lines: [String], words: [String])] = [
                (["# nobody"], ["is not known", "ssh-keyscan -p \(server.port) 127.0.0.1 >> \(server.path("known_hosts"))", "SHA256:"]),
                (["\(place) \(theirs)"], ["has CHANGED", "known_hosts:1", "ssh-keygen -R"]),
                (["\(place) \(ours)", "@revoked * \(ours)"], ["is revoked", "known_hosts:2"]),
                (["@cert-authority \(place) \(ours)"], ["is not known", "@cert-authority is ignored"]),
            ]
            for (lines, words) in bad {
                try server.writeKnownHosts(lines)
                let refused = try await failure { () throws(Failure) in _ = try await makePool().output(of: "true", on: server.host()) }
                #expect(refused.kind == .permanent)
                for word in words { #expect(refused.description.contains(word), "\(refused)") }
            }
            // accept-new lets in what is unknown, and never what changed or was revoked.
            for (index, (lines, _)) in bad.enumerated() {
                try server.writeKnownHosts(lines)
                let pool = makePool()
                if index == 0 || index == 3 {
                    _ = try await pool.output(of: "true", on: server.host(checking: .acceptNew))
                } else {
                    let refused = try await failure { () throws(Failure) in
                        _ = try await pool.output(of: "true", on: server.host(checking: .acceptNew))
                    }
                    #expect(refused.kind == .permanent)
                }
                _ = try await makePool().output(of: "true", on: server.host(checking: .off))
            }
        }
    }

    @Test func anAcceptedKeyMayNotChange() async throws {
        let target = LoginTarget(name: "n", address: "h", port: 22, user: "u", timeoutSeconds: 1, hostKeyChecking: .acceptNew)
        let credentials = Credentials(passphrase: nil, agent: nil, logger: Logger(label: "test"))
        let (first, second) = (Wire.string("ssh-ed25519") + [1], Wire.string("ssh-ed25519") + [2])
        try await credentials.check(target, key: first, files: [])
        try await credentials.check(target, key: first, files: [])
        let changed = try await failure { () throws(Failure) in try await credentials.check(target, key: second, files: []) }
        #expect(changed.context.contains("has CHANGED since this process first saw it"))
    }

    @Test func acceptedKeysAreWrittenDown() async throws {
        try await SSHServer.run { server in
            try Data("# nobody".utf8).write(to: URL(fileURLWithPath: server.path("known_hosts")))
            let written = "# nobody\n[127.0.0.1]:\(server.port) \(try server.hostKey("ed25519"))\n"
            let pool = makePool()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<6 { group.addTask { _ = try await pool.output(of: "true", on: server.host(checking: .acceptNew)) } }
                try await group.waitForAll()
            }
            #expect(try server.text("known_hosts") == written)
            // The next process knows it.
            _ = try await makePool().output(of: "true", on: server.host(checking: .strict))
            _ = try await makePool().output(of: "true", on: server.host(checking: .acceptNew))
            #expect(try server.text("known_hosts") == written)
        }
    }

    /// The machine's own file is not one to write to.
    @Test(arguments: [
        ("/tmp/forecache-nowhere/known_hosts", "/tmp/forecache-nowhere/known_hosts: No such file or directory"),
        ("/dev/null", "/dev/null: it is no regular file"), ("/etc/ssh/ssh_known_hosts", ": No such file or directory"),
    ])
    func acceptedKeysThatNoFileCanTakeAreKeptInMemoryAndSaidOnce(file: String, warning: String) async throws {
        let log = WarningLog { "\($0.metadata?["file"] ?? ""): \($0.metadata?["reason"] ?? "")" }
        let credentials = Credentials(passphrase: nil, agent: nil, logger: log.logger)
        let (first, second) = (Wire.string("ssh-ed25519") + [1], Wire.string("ssh-ed25519") + [2])
        for address in ["h", "i"] {
            let target = LoginTarget(name: "n", address: address, port: 22, user: "u", timeoutSeconds: 1, hostKeyChecking: .acceptNew)
            try await credentials.check(target, key: first, files: [file])
            let changed = try await failure { () throws(Failure) in try await credentials.check(target, key: second, files: [file]) }
            #expect(changed.context.contains("has CHANGED since this process first saw it"))
        }
        #expect(log.warnings == [warning])
    }

    @Test func aHostKnownByAnUnsupportedKeyAlone() async throws {
        try await SSHServer.run { server in
            let odd = Data(Wire.string("sk-ssh-ed25519@openssh.com") + Wire.string("x")).base64EncodedString()
            try server.writeKnownHosts(["[127.0.0.1]:\(server.port) sk-ssh-ed25519@openssh.com \(odd)"])
            let refused = try await failure { () throws(Failure) in _ = try await makePool().output(of: "true", on: server.host()) }
            #expect(refused.kind == .permanent)
            #expect(refused.context.contains("libssh2 cannot check"))
        }
    }
}

extension FileManager {
    fileprivate func copyReplacing(_ source: String, _ target: String) throws {
        try Data(contentsOf: URL(fileURLWithPath: source)).write(to: URL(fileURLWithPath: target))
    }
}
