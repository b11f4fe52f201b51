import ForecacheModel
import Foundation

/// A lab with one site behind a thin line, its Glance with one image, and what one sees of it from outside.
final class RelayLab {
    static let site = "dcn1"

    let state: String
    let bytes: Int64
    private(set) var values: [String: String] = [:]
    private(set) var image = ""
    private(set) var baseFile = ""
    private let program: String
    private let hosts: Int
    private let wan: Int
    /// Mbit/s of each host's own link.
    let lanRate: Int

    init(program: String, state: String, hosts: Int, wan: Int, lan: Int, bytes: Int64) {
        (self.program, self.state, self.hosts, self.bytes) = (program, state, hosts, bytes)
        (self.wan, lanRate) = (wan, lan)
    }

    var nodes: [String] { (values["NODES"] ?? "").split(separator: " ").map(String.init) }

    func whileUp<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            try await up()
            let value = try await body()
            await down()
            return value
        } catch {
            await down()
            throw error
        }
    }

    /// `lab VERB …` on this lab.
    func lab(_ words: String...) async throws { try await lab(words) }

    private func lab(_ words: [String]) async throws { try await call(words).succeed(log: "\(state).log") }

    private func call(_ words: [String]) -> Program { Program(program, words + ["--name", "bench-relay", "--state", state]) }

    private func up() async throws {
        guard getuid() == 0 else { throw Failure(.permanent, "the lab makes network namespaces: run it as root") }
        guard FileManager.default.isExecutableFile(atPath: program) else {
            throw Failure(.permanent, "no program \(program): run it in the repository's directory, or give --lab")
        }
        say("starting a lab with \(hosts) hosts")
        let disk = bytes * 2 + 256 << 20
        try await lab([
            "up", "--sites", "\(Self.site):\(hosts)", "--wan", "\(wan)mbit", "--lan", "\(lanRate)mbit", "--node-disk", "\(disk >> 20)M",
        ])
        for line in try String(contentsOfFile: "\(state)/lab.env", encoding: .utf8).split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { continue }
            values[String(line[..<equals])] = line[line.index(after: equals)...].trimmingCharacters(in: CharacterSet(charactersIn: "'"))
        }
        let create = """
            . "$1/overcloudrc" && head -c \(bytes) /dev/urandom > "$1/image" && \
            openstack image create --disk-format raw --container-format bare --public --file "$1/image" -f value -c id bench
            """
        let made = try await Program("/bin/bash", ["-c", create, "bash", state], environment: Self.plain).succeed(log: "\(state).image.log")
        image = made.text.trimmingCharacters(in: .whitespacesAndNewlines)
        let sum = try await Program("/bin/sh", ["-c", "printf %s \"$1\" | sha1sum", "sh", image]).succeed(log: "\(state).sum.log")
        baseFile = String(sum.text.prefix(40))
        try await useDisksOnce()
    }

    /// The nodes' disks are memory, which a virtual machine gets from its host at the first use: none of the ways is to pay for that.
    private func useDisksOnce() async throws {
        let use = "for disk do head -c \(bytes) /dev/zero >\"$disk/used\" || exit; done; for disk do rm \"$disk/used\"; done"
        try await Program("/bin/sh", ["-c", use, "sh"] + nodes.map(instances)).succeed(log: "\(state).disks.log")
    }

    private func down() async {
        do {
            // Of its own, because a measurement that was interrupted is a cancelled task.
            let (down, log) = (call(["down", "--purge"]), "\(state).log")
            _ = try await Task { try await down.succeed(log: log) }.value
        } catch {
            // The figures are not to be lost for it.
            say(
                "forecache-bench: the lab in \(state) was left behind: \(program) down --purge --name bench-relay --state \(state): \(error)"
            )
        }
    }

    static let plain = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"]

    // MARK: - Seen from outside

    func instances(_ node: String) -> String { values["INSTANCES_\(node.replacingOccurrences(of: "-", with: "_"))"] ?? "" }

    func isThere(_ node: String) -> Bool { FileManager.default.fileExists(atPath: "\(instances(node))/_base/\(baseFile)") }

    /// Bytes that this machine sent into the site.
    func wanBytes() throws -> Int64 {
        // fc<slot>br1 is the first site's bridge, and the lab has only one.
        let slot = try String(contentsOfFile: "\(state)/slot", encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        let text = try String(contentsOfFile: "/sys/class/net/fc\(slot)br1/statistics/tx_bytes", encoding: .utf8)
        return Int64(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }

    /// No host has anything of any image any more.
    func forget() throws {
        for node in nodes {
            for entry in try FileManager.default.contentsOfDirectory(atPath: instances(node)) {
                try FileManager.default.removeItem(atPath: "\(instances(node))/\(entry)")
            }
        }
    }

    var shell: NodeShell { NodeShell(values: values) }
}

/// Commands on the lab's nodes.
struct NodeShell: Sendable {
    fileprivate let values: [String: String]

    /// In the network that only the site's own hosts reach.
    func innerAddress(_ node: String) -> String { values["INTERNAL_API_\(node.replacingOccurrences(of: "-", with: "_"))"] ?? "" }

    /// `command` on the node as its administrator.
    func run(_ command: String, on node: String, log: String) async throws(Failure) {
        let address = values["ADDRESS_\(node.replacingOccurrences(of: "-", with: "_"))"] ?? ""
        try await Program(
            "/usr/bin/ssh",
            [
                "-F", "none", "-i", values["SSH_IDENTITY"] ?? "", "-o", "UserKnownHostsFile=\(values["SSH_KNOWN_HOSTS"] ?? "")", "-o",
                "BatchMode=yes", "\(values["SSH_USER"] ?? "")@\(address)", command,
            ]
        ).succeed(log: log)
    }
}
