import ArgumentParser
import Daemon
import ForecacheModel

struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Recorded notifications through the rules: each decision, and how it differs from now.",
        discussion: """
            FILE is what 'forecache events --record FILE' wrote. Each event is decided by the rules as they are now, from the image as the event's payload \
            has it, and compared with the image as Glance has it now; with --offline, or where Glance cannot be asked, with what the ledger wants. A payload \
            has neither os_hidden nor os_hash_value. Nothing is cached or queued.
            """)

    @Argument(help: "A file of notifications.")
    var file: String

    @OptionGroup var common: CommonOptions

    @Flag(help: "Do not ask Glance.")
    var offline = false

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let replay = Replay(setup: try common.setupWithHosts(), environment: common.environment, logger: common.logger())
            let (file, isOffline, output) = (file, offline, common.output)
            try await stoppable { () async throws(Refusal) in
                var events: [ReplayReport.Event] = []
                let summary = try await replay.run(file, isOffline: isOffline, note: { say("note: \($0)") }) { event in
                    switch output {
                    case .json: events.append(event)
                    case .text: answer(Self.text(event))
                    }
                }
                switch output {
                case .json: try answer(json: ReplayReport(events: events, summary: summary))
                case .text:
                    answer(
                        "\(CountText.of(summary.events, "event")) of \(CountText.of(summary.images, "image")), \(summary.differ) placed otherwise now, "
                            + "\(summary.duplicates) doubled, \(summary.irrelevant) of no concern, \(summary.odd) not understood")
                }
                if summary.events > 0, summary.odd == summary.events {
                    throw .failed(
                        Failure(.permanent, "no line of \(file) could be understood; 'forecache events --record FILE' writes such files"))
                }
            }
        }
    }

    private static func text(_ event: ReplayReport.Event) -> String {
        let start = "\(event.line)  \(event.receivedAt.map(RFC3339.text) ?? "-")  \((event.type ?? "-").printable)"
        if let odd = event.odd { return "\(start)  not understood: \(odd.printable)" }
        guard let image = event.image else { return "\(start)  of no concern" }
        var text = "\(start)  \(image) (\((event.name ?? "").printable))\(event.isDuplicate ? ", doubled" : ""): "
        text += event.then.map(said) ?? "the message has no record of the image"
        guard let now = event.now else { return text }
        guard let difference = event.difference else { return text + "; now \(said(now))" }
        if difference.isEmpty { return text + "; now the same" }
        let changes = difference.added.map { "+\($0)" } + difference.removed.map { "-\($0)" }
        let shown = changes.prefix(12).joined(separator: " ").printable
        return text + "; now \(said(now)) (\(shown)\(changes.count > 12 ? " and \(changes.count - 12) more" : ""))"
    }

    private static func said(_ decision: ReplayReport.Decision) -> String {
        if let refusal = decision.refusal { return "nowhere, \(refusal.printable)" }
        let hosts = decision.hosts.count == 1 ? "1 host" : "\(decision.hosts.count) hosts"
        let dryRun = decision.dryRunHosts > 0 ? ", \(decision.dryRunHosts) in dry-run" : ""
        if decision.hosts.isEmpty { return "nowhere\(dryRun)" }
        return "\(hosts) by rule \(decision.rules.joined(separator: ", "))\(dryRun)"
    }
}
