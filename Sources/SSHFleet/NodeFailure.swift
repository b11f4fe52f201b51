import ForecacheModel

/// Turns what a node program or its shell said into a `Failure` with a remedy.
struct NodeFailure {
    var verb: NodeVerb
    var host: Host
    var image: ImageID?
    var cacheDirectory: String

    private var what: String { image.map { "\(verb.rawValue) of image \($0) on \(host.name)" } ?? "\(verb.rawValue) on \(host.name)" }

    /// For the program's own `error` line; its kinds are listed at the head of `Node/common.sh`.
    func failure(for error: NodeError) -> Failure {
        let (kind, remedy) = meaning(of: error)
        // The ends of a tool's lines are blanks by now.
        let detail = error.detail.split(separator: " ").joined(separator: " ")
        return Failure(
            kind, "\(what) (\(host.address)) failed: \(error.kind): \(detail)\(remedy.isEmpty ? "" : "; \(remedy)")",
            about: subject(of: error))
    }

    private func subject(of error: NodeError) -> Failure.Subject? {
        switch error.kind {
        case "digest_mismatch": .bytes
        case "forbidden" where error.status == 401: .token
        default: nil
        }
    }

    private func meaning(of error: NodeError) -> (Failure.Kind, String) {
        switch error.kind {
        case "bad_parameter": (.permanent, "correct this setting")
        case "no_tool": (.permanent, "install what is missing on \(host.name), or correct node.container and peer settings")
        case "container": (.retriable, "is Nova running on \(host.name)? If so, correct node.container")
        case "busy": (.retriable, "another forecache is at work on the same file there")
        case "no_space": (.retriable, "free space below \(cacheDirectory) on \(host.name), or lower keep_free")
        case "not_found": (.permanent, "Glance has no bytes for this image any longer, or hides it from our project")
        case "forbidden" where error.status == 401: (.retriable, "Glance refused the token; the next try gets a new one")
        case "forbidden": (.permanent, "our project may not download this image: check its visibility and members, and Glance's policy")
        case "http": http(error.status ?? 0)
        case "network": (.retriable, "check the way from \(host.name) to the address, its firewall and proxy settings")
        case "untrusted":
            (.permanent, "name the CA that signed Glance's certificate as node.cacert, a file on the hosts, or put it into their own store")
        case "too_long": (.permanent, "the bytes are not those of the image's record; was its data replaced?")
        case "truncated": (.retriable, "the next try goes on where this one ended")
        case "digest_mismatch":
            (
                .permanent,
                "found \(error.digest ?? "another digest"); the temporary was dropped. The store or the way to it damages bytes: compare with the image's os_hash_value"
            )
        case "peer":
            (
                .retriable,
                "check that \(host.name) may log in to the peer (peer.user, peer.identity, peer.port) and that the file is there, and is this image's"
            )
        case "io": (.retriable, "check \(cacheDirectory) and its disk on \(host.name)")
        case "interrupted": (.retriable, "")
        case "convert":
            (.permanent, "qemu-img cannot make a raw file of this image, so Nova could not either; look at it with qemu-img check")
        case "killed": (.retriable, "see in that host's log who ended it, the kernel if memory was short; the bytes are kept")
        default: (.retriable, "an answer that this version does not know")
        }
    }

    private func http(_ status: Int) -> (Failure.Kind, String) {
        switch status {
        case 0, 408, 429, 500...: (.retriable, "Glance or the proxy before it is in trouble: see its log")
        default: (.permanent, "check the Glance endpoint of this site (sites.….glance)")
        }
    }

    /// For a line that is none of ours.
    func garbage(_ line: [UInt8]) -> Failure {
        let excerpt = printable(String(decoding: line.prefix(400), as: UTF8.self), limit: 120)
        return Failure(
            .permanent,
            "\(what) (\(host.address)): the host answered “\(excerpt)”, which is not our node program; does a start-up file of \(host.ssh.user)'s shell print text?"
        )
    }

    /// For a command that ended without a last line of its own.
    func ended(_ end: CommandEnd) -> Failure {
        let said = end.errorText.isEmpty ? "" : ", saying “\(printable(end.errorText, limit: 300))”"
        let how = end.signal.map { "was ended by signal \($0)" } ?? end.exitCode.map { "ended with exit code \($0)" } ?? "ended"
        let context = "\(what) (\(host.address)): the node program \(how) before it was done\(said)"
        if host.ssh.become == .sudo, isAboutSudo(end.errorText) {
            return Failure(
                .permanent,
                "\(context); \(host.ssh.user) needs sudo without a password there: put “\(host.ssh.user) ALL=(root) NOPASSWD: ALL” into /etc/sudoers.d/forecache"
            )
        }
        switch end.exitCode {
        case 126, 127:
            return Failure(
                .permanent, "\(context); \(host.ssh.become == .sudo ? "install sudo there, or set ssh.become: none" : "it needs /bin/sh")")
        default: return Failure(.retriable, context)
        }
    }

    /// sudo has no exit code of its own, so its words are all there is.
    private func isAboutSudo(_ text: String) -> Bool {
        text.contains("sudo")
            && ["password is required", "not in the sudoers", "not allowed to", "may not run", "must have a tty"].contains {
                text.contains($0)
            }
    }
}
