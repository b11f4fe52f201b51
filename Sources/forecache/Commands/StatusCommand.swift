import ArgumentParser
import Daemon
import ForecacheModel

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "The ledger: every placement with state, age, expiry, next refresh, last error.")

    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("Instead: what was done last, newest first.", valueName: "count"))
    var history: Int?

    func validate() throws {
        guard let history else { return }
        guard history > 0 else { throw ValidationError("--history takes a count of at least 1, not \(history)") }
        guard common.selection.role.isEmpty else { throw ValidationError("--role does not go with --history, which knows sites only") }
    }

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let setup = try common.setup(looksAtLedgerOnly: true)
            if let history {
                let report = try await StatusQuery(setup: setup).history(limit: history)
                return common.output == .json ? try answer(json: report) : answer(text(report))
            }
            let report = try await StatusQuery(setup: setup).report()
            switch common.output {
            case .json: try answer(json: report)
            case .text:
                if let state = report.policy.state, state != .applied || !report.policy.atRestart.isEmpty { answer(report.policy.sentence) }
                answer(text(report))
            }
        }
    }

    private func text(_ report: HistoryReport) -> String {
        let rows = report.history.map { entry in
            let row = entry.row
            return [
                RFC3339.text(entry.at), entry.name ?? row.image.description, row.site.rawValue, row.host.rawValue, row.outcome.rawValue,
                row.source ?? "-", ByteText.of(row.bytes), "\((row.seconds * 10).rounded() / 10) s", row.reason ?? "",
            ]
        }
        return table(["AT", "IMAGE", "SITE", "HOST", "OUTCOME", "FROM", "MOVED", "TOOK", "REASON"], rows)
    }

    private func text(_ report: StatusReport) -> String {
        let rows = report.images.flatMap { image in
            image.placements.map { row in
                [
                    image.name, row.site.rawValue, row.host.rawValue, row.stateText,
                    row.ageSeconds.map(durationText) ?? "-",
                    row.expiresAt.map(RFC3339.text) ?? "-", row.refreshAt.map(RFC3339.text) ?? "-", row.rule,
                    row.error ?? "",
                ]
            }
        }
        return table(["IMAGE", "SITE", "HOST", "STATE", "AGE", "EXPIRES", "REFRESH", "RULE", "ERROR"], rows)
    }
}
