import ArgumentParser
import Daemon
import ForecacheModel
import Rules
import StrictYAML

struct RulesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rules", abstract: "Rule files: check them before they are used.", subcommands: [RulesLintCommand.self])
}

struct RulesLintCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lint", abstract: "Every problem of the rule files at once, with file, line and column.")

    @Argument(help: "Rule files or directories; without them those of the configuration.")
    var path: [String] = []

    @OptionGroup var common: CommonOptions

    @Flag(help: "Warnings fail, too.")
    var strict = false

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let (rules, fleet) = try read()
            let warnings = RuleLint.warnings(in: rules, fleet: fleet)
            switch common.output {
            case .json: try answer(json: LintReport(rules: rules.rules.count, problems: [], warnings: warnings.list))
            case .text:
                for warning in warnings.list.sorted() { answer("warning: \(warning)") }
                answer("\(rules.rules.count) rules, \(warnings.list.count) warnings")
            }
            if strict, !warnings.isEmpty { throw Refusal.incomplete(78) }
        }
    }

    private func read() throws(Refusal) -> (RuleSet, Fleet?) {
        if path.isEmpty {
            let setup = try common.setup()
            return (setup.rules, setup.fleet.hosts.isEmpty ? nil : setup.fleet)
        }
        let (rules, unread) = Setup.readRules(at: path, environment: common.environment)
        guard unread.isEmpty else { throw .invalid(unread) }
        guard !common.inventory.isEmpty || common.config != nil else { return (rules, nil) }
        let fleet = try common.setup().fleet
        let problems = RuleLint.problems(in: rules, fleet: fleet)
        guard problems.isEmpty else { throw .invalid(problems) }
        return (rules, fleet)
    }
}

/// `rules lint --output json`.
private struct LintReport: Encodable {
    let rules: Int
    let problems: [Problem]
    let warnings: [Problem]
}
