import ArgumentParser

@main
struct ForecacheBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forecache-bench",
        abstract: "Measures forecache against the figures that it promises, on this machine.",
        discussion: "Exit codes: 0 measured and every bar met, 1 not measured, 2 measured and a bar missed, 64 usage.",
        subcommands: [
            EventsCommand.self, MemoryCommand.self, SurveysCommand.self, RulesCommand.self, FanoutCommand.self, CacheCommand.self,
            RelayCommand.self, WANCommand.self,
        ])
}

/// What every measurement understands.
struct CommonOptions: ParsableArguments, Sendable {
    @Option(help: "text or json (on standard output alone).")
    var output = OutputForm.text

    @Option(help: ArgumentHelp("Where ledgers are made: a real disk, since commits are synced.", valueName: "dir"))
    var state = "/var/tmp"
}

extension ParsableCommand {
    /// Throws where an option's number is outside of what it allows.
    func hold(_ options: [(name: String, value: Int, range: ClosedRange<Int>)]) throws {
        for (name, value, range) in options where !range.contains(value) {
            throw ValidationError("--\(name) is \(value): give \(range.lowerBound) to \(range.upperBound)")
        }
    }
}
