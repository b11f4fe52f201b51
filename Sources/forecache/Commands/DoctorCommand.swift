import ArgumentParser
import Daemon
import ForecacheModel

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Checks everything a first day needs; every finding with its remedy.",
        discussion: """
            Files, keys, Keystone, Glance, RabbitMQ, every host (login, sudo, tools, container, room, clock, TTL), copies between hosts, and the ledger. \
            Exit codes: 0 nothing failed, 1 something did, 64 the call names a site or role that there is not, 78 configuration, rules or inventory invalid.
            """)

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let output = common.output
            let setup: Setup
            do throws(Refusal) {
                setup = try common.setup(quietly: true)
            } catch {
                let report = Doctor.report(on: error)
                if output == .text { for finding in report.findings { answer(Self.text(finding)) } }
                return try Self.end(report, output, failure: error.exitCode)
            }
            let doctor = Doctor(setup: setup, environment: common.environment, logger: common.logger())
            try await stoppable { () async throws(Refusal) in
                let report = await doctor.examine { if output == .text { answer(Self.text($0)) } }
                try Self.end(report, output, failure: 1)
            }
        }
    }

    private static func end(_ report: DoctorReport, _ output: OutputFormat, failure: Int32) throws(Refusal) {
        switch output {
        case .json: try answer(json: report)
        case .text:
            let (ok, warnings, failed) = (report.summary["ok"] ?? 0, report.summary["warn"] ?? 0, report.summary["fail"] ?? 0)
            answer("\(ok) ok, \(CountText.of(warnings, "warning")), \(failed) failed")
        }
        if report.hasFailures { throw .incomplete(failure) }
    }

    private static func text(_ finding: DoctorReport.Finding) -> String {
        let level = finding.level.rawValue.uppercased()
        let place = finding.host.map { "\(finding.site?.rawValue ?? "")/\($0): " } ?? ""
        let said = finding.text.split(separator: "\n").map { String($0).visible }.joined(separator: "; ")
        let text = "\(level)\(String(repeating: " ", count: 5 - level.count)) \(finding.check): \(place.printable)\(said)"
        return finding.remedy.map { "\(text)\n      → \($0.visible)" } ?? text
    }
}
