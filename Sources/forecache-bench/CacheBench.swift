import Engine
import ForecacheModel
import Foundation
import Planning

/// `forecache cache` of one small image to many hosts: addresses of one sshd, each with a disk of its own, because a log-in there is confined to a folder.
struct CacheBench {
    struct Run {
        var seconds: Double
        var peakMiB: Double
        var threads: Int
    }

    /// In memory, and gone with the namespace; sshd takes no folder that others might write to on the way.
    private static let hosts = "/run/hosts"
    private static let cacheDirectory = "/var/lib/nova/instances/_base"

    private let directory: String
    private let daemon: OwnSSHD
    private let count: Int
    private let image: ImageID
    private let binary: String

    /// - Parameter hosts: the most that a run will have.
    init(directory: String, hosts count: Int, imageBytes: Int) async throws {
        (self.directory, self.count) = (directory, count)
        binary = try Program.forecache()
        guard let id = ImageID(UUID().uuidString) else { throw Failure(.fatal, "a UUID is no image id") }
        image = id
        let confined = (1...count).map { "Match LocalAddress \(Self.address($0))\n    ChrootDirectory \(Self.hosts)/\($0)\n" }.joined()
        daemon = try await OwnSSHD(
            directory: directory, listenAddress: "0.0.0.0", addresses: (1...count).map(Self.address), settings: confined)
        let bytes = (0..<imageBytes).map { _ in UInt8.random(in: 0...255) }
        try Data(bytes).write(to: URL(filePath: "\(directory)/image"))
    }

    func whileUp<Value>(_ body: () async throws -> Value) async throws -> Value {
        let disks = """
            chmod 0755 /run
            for host in $(seq 1 "$1"); do
                mkdir -p "$2/$host/usr" "$2/$host/proc" "$2/$host/dev" "$2/$host/etc" "$2/$host/root" "$2/$host/tmp" "$2/$host$3"
                for name in bin sbin lib lib64; do ln -s "usr/$name" "$2/$host/$name"; done
                for name in usr etc proc dev; do mount --rbind "/$name" "$2/$host/$name"; done
            done
            """
        try await Program("/bin/sh", ["-ec", disks, "sh", "\(count)", Self.hosts, Self.cacheDirectory]).succeed(
            log: "\(directory)/disks.log")
        return try await daemon.whileListening {
            let program = "\(directory)/one_image_cloud.py"
            try Data(PackageResources.one_image_cloud_py).write(to: URL(filePath: program))
            let cloud = try Program("/usr/bin/python3", [program, directory, "\(image)"]).start(log: "\(directory)/cloud.log")
            defer { cloud.end() }
            for _ in 0..<200 where port == nil && cloud.isRunning { try await Task.sleep(for: .milliseconds(50)) }
            guard port != nil else {
                throw Failure(.permanent, "the stand-in for Keystone and Glance did not start: see \(directory)/cloud.log")
            }
            return try await body()
        }
    }

    /// Resident memory and threads are looked at ten times a second; the most that was ever resident is the kernel's own figure.
    func run(hosts: Int, forks: Int) async throws -> Run {
        try writeConfiguration(hosts: hosts, forks: forks)
        try forget()
        let log = "\(directory)/cache.log"
        let started = ContinuousClock.now
        let running = try Program(
            binary, ["cache", "\(image)", "--via", "direct", "--forks", "\(forks)", "--config", "\(directory)/forecache.yaml"],
            environment: [
                "PATH": "/usr/bin:/bin", "HOME": "\(directory)/home", "OS_AUTH_URL": "http://127.0.0.1:\(port ?? "")/v3",
                "OS_USERNAME": "bench",
                "OS_PASSWORD": "bench", "OS_PROJECT_NAME": "bench", "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default",
            ]
        ).start(log: log)
        var run = Run(seconds: 0, peakMiB: 0, threads: 0)
        while running.isRunning {
            // Nil once it has ended.
            if let now = try? ProcessMemory(of: running.process) {
                (run.peakMiB, run.threads) = (max(run.peakMiB, now.peakMiB), max(run.threads, now.threads))
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        run.seconds = started.duration(to: .now).seconds
        let there = (1...hosts).count { FileManager.default.fileExists(atPath: baseFile(on: $0)) }
        guard await running.status() == 0, there == hosts else {
            let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""  // without it there is nothing to show
            throw Failure(.permanent, "forecache cache brought the image to \(there) of \(hosts) hosts", cause: String(text.suffix(3000)))
        }
        say("  \(hosts) hosts, \(forks) forks: \(number(run.seconds)) s, \(number(run.peakMiB)) MiB, \(run.threads) threads")
        return run
    }

    // MARK: - What is there

    private static func address(_ index: Int) -> String { "127.0.\(1 + (index - 1) / 250).\(1 + (index - 1) % 250)" }

    private func baseFile(on host: Int) -> String { "\(Self.hosts)/\(host)\(Self.cacheDirectory)/\(BaseFileName(of: image))" }

    private var port: String? { try? String(contentsOfFile: "\(directory)/port", encoding: .utf8) }  // nil until it is written

    private func forget() throws {
        for host in 1...count where FileManager.default.fileExists(atPath: baseFile(on: host)) {
            try FileManager.default.removeItem(atPath: baseFile(on: host))
        }
    }

    private func writeConfiguration(hosts: Int, forks: Int) throws {
        let lines = (1...hosts).map { "    dcn1-compute-\($0): {ansible_host: \(Self.address($0)), ansible_port: \(OwnSSHD.port)}" }
        let inventory = """
            dcn1:
              hosts:
            \(lines.joined(separator: "\n"))
              vars: {plan: dcn1, tripleo_role_name: Compute}
            nova_compute:
              children: {dcn1: {}}

            """
        try inventory.write(toFile: "\(directory)/inventory.yaml", atomically: true, encoding: .utf8)
        let text = """
            inventory: [inventory.yaml]
            ssh: { user: root, identity: ["\(directory)/user"], known_hosts: "\(directory)/known_hosts", become: none }
            node: { cache_dir: \(Self.cacheDirectory), container: none, format: original }
            limits: { forks: \(forks) }
            state: "\(directory)/by-hand.sqlite"

            """
        try text.write(toFile: "\(directory)/forecache.yaml", atomically: true, encoding: .utf8)
    }
}
