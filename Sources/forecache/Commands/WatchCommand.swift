import ArgumentParser
import Daemon
import Glibc
import Rules

struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "The service: subscribe, decide, cache, refresh, until SIGTERM or SIGINT.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            // A service outlives whoever reads its log and whoever it talks to.
            signal(SIGPIPE, SIG_IGN)
            // Until the service listens to it: what changed before that is read at the start.
            signal(SIGHUP, SIG_IGN)
            let setup = try common.setupWithHosts(listens: true)
            if setup.rules.rules.isEmpty {
                say("note: there are no rules, so no image will ever be wanted; name rule files with `rules: [PATH]`")
            }
            try await Watch(setup: setup, environment: common.environment, logger: common.logger()).run()
        }
    }
}
