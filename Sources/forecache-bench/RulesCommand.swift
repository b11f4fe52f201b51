import ArgumentParser
import ForecacheModel
import Foundation
import Rules

/// Decisions per second of a large rule set on a large fleet.
struct RulesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rules", abstract: "1,000 rules x 10,000 images x 200 sites decided, by kind of rule.")

    @OptionGroup var common: CommonOptions

    private static let ruleCount = 1000
    private static let siteCount = 200
    private static let imageCount = 10_000
    private static let now = Date(timeIntervalSince1970: 1_800_000_000)

    /// Kinds of rules, each with one that is written for every number.
    private static let kinds: [(name: String, rule: @Sendable (Int) -> String)] = [
        ("tag", { "match: {all: [{tag: t\($0)}, {visibility: public}]}, targets: {sites: [dcn\($0 % 200)]}" }),
        ("tag glob", { "match: {all: [{tag: 'x\($0)*'}, {visibility: public}]}, targets: {sites: ['dcn\($0 % 200)*']}" }),
        ("name glob", { "match: {all: [{name: 'rhel-*-\($0)'}, {visibility: public}]}, targets: {sites: ['dcn\($0 % 200)*']}" }),
        ("name regex", { "match: {all: [{name: {regex: '-\($0)\\.iso$'}}, {visibility: public}]}" }),
        ("property", { "match: {property: {os_distro: 'rhel\($0)'}}, targets: {sites: ['dcn\($0 % 200)*']}" }),
        ("site in the tag", { "match: {tag: 'precache\($0):{site}'}, targets: {sites: ['{site}']}" }),
        ("any of two", { "match: {any: [{tag: 'x\($0)*'}, {name: 'rhel-\($0)*'}]}" }),
        // No text of such a rule begins or ends with something that could be looked up: each is tried on each image.
        ("wildcards at both ends", { "match: {all: [{name: '*-x\($0)-*'}, {visibility: public}]}" }),
        ("version", { "match: {all: [{visibility: public}, {property: {os_version: {version: '>=9\($0)'}}}]}" }),
    ]

    func run() async throws {
        var report = Report(bench: "rules")
        let fleet = MadeUpFleet.fleet(sites: Self.siteCount, hosts: 10)
        let images = try (0..<Self.imageCount).map(Self.image)
        for kind in Self.kinds {
            let rules = Self.rules(kind.rule, count: Self.ruleCount)
            let seconds = Self.seconds(rules, images, fleet)
            report.readings.append(Reading("all images, \(kind.name)", seconds, "s").below(1, "below 1 s"))
            report.readings.append(
                Reading("one image, \(kind.name)", seconds * 1e6 / Double(images.count), "µs").below(200, "below 200 µs"))
        }
        let (name, rule) = Self.kinds[7]
        let whole = Self.leastSeconds(Self.rules(rule, count: Self.ruleCount), images, fleet)
        let halfRules = Self.leastSeconds(Self.rules(rule, count: Self.ruleCount / 2), images, fleet)
        let halfImages = Self.leastSeconds(Self.rules(rule, count: Self.ruleCount), Array(images.prefix(Self.imageCount / 2)), fleet)
        report.readings.append(Reading("twice the rules, \(name)", whole / halfRules, "x").below(2.4, "linear: below 2.4x"))
        report.readings.append(Reading("twice the images, \(name)", whole / halfImages, "x").below(2.4, "linear: below 2.4x"))
        let everywhere = Self.seconds(MadeUpFleet.ruleSet("  - {name: all, match: {always: true}}"), images, fleet)
        let placements = images.count * fleet.hosts.count
        report.readings.append(Reading("one placement, every image everywhere", everywhere * 1e9 / Double(placements), "ns"))
        report.notes = [
            "\(Self.ruleCount) rules, \(Self.imageCount) images, \(Self.siteCount) sites of 10 hosts; processor time of one core.",
            "Of the images, one in five has a tag of a rule of the kind \"tag\"; the other kinds match nothing, which is what nearly every rule says.",
        ]
        try report.print(as: common.output)
    }

    private static func rules(_ rule: (Int) -> String, count: Int) -> RuleSet {
        MadeUpFleet.ruleSet((0..<count).map { "  - {name: r\($0), \(rule($0))}" }.joined(separator: "\n"))
    }

    private static func seconds(_ rules: RuleSet, _ images: [ImageFacts], _ fleet: Fleet) -> Double {
        let started = processorSeconds
        for image in images { _ = rules.decide(image, fleet: fleet, now: now) }
        return processorSeconds - started
    }

    /// Of several rounds, for ratios of times so short that a neighbour on the machine shows in them.
    private static func leastSeconds(_ rules: RuleSet, _ images: [ImageFacts], _ fleet: Fleet) -> Double {
        (0..<5).map { _ in seconds(rules, images, fleet) }.min() ?? .infinity
    }

    /// Deciding waits for nothing, so its own processor time is its time on a machine that does nothing else.
    private static var processorSeconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private static func image(_ index: Int) throws -> ImageFacts {
        guard let id = ImageID(String(format: "07bc2424-753b-4f65-9da5-%012x", index)) else {
            throw Failure(.fatal, "image \(index) has no id")
        }
        return ImageFacts(
            id: id, name: "ubuntu-24.04-build-\(index)", visibility: "public", owner: "9f3a21d8e6b7451f8d6c1f2e3a4b5c6d",
            sizeBytes: 500 << 20,
            tags: ["t\(index % 5000)", "release", "amd64"],
            properties: ["os_distro": "ubuntu", "os_version": "24.04", "hw_disk_bus": "virtio"],
            createdAt: Date(timeIntervalSince1970: 1_799_000_000))
    }
}
