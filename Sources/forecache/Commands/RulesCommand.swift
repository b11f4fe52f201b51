import ArgumentParser
import Daemon
import ForecacheModel
import Rules
import StrictYAML

struct RulesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rules", abstract: "Rule files: check and test them before they are used.",
        subcommands: [RulesLintCommand.self, RulesTestCommand.self, RulesSchemaCommand.self])
}

struct RulesLintCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lint", abstract: "Every problem of the rule files at once, with file, line and column.")

    @Argument(help: "Rule files or directories; without them those of the configuration.")
    var path: [String] = []

    @OptionGroup var common: CommonOptions

    @Flag(help: "Warnings fail, too.")
    var strict = false

    func validate() throws { try refuseEmpty(path, "a PATH") }

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            do throws(Refusal) {
                try lint()
            } catch {
                guard case .invalid(let problems) = error, common.output == .json else { throw error }
                try answer(json: LintReport(rules: 0, problems: problems.rows, warnings: []))
                throw .incomplete(error.exitCode)
            }
        }
    }

    private func lint() throws(Refusal) {
        let (rules, fleet, context) = try read()
        let warnings = RuleLint.warnings(in: rules, fleet: fleet, context: context)
        switch common.output {
        case .json: try answer(json: LintReport(rules: rules.rules.count, problems: [], warnings: warnings.rows))
        case .text:
            for warning in warnings.list.sorted() { answer("warning: \(warning)") }
            answer("\(CountText.of(rules.rules.count, "rule")), \(CountText.of(warnings.list.count, "warning"))")
        }
        if strict, !warnings.isEmpty { throw .incomplete(78) }
    }

    private func read() throws(Refusal) -> (RuleSet, Fleet?, LintContext?) {
        if path.isEmpty {
            let setup = try common.setup(lintsRules: true)
            guard !setup.configuration.rules.isEmpty else {
                throw .usage("name rule files or directories, or give a configuration with rules")
            }
            return (setup.rules, setup.lintFleet, setup.lintContext)
        }
        let (rules, unread, notices) = Setup.readRules(at: path, environment: common.environment)
        for notice in notices.list { say("note: \(notice)") }
        guard unread.isEmpty else { throw .invalid(unread) }
        guard common.files.areNamed else { return (rules, nil, nil) }
        let setup = try common.setup(lintsRules: true)
        let problems = RuleLint.problems(in: rules, fleet: setup.lintFleet)
        guard problems.isEmpty else { throw .invalid(problems) }
        return (rules, setup.lintFleet, setup.lintContext)
    }
}

struct RulesSchemaCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "The JSON Schema of rule files or of their tests, for editors and other validators.",
        discussion: """
            For editors with the YAML language server: begin a file with '# yaml-language-server: $schema=PATH'. It is the same for all files: PATH and the \
            common options are taken, and change nothing.
            """)

    @Argument(help: "Rule files; not looked at.")
    var path: [String] = []

    @Flag(help: "That of *.test.yaml files.")
    var tests = false

    @OptionGroup var common: CommonOptions

    func run() async throws { write(tests ? RuleSchema.ofTests : RuleSchema.ofRules, to: 1) }
}

/// `rules lint --output json`.
private struct LintReport: Encodable {
    struct Row: Encodable {
        let file: String
        let line: Int
        let column: Int
        let message: String
    }

    let rules: Int
    let problems: [Row]
    let warnings: [Row]
}

extension Problems {
    fileprivate var rows: [LintReport.Row] {
        list.sorted().map { LintReport.Row(file: $0.place.file, line: $0.place.line, column: $0.place.column, message: $0.message) }
    }
}
