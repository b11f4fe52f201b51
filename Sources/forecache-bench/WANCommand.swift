import ArgumentParser
import ForecacheModel
import Foundation

/// Downloads over a long, fat link: one stream, four, and as many as the node finds worth it.
struct WANCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wan",
        abstract: "One image over a link with 100 ms of delay and a window a stream, in one stream and in several.",
        discussion: """
            Needs root (a network namespace, which ends with it), sshd, curl and python3. The link is a relay of the measurement's own: it delays, and \
            has no more than a window of each connection on the way.
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "Size of the image in MiB (32 to 4096).")
    var size = 256

    @Option(help: "Milliseconds of a round trip (10 to 1000).")
    var delay = 100

    @Option(help: "KiB of a connection on the way at once (64 to 16384).")
    var window = 512

    @Option(help: "Rounds (1 to 10).")
    var rounds = 1

    /// Where the measurement is already in its namespace.
    @Option(help: .hidden)
    var inside: String?

    func validate() throws {
        try hold([("size", size, 32...4096), ("delay", delay, 10...1000), ("window", window, 64...16384), ("rounds", rounds, 1...10)])
    }

    func run() async throws {
        try await reporting {
            if let inside { return try await measure(in: inside) }
            try await OwnNamespace.runAgain(below: common.state)
        }
    }

    private func measure(in directory: String) async throws {
        let bench = try await WANBench(directory: directory, imageBytes: size << 20)
        let ways: [(name: String, streams: Int?)] = [("one stream", 1), ("four streams", 4), ("as many as are worth it", nil)]
        var downloads = ways.map { _ in [WANBench.Download]() }
        try await bench.whileUp(delaySeconds: Double(delay) / 1000, windowBytes: window << 10) {
            for round in 1...rounds {
                for (index, way) in ways.enumerated() {
                    let download = try await bench.download(streams: way.streams)
                    downloads[index].append(download)
                    let share = number(download.share)
                    say("round \(round) of \(rounds): \(way.name) took \(number(download.seconds)) s, \(share) of the image")
                }
            }
        }
        try report(zip(ways.map(\.name), downloads).map { ($0, $1) }).print(as: common.output)
    }

    private func report(_ ways: [(name: String, downloads: [WANBench.Download])]) -> Report {
        var report = Report(bench: "wan", peer: "one stream")
        let one = median(ways.first?.downloads.map(\.seconds) ?? [])
        for (name, downloads) in ways {
            let seconds = median(downloads.map(\.seconds))
            let reading = Reading(name, seconds, "s")
            report.readings.append(
                name == "one stream"
                    ? reading : reading.beside(one, ratio: one / max(seconds, 0.01), atLeast: name == "four streams" ? 3 : nil))
        }
        let share = ways.flatMap(\.downloads).map(\.share).max() ?? 0
        report.readings.append(Reading("bytes over the link for each of the image, at most", share, "").atMost(1.02))
        report.notes = [
            "\(size) MiB from an HTTP server through a relay with \(delay) ms of a round trip and \(window) KiB a connection on the way at once; "
                + "one node, a real sshd, the node program with curl; medians of \(rounds) rounds; nothing is kept between downloads.",
            "Several streams begin as one, for two seconds where their number is given, for four where it is found out.",
        ]
        return report
    }
}
