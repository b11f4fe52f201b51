import ArgumentParser
import Daemon

struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "The service: subscribe, decide, cache, refresh, until SIGTERM or SIGINT.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let setup = try common.setupWithHosts()
            try await Watch(setup: setup, environment: common.environment, logger: common.logger()).run()
        }
    }
}
