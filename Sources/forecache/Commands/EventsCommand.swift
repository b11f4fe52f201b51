import ArgumentParser
import Daemon
import ForecacheModel

struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Decode and print notifications as they arrive; takes nothing from others.")

    @OptionGroup var common: CommonOptions

    @Option(help: "End after so many.")
    var count: Int?

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let feed = EventFeed(setup: try common.setup(), logger: common.logger())
            let output = common.output
            try await feed.run(most: count, note: { say($0) }) { line in
                switch output {
                case .json: (try? answer(json: line, pretty: false)) ?? say("an event could not be written as JSON")
                case .text:
                    let what = line.odd.map { "not understood: \($0)" } ?? "\(line.type ?? "")  \(line.image?.text ?? "-")"
                    answer("\(RFC3339.text(line.receivedAt))  \(line.exchange)  \(line.routingKey)  \(what.printable)")
                }
            }
        }
    }
}
