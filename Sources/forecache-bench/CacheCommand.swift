import ArgumentParser
import ForecacheModel
import Foundation

/// Memory and threads of `forecache cache` on hundreds of hosts: they follow the forks, not the hosts.
struct CacheCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "Memory and threads of `forecache cache` of one small image to 200 and to 400 hosts, and with more forks.",
        discussion: """
            Needs root (network and mount namespaces, which end with it), sshd, python3, curl, and the program `forecache` (FORECACHE_BINARY, or beside \
            this one). Keystone and Glance are a stand-in of the measurement's own; nothing of them is measured.
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "Hosts; a second run has twice as many (2 to 250).")
    var hosts = 200

    @Option(help: "Hosts at once; a third run has four times as many (1 to 60).")
    var forks = 20

    @Option(help: "Size of the image in KiB (1 to 1024).")
    var kibibytes = 256

    /// Where the measurement is already in its namespace.
    @Option(help: .hidden)
    var inside: String?

    /// What a log-in that stays open takes; a host that is done with is to leave less behind.
    private static let sessionKiB = 73.0

    func validate() throws {
        try hold([("hosts", hosts, 2...250), ("forks", forks, 1...60), ("kibibytes", kibibytes, 1...1024)])
    }

    func run() async throws {
        try await reporting {
            guard let inside else { return try await OwnNamespace.runAgain(below: common.state) }
            let bench = try await CacheBench(directory: inside, hosts: 2 * hosts, imageBytes: kibibytes << 10)
            try await bench.whileUp {
                let some = try await bench.run(hosts: hosts, forks: forks)
                let twice = try await bench.run(hosts: 2 * hosts, forks: forks)
                let wider = try await bench.run(hosts: hosts, forks: 4 * forks)
                try report(some, twice, wider).print(as: common.output)
            }
        }
    }

    private func report(_ some: CacheBench.Run, _ twice: CacheBench.Run, _ wider: CacheBench.Run) -> Report {
        var report = Report(bench: "cache")
        for (name, run) in [
            ("\(hosts) hosts, \(forks) forks", some), ("\(2 * hosts) hosts, \(forks) forks", twice),
            ("\(hosts) hosts, \(4 * forks) forks", wider),
        ] {
            report.readings += [
                Reading("\(name): resident, at most", run.peakMiB, "MiB").below(120, "below 120 MiB"),
                Reading("\(name): threads, at most", Double(run.threads), ""),
                Reading("\(name): time", run.seconds, "s"),
            ]
        }
        report.readings += [
            Reading("threads that twice the hosts add", Double(twice.threads - some.threads), "").below(3, "at most 2"),
            Reading("memory that a further host adds", (twice.peakMiB - some.peakMiB) * 1024 / Double(hosts), "KiB")
                .below(Self.sessionKiB, "below an open log-in's \(number(Self.sessionKiB)) KiB"),
            Reading("memory that a further fork adds", (wider.peakMiB - some.peakMiB) * 1024 / Double(3 * forks), "KiB"),
        ]
        report.notes = [
            "\(kibibytes) KiB of random bytes to each host's own cache directory, fetched there with curl and verified; via direct, format original; "
                + "forks are limits.forks as well.",
            "Hosts are addresses of one sshd in a network namespace; a log-in is confined to a folder of that address. Keystone and Glance: a stand-in.",
            "VmHWM and Threads of /proc, ten times a second; each run is a process of its own. sshd, curl and digests of all hosts share "
                + "\(ProcessInfo.processInfo.activeProcessorCount) cores with it.",
        ]
        return report
    }
}
