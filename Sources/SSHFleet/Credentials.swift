import ForecacheModel
import Foundation
import Logging

/// What logging in needs from the controller's disk, read once and again when a file changed.
@SSHLoop
final class Credentials {
    /// When and what a file was; nil for one that cannot be seen.
    private struct Stamp: Hashable {
        var modified: Date?
        var size: Int?
    }

    private struct Kept<Value> {
        var stamps: [Stamp]
        var value: Value
    }

    private let passphrase: Secret?
    private let agent: Agent?
    private let logger: Logger
    /// Keys that `accept-new` let in and no file could take, for the life of the process.
    private var accepted: [String: [UInt8]] = [:]
    /// Files that could not take a key, for one warning each.
    private var unwritable: Set<String> = []
    private var identityFiles: [String: Kept<IdentityFile>] = [:]
    private var knownHosts: [[String]: Kept<KnownHosts>] = [:]
    /// Unlocking a key takes tenths of a second: fifty log-ins that begin together must not do it fifty times.
    private let reading = Turnstile(1)

    nonisolated init(passphrase: Secret?, agent: Agent?, logger: Logger) {
        self.passphrase = passphrase
        self.agent = agent
        self.logger = logger
    }

    private func stamps(of paths: [String]) -> [Stamp] {
        paths.map { path in
            // Losing the error is right: reading the file tells it.
            let attributes = try? FileManager.default.attributesOfItem(atPath: path)
            return Stamp(modified: attributes?[.modificationDate] as? Date, size: attributes?[.size] as? Int)
        }
    }

    // MARK: Identities

    /// All keys to offer, in order; throws where there is none, with the reason for each file.
    func identities(for files: [String]) async throws(Failure) -> [Identity] {
        if files.isEmpty {
            guard let agent else {
                throw Failure(.permanent, "there is no SSH key: set ssh.identity, or SSH_AUTH_SOCK to an ssh-agent that holds one")
            }
            let held = try await agent.identities()
            guard !held.isEmpty else { throw Failure(.permanent, "the ssh-agent at \(agent.socket) holds no key; load one with ssh-add") }
            return held
        }
        var usable: [Identity] = []
        var reasons: [String] = []
        for file in files {
            switch try await identityFile(expanded(file)) {
            case .usable(let identity): usable.append(identity)
            case .unusable(let publicKey, let reason):
                if let publicKey, let agent, let held = await heldByAgent(publicKey, agent) {
                    usable.append(held)
                } else {
                    reasons.append(reason)
                }
            }
        }
        guard !usable.isEmpty else { throw Failure(.permanent, "no SSH key can be used: \(reasons.joined(separator: "; "))") }
        return usable
    }

    private func heldByAgent(_ publicKey: [UInt8], _ agent: Agent) async -> Identity? {
        // Losing the error is right: what is wrong with the file is the better message.
        try? await agent.identities().first { $0.publicKey == publicKey }
    }

    private func identityFile(_ path: String) async throws(Failure) -> IdentityFile {
        guard await reading.enter(until: .now + .seconds(120)) == .ready else {
            throw Failure(Task.isCancelled ? .cancelled : .retriable, "no time was left to read \(path)")
        }
        defer { reading.leave() }
        let stamps = stamps(of: [path])
        if let kept = identityFiles[path], kept.stamps == stamps { return kept.value }
        let value = await Self.read(path, passphrase)
        identityFiles[path] = Kept(stamps: stamps, value: value)
        return value
    }

    /// Not on the loop: unlocking takes a while.
    @concurrent private nonisolated static func read(_ path: String, _ passphrase: Secret?) async -> IdentityFile {
        IdentityFile.read(path, passphrase: passphrase)
    }

    // MARK: Host keys

    /// What libssh2 1.10 can check, best first. `ssh-rsa` is SHA-1 and comes last: some old server may have nothing else.
    private static let everyKeyType = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"]

    func knownHosts(_ files: [String]) -> KnownHosts {
        let paths = files.map(expanded)
        let stamps = stamps(of: paths)
        if let kept = knownHosts[paths], kept.stamps == stamps { return kept.value }
        var value = KnownHosts()
        for path in paths { value.addFile(path) }
        knownHosts[paths] = Kept(stamps: stamps, value: value)
        return value
    }

    /// Types of host keys to ask the server for: those it is known by, so that a known host cannot look like an unknown one.
    func keyTypes(for target: LoginTarget, _ known: KnownHosts) -> [String] {
        if target.hostKeyChecking == .off { return Self.everyKeyType }
        if let key = accepted["\(target.address) \(target.port)"], let type = Wire.keyType(of: key) { return [type] }
        let types = known.keyTypes(host: target.address, port: target.port)
        return types.isEmpty ? Self.everyKeyType : types
    }

    /// Throws where the key is not the host's. The files are looked at anew: another log-in may have written the host's key down meanwhile.
    func check(_ target: LoginTarget, key: [UInt8], files: [String]) throws(Failure) {
        if target.hostKeyChecking == .off { return }
        let known = knownHosts(files)
        let shown = "\(Wire.keyType(of: key) ?? "unknown") \(KnownHosts.fingerprint(key))"
        let remedy = "ssh-keygen -R '\(target.port == 22 ? target.address : "[\(target.address)]:\(target.port)")'; \(scan(target, files))"
        switch known.verdict(host: target.address, port: target.port, key: key) {
        case .matched: return
        case .revoked(let place):
            throw Failure(
                .permanent,
                "the host key of \(target.text), \(shown), is revoked (\(place)): somebody may be impersonating the host; give it a new key, then \(scan(target, files))"
            )
        case .changed(let places):
            throw Failure(
                .permanent,
                "the host key of \(target.text) has CHANGED: it shows \(shown), but other keys are known (\(places.joined(separator: ", "))). Somebody may be listening in. If the host was reinstalled: \(remedy)"
            )
        case .unknown: try checkUnknown(target, key, shown, known, files)
        }
    }

    private func checkUnknown(_ target: LoginTarget, _ key: [UInt8], _ shown: String, _ known: KnownHosts, _ files: [String])
        throws(Failure)
    {
        let place = "\(target.address) \(target.port)"
        guard target.hostKeyChecking == .acceptNew else {
            let searched = files.isEmpty ? "no known_hosts file is set" : "searched \(files.joined(separator: ", "))"
            let notes = known.notes.prefix(3).map { "; \($0)" }.joined()
            throw Failure(
                .permanent,
                "the host key of \(target.text), \(shown), is not known (\(searched)\(notes)); if it is right: \(scan(target, files))")
        }
        if let first = accepted[place], first != key {
            throw Failure(
                .permanent,
                "the host key of \(target.text) has CHANGED since this process first saw it: it shows \(shown), first it was \(KnownHosts.fingerprint(first)). Somebody may be listening in"
            )
        }
        remember(key, of: target, files)
    }

    /// In the first file, as OpenSSH does, and never in the machine's own; in memory where that cannot be written.
    private func remember(_ key: [UInt8], of target: LoginTarget, _ files: [String]) {
        let file = files.map(expanded).first { !$0.hasPrefix("/etc/ssh/") } ?? ""
        guard let reason = KnownHosts.append(key, host: target.address, port: target.port, to: file) else { return }
        accepted["\(target.address) \(target.port)"] = key
        guard unwritable.insert(file).inserted else { return }
        logger.warning(
            "accepted host keys count for this process alone: the first file of known_hosts cannot be written",
            metadata: ["file": "\(file)", "reason": "\(reason)"])
    }

    private func scan(_ target: LoginTarget, _ files: [String]) -> String {
        "ssh-keyscan -p \(target.port) \(target.address) >> \(files.first ?? "~/.ssh/known_hosts"), and compare the fingerprint with the host's own"
    }
}
