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
            let work = try HandWork(common, delivery)
            let plans = try await work.plans(for: image)
            if check { return try tell(plans: plans, common.output) }
            try tell(await work.execute(plans), common.output)
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
            try tell(plans: try await HandWork(common, delivery).plans(for: image), common.output)
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
            let work = try HandWork(common, DeliveryOptions())
            let plans = try await work.plans(for: image).map(\.touchesOnly)
            try tell(await work.execute(plans), common.output)
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
            for row in image.placements {
                let source = row.source.map { " from \($0)" } ?? ""
                answer(
                    "  \(row.action)\(source) on \(row.host) (\(row.site), \(row.role)) by rule \(row.rule): \(row.reasons.joined(separator: "; "))"
                )
            }
        }
        answer("\(report.images.count) images, \(report.images.flatMap(\.placements).count { $0.action != "none" }) changes planned")
    }
}

private func tell(_ outcomes: [Outcome], _ output: OutputFormat) throws(Refusal) {
    let report = OutcomeReport(outcomes)
    switch output {
    case .json: try answer(json: report)
    case .text: answer(OutcomeKind.allCases.map { "\($0.rawValue)=\(report.summary[$0.rawValue] ?? 0)" }.joined(separator: " "))
    }
    let code = ExitStatus.code(failed: outcomes.count { $0.kind == .failed }, of: outcomes.count)
    if code != 0 { throw .incomplete(code) }
}
