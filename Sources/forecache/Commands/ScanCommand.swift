import ArgumentParser
import Daemon
import ForecacheModel

struct ScanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scan",
        abstract: "Inspect the base files that already lie on the hosts, without qemu-img.",
        discussion: """
            Reads a few ranges of each base file over SSH and says what it is: safe, odd (not what this host's Nova or Glance would have there), unsafe (a \
            backing file, an external data file, several formats at once, not what Glance declares) or unreadable. Changes nothing; removing a file is for \
            you or Nova. Exit codes: 0 nothing unsafe, 1 something unsafe or unreadable, 2 some hosts were not reached.
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "List safe files, too.")
    var all = false

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let scan = Scan(setup: try common.setupWithHosts(), environment: common.environment, logger: common.logger())
            let (output, all) = (common.output, all)
            try await stoppable { () async throws(Refusal) in
                let report = try await scan.report(note: { say("note: \($0)") }) { row in
                    if output == .text { for line in Self.lines(row, all: all) { answer(line) } }
                }
                switch output {
                case .json: try answer(json: report)
                case .text:
                    answer(ScanReport.Verdict.allCases.map { "\(report.summary[$0.rawValue] ?? 0) \($0.rawValue)" }.joined(separator: ", "))
                }
                if report.exitCode != 0 { throw .incomplete(report.exitCode) }
            }
        }
    }

    private static func lines(_ row: ScanReport.HostRow, all: Bool) -> [String] {
        let place = "\(row.site)/\(row.host)".printable
        if let error = row.error { return ["\(place): not looked at: \(error.visible)"] }
        return row.files.filter { all || $0.verdict != .safe }.map { file in
            let image = file.image.map { " \($0) (\((file.imageName ?? "").printable))" } ?? " unknown image"
            let what = file.format.map { ", \($0)" } ?? ""
            return "\(file.verdict.rawValue)  \(place): \(file.name)\(image)\(what)\(file.reason.map { ": \($0.visible)" } ?? "")"
        }
    }
}
