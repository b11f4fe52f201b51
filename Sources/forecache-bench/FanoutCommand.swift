import ArgumentParser
import ForecacheModel
import Foundation

/// Touching many base files on many hosts, beside Ansible's plainest module with the same forks.
///
/// The hosts are addresses 127.0.1.1 and on of a network namespace of the measurement's own, all served by one real sshd.
struct FanoutCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fanout",
        abstract: "Touching 100 base files on 200 hosts over SSH, beside `ansible -m raw` with the same forks.",
        discussion: """
            Needs root (a network namespace, which ends with it), sshd and ansible-core. Nothing of this machine's own network, accounts or SSH settings \
            is used or changed.
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "Hosts (4 to 250).")
    var hosts = 200

    @Option(help: "Base files touched on each host (1 to 500).")
    var images = 100

    @Option(help: "Hosts at once, for both sides (1 to 250).")
    var forks = 50

    @Option(help: "Rounds of both sides (1 to 10).")
    var rounds = 3

    @Flag(help: "A smaller run, to try it out: 40 hosts, 10 forks, one round.")
    var quick = false

    /// Where the measurement is already in its namespace.
    @Option(help: .hidden)
    var inside: String?

    func validate() throws {
        try hold([("hosts", hosts, 4...250), ("images", images, 1...500), ("forks", forks, 1...250), ("rounds", rounds, 1...10)])
    }

    func run() async throws {
        try await reporting {
            if let inside { return try await measure(in: inside) }
            try await OwnNamespace.runAgain(below: common.state)
        }
    }

    private func measure(in directory: String) async throws {
        let (hosts, forks, rounds) = quick ? (40, 10, 1) : (self.hosts, self.forks, self.rounds)
        let bench = try await FanoutBench(directory: directory, images: images, forks: forks)
        let result = try await bench.whileListening { try await bench.measure(hosts: hosts, rounds: rounds) }
        try report(result, hosts: hosts, rounds: rounds, forks: forks).print(as: common.output)
    }

    private func report(_ result: FanoutBench.Result, hosts: Int, rounds: Int, forks: Int) -> Report {
        var report = Report(bench: "fanout", peer: "ansible -m raw")
        let ratio = median(zip(result.ours, result.theirs).map { $1 / $0 })
        let growth = result.walls.map { median($0.seconds) / Double($0.hosts) }
        report.readings = [
            Reading("all hosts touched", median(result.ours), "s").beside(median(result.theirs), ratio: ratio, atLeast: 10),
            Reading("connections a host", result.connectionsPerHost, "").held(result.connectionsPerHost == 1, "1"),
            Reading("resident, at most", result.peakMiB, "MiB").below(120, "below 120 MiB"),
            Reading("CPU of the controller", result.processorSeconds, "s").beside(
                result.peerProcessorSeconds, ratio: result.peerProcessorSeconds / max(result.processorSeconds, 0.01)),
        ]
        for wall in result.walls {
            report.readings.append(Reading("\(wall.hosts) hosts, \(forks) forks", median(wall.seconds), "s"))
        }
        report.readings.append(
            Reading("seconds a host, slowest to fastest of these", (growth.max() ?? 0) / max(growth.min() ?? 1, 1e-9), "x")
                .below(1.5, "below 1.5x: linear"))
        report.notes = [
            "\(hosts) addresses of one sshd in a network namespace of its own, \(images) base files a host (the same ones: they share a disk), "
                + "\(forks) forks on both sides; medians of \(rounds) rounds; every round logs in anew.",
            "Both touch every file on every host; forecache also gets each file's size and time back and checks that none is missing.",
            "sshd works on the same \(ProcessInfo.processInfo.activeProcessorCount) cores: most of forecache's time is sshd's.",
        ]
        return report
    }
}
