import ArgumentParser
import Daemon
import ForecacheModel

struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Decode and print notifications as they arrive; takes nothing from others.")

    @OptionGroup var common: CommonOptions

    @Option(help: "End after so many.")
    var count: Int?

    @Option(help: "Append each notification to this file as a line of JSON, for 'forecache replay'. It holds names, tags and owners.")
    var record: String?

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count must be at least 1") }
    }

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let feed = EventListening(setup: try common.setup(), logger: common.logger())
            let (output, count) = (common.output, count)
            let record = try record.map { (path) throws(Refusal) in try EventRecord(path) }
            try await stoppable { () async throws(Refusal) in
                try await feed.run(most: count, record: record, note: { say($0) }) { line in show(line, output) }
            }
        }
    }
}

private func show(_ line: EventListening.Line, _ output: OutputFormat) {
    switch output {
    case .json:
        do throws(Refusal) { try answer(json: line, pretty: false) } catch { say(error.message ?? "") }
    case .text:
        let what = line.odd.map { "not understood: \($0)" } ?? "\(line.type ?? "-")  \(line.image?.text ?? "-")"
        answer("\(RFC3339.text(line.receivedAt))  \(line.exchange.printable)  \(line.routingKey.printable)  \(what.printable)")
    }
}
