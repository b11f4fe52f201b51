import ArgumentParser
import Engine
import ForecacheModel
import Foundation
import Planning
import RabbitMQSource
import Rules

/// Notifications from a real broker to a decision, beside a plain oslo.messaging listener on the same messages.
///
/// Each side has a queue of its own on the same exchange, so both get every message. The backlogs are drained one after the other (the sides share this
/// machine's cores); the steady stream is heard by both at once.
struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Notifications per second and publish-to-decision latency, beside an oslo.messaging listener.",
        discussion: """
            Takes a broker of the lab (deploy/lab/lab up --parts rabbitmq). Exchange and queues are its own (forecache-bench-…) and are deleted at the \
            end. Needs /usr/bin/python3 with oslo.messaging.
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: "oslo's transport_url; default: RABBITMQ_URL of the file that FORECACHE_LAB_ENV names.")
    var url: String?

    @Option(help: "Notifications to drain, in all rounds together (100 to 1000000).")
    var count = 50_000

    @Option(help: "Rounds, each with a backlog and a steady stream (1 to 20).")
    var rounds = 3

    @Option(help: "Notifications per second of the steady stream (1 to 1000).")
    var rate = 200

    @Option(help: "Seconds of the steady stream in each round (1 to 60).")
    var seconds = 5

    @Option(help: "Messages that the broker sends ahead, to either side (1 to 10000).")
    var prefetch = 1000

    func validate() throws {
        try hold([
            ("count", count, 100...1_000_000), ("rounds", rounds, 1...20), ("rate", rate, 1...1000), ("seconds", seconds, 1...60),
            ("prefetch", prefetch, 1...10_000),
        ])
    }

    func run() async throws {
        try await reporting {
            let url = try LabValues.url(given: url)
            let directory = try Scratch(below: common.state)
            defer { directory.remove() }
            let bench = EventsBench(url: url, access: try TransportURL.parse(url), prefetch: prefetch, directory: directory.path)
            let results = try await bench.cleaningUp {
                try await bench.declare()
                var results: [EventsBench.Round] = []
                for round in 1...rounds {
                    say("round \(round) of \(rounds)")
                    results.append(try await bench.round(backlog: count / rounds, rate: rate, seconds: seconds))
                }
                return results
            }
            try report(results, syncMilliseconds: try directory.syncMilliseconds()).print(as: common.output)
        }
    }

    private func report(_ rounds: [EventsBench.Round], syncMilliseconds: Double) -> Report {
        let backlog = Double(count / self.rounds)
        var report = Report(bench: "events", peer: "oslo.messaging")
        let (ours, theirs) = (rounds.map { backlog / $0.ours.seconds }, rounds.map { backlog / $0.theirs.seconds })
        report.readings.append(
            Reading("notifications drained", median(ours), "/s")
                .beside(median(theirs), ratio: median(zip(ours, theirs).map { $0 / $1 }), atLeast: 5))
        for (name, share) in [("publish to decision, p50", 0.5), ("publish to decision, p99", 0.99)] {
            let ours = rounds.compactMap { percentile(share, of: $0.stream.ours.map { Double($0) / 1000 }) }
            let theirs = rounds.compactMap { percentile(share, of: $0.stream.theirs.map { Double($0) / 1000 }) }
            report.readings.append(
                Reading(name, median(ours), "ms").beside(median(theirs), ratio: median(zip(ours, theirs).map { $1 / $0 })))
        }
        report.notes = [
            "\(self.rounds) rounds of \(count / self.rounds) waiting notifications and \(seconds) s at \(rate)/s; medians of the rounds; both sides "
                + "with a prefetch of \(prefetch).",
            "forecache: decode, work row committed to disk, acknowledgement, decision by \(EventsBench.ruleCount) rules, row finished. "
                + "Messages about one image that come together are one row, and one decision, as in `watch`.",
            "oslo.messaging: decode, a counting endpoint, the acknowledgement; nothing is kept.",
            "A synced write into a file that does not grow takes \(number(syncMilliseconds)) ms here.",
            "Steady stream published at \(number(median(rounds.map(\.stream.rate))))/s.",
        ]
        return report
    }
}
