import ArgumentParser
import Daemon
import ForecacheModel

struct RulesTestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Runs the *.test.yaml files beside the rules: images in, expected hosts out. Needs no service.",
        discussion: """
            Each test has a fleet of its own, so --site and --role are taken, and change nothing. Exit codes: 0 all tests passed, 1 some did not, 78 a file is \
            invalid.
            """)

    @Argument(help: "Test files, rule files (the tests beside them) or directories; without them those of the configuration.")
    var path: [String] = []

    @Option(name: .customLong("run"), help: "Only tests in whose name this regular expression is found.")
    var pattern: String?

    @OptionGroup var selection: SelectionOptions

    @Option(help: "text, json, or junit: XML for CI systems.")
    var output: RulesTestOutput = .text

    func validate() throws { try refuseEmpty(path, "a PATH") }

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            do throws(Refusal) {
                try test()
            } catch {
                guard case .invalid(let problems) = error, output != .text else { throw error }
                try tell(RuleTestReport(problems))
                throw .incomplete(error.exitCode)
            }
        }
    }

    private func test() throws(Refusal) {
        let files = selection.files
        let needsConfiguration = path.isEmpty || files.config != nil
        let configuration = needsConfiguration ? try files.setup().configuration : Configuration()
        let paths = path.isEmpty ? configuration.rules : path
        guard !paths.isEmpty else { throw .usage("name rule or test files, or give a configuration with rules") }
        let testing = RuleTesting(configuration: configuration, environment: files.environment)
        let report = try testing.run(paths, matching: pattern)
        try tell(report)
        if report.summary["failed"] != 0 { throw .incomplete(1) }
    }

    private func tell(_ report: RuleTestReport) throws(Refusal) {
        switch output {
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

enum RulesTestOutput: String, ExpressibleByArgument, CaseIterable {
    case text, json, junit
}
