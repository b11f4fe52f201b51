import ArgumentParser
import Daemon
import ForecacheModel
import Planning

struct SurveyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "survey", abstract: "What lies on the hosts: base files, age, TTL, free space, tools.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let setup = try common.setupWithHosts()
            let survey = Survey(setup: setup, environment: common.environment, logger: common.logger())
            let output = common.output
            try await stoppable { () async throws(Refusal) in
                let (report, code) = try await survey.report { say("note: \($0)") }
                switch output {
                case .json: try answer(json: report)
                case .text: answer(Self.text(report))
                }
                if code != 0 { throw .incomplete(code) }
            }
        }
    }

    private static func text(_ report: SurveyReport) -> String {
        let rows = report.hosts.flatMap { host -> [[String]] in
            let ttl = host.ttlSeconds.map(durationText) ?? "-"
            let tools = host.missingTools.map { $0.isEmpty ? "all" : $0.map { "no \($0)" }.joined(separator: ", ") } ?? "-"
            let start = [
                host.site.rawValue, host.host.rawValue, host.reachable ? "yes" : "no", ttl, host.freeBytes.map(ByteText.of) ?? "-", tools,
            ]
            if host.baseFiles.isEmpty { return [start + ["-", host.error ?? "no base files"]] }
            return host.baseFiles.map { file in
                start + [durationText(file.ageSeconds), "\(file.name) \(ByteText.of(file.bytes)) \(file.image?.text ?? "unknown image")"]
            }
        }
        return table(["SITE", "HOST", "REACHED", "TTL", "FREE", "TOOLS", "AGE", "BASE FILE"], rows)
    }
}
