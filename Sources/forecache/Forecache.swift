import ArgumentParser

@main
struct Forecache: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forecache",
        abstract: "Puts OpenStack images onto compute nodes before anybody boots them, and keeps them there.",
        discussion: """
            Exit codes: 0 all done, 1 failed, 2 some hosts failed or wait for a window and the rest is done, 64 usage, 69 a service is not reachable, \
            78 configuration, rules or inventory invalid.
            """,
        version: "forecache 0.1.0",
        subcommands: [
            WatchCommand.self, CacheCommand.self, RefreshCommand.self, PlanCommand.self, SurveyCommand.self, StatusCommand.self,
            ExplainCommand.self, RulesCommand.self, InventoryCommand.self, EventsCommand.self, ReplayCommand.self, ApproveCommand.self,
            DoctorCommand.self, ScanCommand.self,
        ])

    static func main() async {
        // Before anything is parsed: the first argument is always the command.
        if CommandLine.arguments.dropFirst().first == WatchCommand._commandName { endAtOnceWhenToldToStop() }
        holdStandardDescriptors()
        await main(nil)
    }
}
