import ArgumentParser
import ForecacheModel
import Foundation

/// One image to all hosts of a site behind a thin WAN link, by relay and by every other way, in a lab of the measurement's own.
struct RelayCommand: AsyncParsableCommand, Sendable {
    static let configuration = CommandConfiguration(
        commandName: "relay",
        abstract: "One image to 8 and 16 hosts over a WAN of 200 Mbit/s: relay beside direct, proxy, an scp star and a binomial tree.",
        discussion: """
            Starts a lab (deploy/lab/lab: RabbitMQ, Keystone, Glance and nodes in network namespaces with real sshds, limited by tc tbf), and ends it. \
            Needs root, the lab's packages, some GiB of memory for the nodes' disks, and the program `forecache` (FORECACHE_BINARY, or beside this one).
            """)

    @OptionGroup var common: CommonOptions

    @Option(parsing: .upToNextOption, help: "Hosts of the site, one run each (3 to 32).")
    var hosts = [8, 16]

    @Option(help: "Size of the image in MiB (8 to 4096).")
    var mebibytes = 512

    @Option(help: "Mbit/s from Glance into the site (1 to 10000).")
    var wan = 200

    @Option(help: "Mbit/s of each host's own link, either way (10 to 100000).")
    var lan = 1000

    @Option(help: "Ways beside relay: direct, proxy, star, binomial; `none` for none of them.")
    var beside = "direct,proxy,star,binomial"

    @Flag(help: "A smaller run, to try it out: 4 hosts, 64 MiB.")
    var quick = false

    @Option(help: "The lab's program.")
    var lab = "deploy/lab/lab"

    func validate() throws {
        try hold(
            [("mebibytes", mebibytes, 8...4096), ("wan", wan, 1...10_000), ("lan", lan, 10...100_000)] + hosts.map { ("hosts", $0, 3...32) }
        )
    }

    private var ways: [RelayBench.Way] {
        RelayBench.Way.allCases.filter { way in beside.split(separator: ",").contains { $0 == way.rawValue } }
    }

    func run() async throws {
        try await interruptible {
            let scratch = try Scratch(below: common.state)
            defer { scratch.remove() }
            var report = Report(bench: "relay")
            for count in quick ? [4] : hosts {
                let size = Int64(quick ? 64 : mebibytes) << 20
                let lab = RelayLab(program: lab, state: "\(scratch.path)/lab-\(count)", hosts: count, wan: wan, lan: lan, bytes: size)
                let bench = RelayBench(lab: lab, directory: scratch.path, wan: wan, bytes: size)
                report.readings += try await lab.whileUp { try await bench.measure(beside: ways) }
            }
            report.notes = [
                "\(quick ? 64 : mebibytes) MiB of random bytes; WAN \(wan) Mbit/s, each host's link \(lan) Mbit/s (tc tbf); a digest is verified on every host.",
                "A run's time is from the start of the command to the last host's base file; log-ins, surveys and digests are in it.",
                "Everything (Glance, sshds, digests of all hosts) shares \(ProcessInfo.processInfo.activeProcessorCount) cores here; as many hosts have "
                    + "as many machines' worth elsewhere.",
                "star and binomial are whole-file copies by scp -O, as cold migration's account allows them, after the seed has all bytes; nothing is verified.",
            ]
            try report.print(as: common.output)
        }
    }
}
