import ArgumentParser
import Daemon
import ForecacheModel

struct CacheCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "Cache now, by hand: the tripleo_nova_image_cache playbook's job.",
        discussion: """
            Named images go to every host of the inventory (cut down by --site and --role). Without IMAGE and without -e, everything that the rules want is \
            brought to where they want it. An empty list in -e is nothing to do; -e without a list needs an IMAGE, but for --check. An image that is there \
            already is 'existing', and its age is set back to 0.

            While a site's window is closed no bytes go there: its hosts are 'skipped', and the exit code is 2, or 1 where every host waits. Run it again \
            when the window is open.
            """)

    @Argument(help: "Image id, or a name that is unique.")
    var image: [String] = []

    @OptionGroup var common: CommonOptions
    @OptionGroup var delivery: DeliveryOptions
    @OptionGroup var progress: ProgressOptions

    @Flag(help: "Print the plan; change nothing.")
    var check = false

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let (images, output) = (image, common.output)
            if check {
                let (common, delivery) = (common, delivery)
                return try await stoppable { () async throws(Refusal) in
                    try tell(try await HandWork.review(common, delivery, images), output)
                }
            }
            let work = try HandWork(images, common, delivery, progress: progress.progress)
            try await stoppable { () async throws(Refusal) in
                try tell(try await work.execute(try await work.plans()), output)
            }
        }
    }
}

struct RefreshCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "refresh", abstract: "Touch now what is cached and wanted (all, without IMAGE): its age is 0 again.")

    @Argument(help: "Image id, or a name that is unique.")
    var image: [String] = []

    @OptionGroup var common: CommonOptions
    @OptionGroup var progress: ProgressOptions

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let (work, output) = (try HandWork(image, common, progress: progress.progress), common.output)
            try await stoppable { () async throws(Refusal) in
                try tell(try await work.refresh(try await work.plans()), output)
            }
        }
    }
}

private func tell(_ outcomes: [Outcome], _ output: OutputFormat) throws(Refusal) {
    let report = OutcomeReport(outcomes)
    switch output {
    case .json: try answer(json: report)
    case .text: answer(OutcomeKind.allCases.map { "\(report.summary[$0.rawValue] ?? 0) \($0.rawValue)" }.joined(separator: ", "))
    }
    let code = ExitStatus.code(outcomes, wasStopped: Task.isCancelled)
    if code != 0 { throw .incomplete(code) }
}
