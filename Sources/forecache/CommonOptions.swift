import ArgumentParser
import Daemon
import ForecacheModel
import FoundationEssentials
import Logging
import StrictYAML

/// Where an operator's files are, and how much is said.
struct FileOptions: ParsableArguments {
    @Option(help: "Configuration file (default: /etc/forecache/forecache.yaml where it exists).")
    var config: String?

    @Option(
        name: [.customShort("i", allowingJoined: true), .long],
        help: "Ansible inventory: file or directory; may be given several times, overrides the configuration.")
    var inventory: [String] = []

    @Option(help: "trace, debug, info, notice, warning or error.")
    var logLevel: LogLevel = .notice

    func validate() throws {
        if config == "" { throw ValidationError("--config is empty; name a file") }
        try refuseEmpty(inventory, "an inventory (-i)")
    }

    var areNamed: Bool { config != nil || !inventory.isEmpty }
    var environment: [String: String] { ProcessInfo.processInfo.environment }

    /// `narrow` says what else the command asks for.
    func setup(quietly: Bool = false, _ narrow: (inout Setup.Options) -> Void = { _ in }) throws(Refusal) -> Setup {
        var options = Setup.Options(environment: environment)
        options.file = config
        options.inventory = inventory
        narrow(&options)
        let setup = try Setup.load(options)
        if !quietly { for notice in setup.notices.list { say("note: \(notice)") } }
        return setup
    }
}

/// A variable that a script left unset is not "here".
func refuseEmpty(_ paths: [String], _ what: String) throws {
    if paths.contains("") { throw ValidationError("\(what) is empty; name a file or a directory") }
}

/// Which sites and hosts are meant.
struct SelectionOptions: ParsableArguments {
    @OptionGroup var files: FileOptions

    @Option(help: "Only this site; may be given several times.")
    var site: [String] = []

    @Option(help: "Only hosts of this role; may be given several times.")
    var role: [String] = []
}

/// What nearly every command understands.
struct CommonOptions: ParsableArguments {
    @OptionGroup var selection: SelectionOptions

    @Option(help: "text or json. JSON is alone on standard output; talk, progress and logs go to standard error.")
    var output: OutputFormat = .text

    var files: FileOptions { selection.files }
    var environment: [String: String] { files.environment }

    func setup(
        _ playbook: PlaybookArguments = PlaybookArguments(), looksAtLedgerOnly: Bool = false, lintsRules: Bool = false,
        listens: Bool = false, quietly: Bool = false
    ) throws(Refusal) -> Setup {
        try files.setup(quietly: quietly) { options in
            options.looksAtLedgerOnly = looksAtLedgerOnly
            options.lintsRules = lintsRules
            options.listens = listens
            options.plan = playbook.plan
            options.peerNetwork = playbook.proxyNetwork
            options.sites = selection.site.map { SiteName($0) }
            options.roles = selection.role.map { RoleName($0) }
        }
    }

    /// Commands that work on hosts need some.
    func setupWithHosts(_ playbook: PlaybookArguments = PlaybookArguments(), listens: Bool = false) throws(Refusal) -> Setup {
        let setup = try setup(playbook, listens: listens)
        guard !setup.fleet.hosts.isEmpty else {
            guard setup.configuration.inventory.isEmpty else {
                throw .usage("no compute host of the inventory is in these sites and roles")
            }
            throw .usage("no compute hosts: give an Ansible inventory with -i, or `inventory: [PATH]` in the configuration")
        }
        return setup
    }

    func logger(_ label: String = "forecache") -> Logger {
        var logger = Logger(label: label) { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = files.logLevel.level
        return logger
    }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

enum LogLevel: String, ExpressibleByArgument, CaseIterable {
    case trace, debug, info, notice, warning, error

    var level: Logger.Level {
        switch self {
        case .trace: .trace
        case .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        }
    }
}

/// Runs a command's body; a refusal is told on standard error and becomes the exit code of the contract.
func refusing(_ body: () async throws(Refusal) -> Void) async throws {
    do throws(Refusal) {
        try await body()
    } catch {
        if let message = error.message { say("forecache: \(message)") }
        throw ExitCode(error.exitCode)
    }
    if let reason = reasonUnwritten() {
        say("forecache: the answer could not be written to standard output: \(reason)")
        throw ExitCode(1)
    }
}
