import ArgumentParser
import Daemon
import ForecacheModel
import Planning

struct CacheCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "Cache now, by hand: the tripleo_nova_image_cache playbook's job.",
        discussion: """
            Named images go to every host of the inventory (cut down by --site and --role). Without IMAGE and without images in -e, everything that the \
            rules want is brought to where they want it. An image that is there already is 'existing', and its age is set back to 0.
            """)

    @Argument(help: "Image id, or a name that is unique.")
    var image: [String] = []

    @OptionGroup var common: CommonOptions
    @OptionGroup var delivery: DeliveryOptions

    @Flag(help: "Print the plan; change nothing.")
    var check = false

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let (work, images, output, check) = (try HandWork(common, delivery), image, common.output, check)
            try await stoppable { () async throws(Refusal) in
                let plans = try await work.plans(for: images)
                if check { return try tell(plans: plans, output) }
                try tell(await work.execute(plans), output)
            }
        }
    }
}

struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "plan", abstract: "What would be done and why; changes nothing.")

    @Argument(help: "Image id, or a name that is unique; all that the rules want, without it.")
    var image: [String] = []

    @OptionGroup var common: CommonOptions
    @OptionGroup var delivery: DeliveryOptions

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let (work, images, output) = (try HandWork(common, delivery), image, common.output)
            try await stoppable { () async throws(Refusal) in try tell(plans: try await work.plans(for: images), output) }
        }
    }
}

struct RefreshCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "refresh", abstract: "Touch now what is cached and wanted (all, without IMAGE): its age is 0 again.")

    @Argument(help: "Image id, or a name that is unique.")
    var image: [String] = []

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let (work, images, output) = (try HandWork(common), image, common.output)
            try await stoppable { () async throws(Refusal) in
                try tell(await work.refresh(try await work.plans(for: images)), output)
            }
        }
    }
}

private func tell(plans: [Plan], _ output: OutputFormat) throws(Refusal) {
    let report = PlanReport(plans)
    switch output {
    case .json: try answer(json: report)
    case .text:
        for image in report.images {
            answer("image \(image.id) (\(image.name.printable))")
            let rows = image.placements.map { row in
                [
                    row.action, row.site.rawValue, row.role.rawValue, row.host.rawValue, row.source ?? "-", row.rule,
                    row.reasons.joined(separator: "; "),
                ]
            }
            answer(table(["ACTION", "SITE", "ROLE", "HOST", "FROM", "RULE", "WHY"], rows))
        }
        answer("\(report.images.count) images, \(report.images.flatMap(\.placements).count { $0.action != "none" }) changes planned")
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
