import ArgumentParser
import Daemon
import ForecacheModel

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "The ledger: every placement with state, age, expiry, next refresh, last error.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let setup = try common.setup(looksAtLedgerOnly: true)
            let report = try await StatusQuery(setup: setup).report()
            switch common.output {
            case .json: try answer(json: report)
            case .text:
                if let state = report.policy.state, state != .applied || !report.policy.atRestart.isEmpty { answer(report.policy.sentence) }
                answer(text(report))
            }
        }
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
