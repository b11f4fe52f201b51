import ArgumentParser
import Daemon
import ForecacheModel

struct ApproveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve",
        abstract: "Shows changed rules that the service holds for approval, and releases them.",
        discussion: """
            Where changed files want more new placements than reload.max_new_placements, the service goes on with the set before them until they are \
            approved here. It reads the approval from the ledger within seconds. Exit code 0 also where nothing waits.
            """)

    @Argument(help: "Only this set: the digest that --check has shown, or its beginning.")
    var set: String?

    @OptionGroup var common: CommonOptions

    @Flag(help: "Only show what waits; release nothing.")
    var check = false

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let report = try await Approval(setup: try common.setup(looksAtLedgerOnly: true)).report(set: set, isCheck: check)
            switch common.output {
            case .json: try answer(json: report)
            case .text: answer(Self.text(report))
            }
        }
    }

    private static func text(_ report: Approval.Report) -> String {
        guard let set = report.set else {
            let problems = report.problems.map { "\n  \($0.printable)" }.joined()
            return "nothing waits for approval\(problems.isEmpty ? "" : "; the files are not in force:\(problems)")"
        }
        var lines = report.rows.map { row in
            "  \(row.image) (\(row.name.printable)) at \(row.site.rawValue.printable): "
                + "+\(row.added) -\(row.removed)\(row.rules.isEmpty ? "" : " by rule \(row.rules.joined(separator: ", "))")"
        }
        if report.moreRows > 0 { lines.append("  and \(report.moreRows) more") }
        let (added, removed) = (report.newPlacements ?? 0, report.removedPlacements ?? 0)
        let bound = report.maxNewPlacements.map { " (reload.max_new_placements is \($0))" } ?? ""
        lines.insert("set \(set): \(added) new placements\(bound), \(removed) no longer wanted, \(report.images) images", at: 0)
        lines.append("at most \(ByteText.of(report.addedBytes ?? 0)) more on the hosts' disks")
        lines.append(
            report.approved ? "approved; the service takes it into force within seconds" : "release it with: forecache approve \(set)")
        return lines.joined(separator: "\n")
    }
}
