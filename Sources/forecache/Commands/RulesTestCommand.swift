import ArgumentParser
import Daemon
import ForecacheModel

struct RulesTestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Runs the *.test.yaml files beside the rules: images in, expected hosts out. Needs no service.",
        discussion: "Exit codes: 0 all tests passed, 1 some did not, 78 a file is invalid.")

    @Argument(help: "Test files, rule files (the tests beside them) or directories; without them those of the configuration.")
    var path: [String] = []

    @Option(name: .customLong("run"), help: "Only tests in whose name this regular expression is found.")
    var pattern: String?

    @OptionGroup var options: RulesTestOptions

    private var common: CommonOptions { options.common }

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            do throws(Refusal) {
                try test()
            } catch {
                guard case .invalid(let problems) = error, options.output != .text else { throw error }
                try tell(RuleTestReport(problems))
                throw .incomplete(error.exitCode)
            }
        }
    }

    private func test() throws(Refusal) {
        let needsConfiguration = path.isEmpty || common.config != nil
        let configuration = needsConfiguration ? try common.setup().configuration : Configuration()
        let paths = path.isEmpty ? configuration.rules : path
        guard !paths.isEmpty else { throw .usage("name rule or test files, or give a configuration with rules") }
        let testing = RuleTesting(configuration: configuration, environment: common.environment)
        let report = try testing.run(paths, matching: pattern)
        try tell(report)
        if report.summary["failed"] != 0 { throw .incomplete(1) }
    }

    private func tell(_ report: RuleTestReport) throws(Refusal) {
        switch options.output {
        case .json: try answer(json: report)
        case .junit: answer(report.junit)
        case .text: tellText(report)
        }
    }

    private func tellText(_ report: RuleTestReport) {
        for test in report.tests {
            answer("\(test.passed ? "ok  " : "FAIL")  \(test.file):\(test.line)  \(test.name)")
            for difference in test.differences { answer("        \(difference.printable)") }
        }
        for rule in report.neverMatched { answer("never matched by a test: rule \(rule.rule) (\(rule.file):\(rule.line))") }
        answer("\(report.summary["passed"] ?? 0) passed, \(report.summary["failed"] ?? 0) failed")
    }
}

/// What every command understands, and one more form of output.
struct RulesTestOptions: ParsableArguments {
    @Option(help: "Configuration file (default: /etc/forecache/forecache.yaml where it exists).")
    var config: String?

    @Option(
        name: [.customShort("i"), .long],
        help: "Ansible inventory: file or directory; may be given several times, overrides the configuration.")
    var inventory: [String] = []

    @Option(help: "text, json, or junit: XML for CI systems.")
    var output: RulesTestOutput = .text

    @Option(help: "trace, debug, info, notice, warning or error.")
    var logLevel: LogLevel = .notice

    var common: CommonOptions {
        var common = CommonOptions()
        (common.config, common.inventory, common.site, common.role) = (config, inventory, [], [])
        (common.output, common.logLevel) = (output == .json ? .json : .text, logLevel)
        return common
    }
}

enum RulesTestOutput: String, ExpressibleByArgument, CaseIterable {
    case text, json, junit
}
