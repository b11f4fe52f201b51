import ArgumentParser
import Daemon
import ForecacheModel
import Planning

struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "What would be done and why, and what it comes to; changes nothing.",
        discussion: """
            Without IMAGE: everything that the rules want. A named image goes to every host, as with 'cache'; with --by-rules only where rules want it. \
            With --images FILE the images come from a file ('openstack image list --long -f json', or the answer to Glance's GET /v2/images), Glance is not \
            asked, and the rules decide; with --offline no host is asked either, and each counts as if no base file lay there.

            + fetched or copied, ~ touched, - no longer wanted (left to Nova).
            """)

    @Argument(help: "Image id, or a name that is unique; all that the rules want, without it.")
    var image: [String] = []

    @OptionGroup var common: CommonOptions
    @OptionGroup var delivery: DeliveryOptions

    @Option(help: "Take the images from this file instead of Glance.")
    var images: String?

    @Flag(help: "With --images: ask no host, as in a review pipeline.")
    var offline = false

    @Flag(help: "Named images, too, go only where the rules want them.")
    var byRules = false

    @Flag(help: "Changes nothing: as with 'cache --check', a plan is only shown.")
    var check = false

    func validate() throws {
        if offline, images == nil { throw ValidationError("--offline goes with --images FILE") }
    }

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let source = images.map { PlanReview.Source.saved(file: $0, isOffline: offline) } ?? .live
            let (common, delivery, image, byRules) = (common, delivery, image, byRules || images != nil)
            try await stoppable { () async throws(Refusal) in
                try tell(try await HandWork.review(common, delivery, image, from: source, byRules: byRules), common.output)
            }
        }
    }
}

func tell(_ review: PlanReview, _ output: OutputFormat) throws(Refusal) {
    switch output {
    case .json: try answer(json: PlanReport(review))
    case .text: for line in PlanText(review).lines { answer(line) }
    }
}

/// A plan for people: hosts that do the same for the same reason share a line.
private struct PlanText {
    let review: PlanReview
    private let report: PlanReport

    init(_ review: PlanReview) {
        self.review = review
        report = PlanReport(review)
    }

    var lines: [String] {
        var lines = report.images.flatMap(image)
        let gone = Dictionary(grouping: review.noLongerWanted, by: \.image)
        let planned = Set(report.images.map(\.id))
        for (id, rows) in gone.sorted(by: { $0.key < $1.key }) where !planned.contains(id) {
            lines.append("image \(id) (\(rows[0].name.printable))")
            lines += unwanted(rows)
        }
        return lines + totals
    }

    private func image(_ image: PlanReport.Image) -> [String] {
        let size = review.plans.first { $0.image.id == image.id }?.image.sizeBytes.map { ", \(ByteText.of($0))" } ?? ""
        var lines = ["image \(image.id) (\(image.name.printable))\(size)"]
        let groups = Dictionary(grouping: image.placements) { row in
            [
                row.site.rawValue, row.action, row.role.rawValue, row.source ?? "", row.rule, row.via.rawValue,
                row.reasons.joined(separator: "; "),
            ]
        }
        let inOrder = groups.sorted { left, right in
            (left.key[0], Self.rank(left.key[1]), left.key.joined()) < (right.key[0], Self.rank(right.key[1]), right.key.joined())
        }
        for (_, rows) in inOrder {
            guard let row = rows.first else { continue }
            let source = row.source.map { ", from \($0.printable)" } ?? ""
            let via = ["fetch", "copy"].contains(row.action) ? " via \(row.via.rawValue)" : ""
            let place = "\(row.site.rawValue.printable) (\(row.role.rawValue.printable))\(via)"
            lines.append("  \(Self.sign(row.action)) \(row.action) \(place): \(Self.listed(rows.map(\.host.rawValue)))\(source)")
            lines.append("      rule \(row.rule): \(row.reasons.map(\.visible).joined(separator: "; "))")
        }
        return lines + unwanted(review.noLongerWanted.filter { $0.image == image.id })
    }

    private func unwanted(_ rows: [NoLongerWanted]) -> [String] {
        Dictionary(grouping: rows, by: \.site).sorted { $0.key < $1.key }.map { site, rows in
            "  - no longer wanted at \(site.rawValue.printable): \(Self.listed(rows.map(\.host.rawValue))) (left to Nova)"
        }
    }

    private var totals: [String] {
        let totals = review.totals
        var lines: [String] = []
        let sites = totals.sites.filter { $0.wanBytes > 0 || $0.lanBytes > 0 }
        if !sites.isEmpty {
            let rows = sites.map { site in
                [
                    site.site.rawValue, ByteText.of(site.wanBytes), site.rateLimit.map { "\(ByteText.of($0))/s" } ?? "-",
                    site.seconds.map { durationText(Int($0)) } ?? "-", ByteText.of(site.lanBytes),
                ]
            }
            lines += ["", table(["SITE", "OVER THE WAN", "RATE LIMIT", "TAKES", "COPIED INSIDE"], rows)]
        }
        let hosts = totals.hosts
        if !hosts.isEmpty {
            let tight = hosts.filter { $0.fits == false } + hosts.filter { $0.fits == nil }
            let shown = (tight + hosts.filter { $0.fits == true }).prefix(20)
            let rows = shown.map { host in
                [
                    host.site.rawValue, host.host.rawValue, ByteText.of(host.neededBytes), host.freeBytes.map(ByteText.of) ?? "-",
                    host.leftBytes.map { $0 < 0 ? "-\(ByteText.of(-$0))" : ByteText.of($0) } ?? "-", Self.verdict(on: host),
                ]
            }
            lines += ["", table(["SITE", "HOST", "NEEDS", "FREE", "LEFT", ""], rows)]
            if hosts.count > shown.count { lines.append("and \(hosts.count - shown.count) more hosts") }
        }
        var last = [
            "\(totals.fetch) to fetch", "\(totals.copy) to copy", "\(totals.touch) to touch", "\(totals.noLongerWanted) no longer wanted",
            "\(totals.none) left alone",
        ]
        if totals.unreachable > 0 { last.append("\(CountText.of(totals.unreachable, "host")) not reachable") }
        if !totals.surveyed { last.append("no host was asked: each counts as empty") }
        return lines + [
            "", last.joined(separator: ", "),
            "\(CountText.of(report.images.count, "image")), \(CountText.of(totals.fetch + totals.copy + totals.touch, "change")) planned",
        ]
    }

    private static func verdict(on host: PlanTotals.HostRow) -> String {
        switch host.fits {
        case true?: ""
        case false?: "does not fit"
        case nil: host.freeBytes == nil ? "" : "fits only as far as the disks are sparse"
        }
    }

    private static func listed(_ hosts: [String]) -> String {
        let shown = hosts.sorted().prefix(8).map(\.printable).joined(separator: ", ")
        return hosts.count > 8 ? "\(shown) and \(hosts.count - 8) more" : shown
    }

    private static func sign(_ action: String) -> String {
        switch action {
        case "fetch", "copy": "+"
        case "touch": "~"
        default: " "
        }
    }

    private static func rank(_ action: String) -> Int { ["fetch", "copy", "touch"].firstIndex(of: action) ?? 3 }
}
