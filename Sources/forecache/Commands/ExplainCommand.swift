import ArgumentParser
import Daemon
import ForecacheModel
import Rules

struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Every rule, whether it matched, and which condition decided; per site and role.",
        discussion: """
            Where one condition alone kept a rule from matching, the change of the image that would make it match is told, too. No host is asked anything.
            """)

    @Argument(help: "Image id, or a name that is unique.")
    var image: String?

    @Option(help: "Explain an image from a file with Glance's JSON instead, without Glance.")
    var imageFile: String?

    @OptionGroup var common: CommonOptions

    func validate() throws {
        if (image == nil) == (imageFile == nil) { throw ValidationError("name one image, or give --image-file FILE") }
    }

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let explain = Explain(setup: try common.setupWithHosts(), environment: common.environment)
            let report: ExplainReport
            if let imageFile {
                report = try await explain.report(onFile: imageFile) { say("note: \($0)") }
            } else {
                report = try await explain.report(onImage: image ?? "", logger: common.logger()) { say("note: \($0)") }
            }
            switch common.output {
            case .json: try answer(json: report)
            case .text: tell(report)
            }
        }
    }

    private func tell(_ report: ExplainReport) {
        let image = report.image
        var facts = [image.status.rawValue, image.visibility.printable]
        if image.isHidden { facts.append("hidden") }
        if !image.tags.isEmpty { facts.append("tags \(image.tags.prefix(20).map(\.printable).joined(separator: ", "))") }
        answer("image \(image.id) (\(image.name.printable)): \(facts.joined(separator: "; "))")
        if let why = report.whyNowhere { answer("wanted nowhere: \(why)") }
        for rule in report.rules { tell(rule) }
        answer("└─ sites")
        for reach in report.reach {
            let hosts = reach.wanted == 0 ? "on none of \(reach.hosts)" : "on \(reach.wanted) of \(reach.hosts) hosts"
            let rules = reach.rules.isEmpty ? "" : ", by rule \(reach.rules.joined(separator: ", "))"
            let losers = reach.losers.isEmpty ? "" : " (also wanted by \(reach.losers.joined(separator: ", ")))"
            let why = reach.wanted == 0 && !report.placements.isEmpty ? ": no rule that matches wants it there" : ""
            answer("      \(reach.site.rawValue.printable), role \(reach.role.rawValue.printable): \(hosts)\(rules)\(losers)\(why)")
        }
    }

    private func tell(_ rule: ExplainReport.Rule) {
        let hosts = rule.placements == 1 ? "1 host" : "\(rule.placements) hosts"
        answer("├─ rule \(rule.rule) (\(rule.file):\(rule.line)): \(rule.matched ? "matched, \(hosts)" : "did not match")")
        tell(rule.conditions, indent: "│  ")
        for consequence in rule.consequences { answer("│  → \(consequence)") }
        if !rule.changes.isEmpty { answer("│  one change would make it match: \(rule.changes.joined(separator: ", or "))") }
    }

    /// One line a condition; what holds is marked by ✓, what does not by ✗, and what was too long to be compared by ?.
    private func tell(_ finding: Finding, indent: String) {
        let mark =
            switch finding.holds {
            case true?: "✓"
            case false?: "✗"
            case nil: "?"
            }
        switch finding.part {
        case .condition: answer("\(indent)\(mark) \(finding.text)")
        case .all, .any, .not:
            answer("\(indent)\(mark) \(finding.part.rawValue)\(finding.text.isEmpty ? "" : ": \(finding.text)")")
            for part in finding.parts { tell(part, indent: indent + "   ") }
        }
    }
}
