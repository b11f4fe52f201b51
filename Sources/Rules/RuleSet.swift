public import ForecacheModel
public import Foundation
public import StrictYAML

/// All rules of an operator. Pure: the same image, rules, fleet and moment always give the same decision.
public struct RuleSet: Sendable {
    /// In evaluation order: priority, then the order of files and lines.
    public let rules: [Rule]
    /// Those with `select:`, in evaluation order.
    let selecting: [Rule]
    private let index: RuleIndex

    public init(rules: [Rule]) {
        self.rules = rules.enumerated().sorted { ($1.element.priority, $0.offset) < ($0.element.priority, $1.offset) }.map(\.element)
        self.selecting = self.rules.filter { $0.select != nil }
        self.index = RuleIndex(self.rules)
    }

    /// Reads rule files in the order given. All problems of all files come at once; a set is to be used only where there are none.
    public static func parse(_ files: [(path: String, text: String)]) -> (RuleSet, Problems) {
        var reader = RuleReader()
        for file in files { reader.read(file.text, path: file.path) }
        return (RuleSet(rules: reader.rules), reader.problems)
    }

    /// Whether some rule takes only the newest of several images: then a decision needs `Rivals`.
    public var selects: Bool { !selecting.isEmpty }

    /// Whether some rule keeps images for a time only: then a decision needs to know since when it matches.
    public var lasts: Bool { rules.contains { $0.forSeconds != nil } }

    /// Where the image is wanted and why, with the verdicts of the rules that match; `explain` has the others. An image that must not be cached at all has its
    /// verdicts, too, so that an operator sees what will become of it, but no placement.
    ///
    /// `rivals`: the other images, for rules with `select:`; without them the image is the only one. `began`: since when rules with `for:` match this image,
    /// by rule name; a rule that is not named begins now.
    public func decide(
        _ image: ImageFacts, fleet: Fleet, now: Date, among rivals: Rivals? = nil, since began: [String: Date] = [:]
    ) -> Decision {
        var evaluation = Evaluation(image, now: now)
        var hits: [Hit] = []
        for index in index.candidates(for: &evaluation) {
            guard evaluation.word(on: rules[index].match).holds == true else { continue }
            // What holds is told: there is little of it.
            let (word, finding) = evaluation.finding(on: rules[index].match)
            hits.append(Hit(index: index, bindings: word.bindings, reasons: finding.reasons))
        }
        return decision(on: image, hits, fleet, now, rivals, began)
    }

    /// A rule that holds.
    struct Hit {
        var index: Int
        var bindings: [Binding]
        var reasons: [String]
    }

    /// From the rules that hold to the hosts.
    func decision(
        on image: ImageFacts, _ hits: [Hit], _ fleet: Fleet, _ now: Date, _ rivals: Rivals?, _ began: [String: Date]
    ) -> Decision {
        var wants = Wants(fleet: fleet)
        let refusal = Self.refusal(of: image)
        var verdicts: [RuleVerdict] = []
        for hit in hits {
            let rule = rules[hit.index]
            var verdict = RuleVerdict(
                rule: rule.name, file: rule.file, line: rule.line, matched: true, reasons: hit.reasons, placements: 0)
            if let seconds = rule.forSeconds {
                let start = began[rule.name] ?? now
                verdict.began = start
                verdict.ends = start.addingTimeInterval(Double(seconds))
            }
            if let refusal {
                verdict.reasons += [rule.targets.said(hit.bindings), refusal]
            } else if let reason = Self.reasonNotToWant(image, rule, verdict.ends, now, rivals) {
                verdict.reasons.append(reason)
            } else {
                verdict.placements = wants.add(rule, at: hit.index, hit.bindings)
                if let select = rule.select {
                    let known = rivals == nil ? "; the other images are not known here" : ""
                    verdict.reasons.append("among \(select.said(select.group(of: image)))\(known)")
                }
                if let ends = verdict.ends { verdict.reasons.append("until \(Spoken.moment(ends))") }
                let isNowhere = verdict.placements == 0
                verdict.reasons.append(rule.targets.said(hit.bindings) + (isNowhere ? ", where the fleet has no host" : ""))
            }
            verdicts.append(verdict)
        }
        let reasons = Dictionary(zip(hits.map(\.index), verdicts.map(\.reasons))) { first, _ in first }
        return Decision(
            image: image, rules: verdicts, placements: wants.placements(of: image.id, by: rules, reasons), refusal: refusal)
    }

    /// Why a rule that matches wants the image nowhere.
    private static func reasonNotToWant(_ image: ImageFacts, _ rule: Rule, _ ends: Date?, _ now: Date, _ rivals: Rivals?) -> String? {
        if let ends, ends <= now { return "it was to be kept until \(Spoken.moment(ends))" }
        guard let select = rule.select, let newer = rivals?.newer(than: image, of: rule) else { return nil }
        let names = newer.prefix(5).map { Quoted.text($0) }.joined(separator: ", ")
        return "not among \(select.said(select.group(of: image))): \(names)\(newer.count > 5 ? " and others" : "") came later"
    }

    /// The decision of an operator who names the image: every host of the fleet, without rules. A hidden image is as good as any other here.
    public static func byHand(_ image: ImageFacts, fleet: Fleet) -> Decision {
        if let refusal = refusal(of: image) { return Decision(image: image, refusal: refusal) }
        let placements = fleet.hosts.map { host in
            Placement(
                image: image.id, site: host.site, role: host.role, host: host.name, rule: byHandName, reasons: ["named by hand"])
        }
        return Decision(image: image, placements: placements.sorted { ($0.site, $0.host) < ($1.site, $1.host) })
    }

    /// The rule name of placements that an operator asked for; no rule may take it.
    static let byHandName = "by hand"

    private static func refusal(of image: ImageFacts) -> String? {
        image.status == .active ? nil : "image is \(image.status.rawValue); only active images are cached"
    }
}

/// Which rules want the image on which hosts, gathered in evaluation order.
private struct Wants {
    private let fleet: Fleet
    /// Index of a site's first host in `first`.
    private var offsets: [Int] = []
    /// The first rule that wants each host, or -1. Nothing is allocated until some rule matches.
    private var first: [Int] = []
    /// The rules after the first, where there are any.
    private var more: [Int: [Int]] = [:]

    init(fleet: Fleet) { self.fleet = fleet }

    /// Number of hosts that the rule wants.
    mutating func add(_ rule: Rule, at index: Int, _ bindings: [Binding]) -> Int {
        if offsets.isEmpty { prepare() }
        var count = 0
        for binding in bindings.isEmpty ? [Binding()] : bindings {
            rule.targets.forEachHost(in: fleet, binding) { site, host in
                let slot = offsets[site] + host
                if first[slot] < 0 {
                    first[slot] = index
                    count += 1
                } else if first[slot] != index, more[slot]?.last != index {
                    more[slot, default: []].append(index)
                    count += 1
                }
            }
        }
        return count
    }

    func placements(of image: ImageID, by rules: [Rule], _ reasons: [Int: [String]]) -> [Placement] {
        guard !offsets.isEmpty else { return [] }
        var placements: [Placement] = []
        placements.reserveCapacity(first.reduce(0) { $0 + ($1 < 0 ? 0 : 1) })
        // What is said of a host is mostly said of the one before it: with many hosts, saying it anew is what takes the time.
        var said: (wants: [Int], placement: Placement)?
        for (site, offset) in zip(fleet.sites, offsets) {
            let start = placements.count
            var areInOrder = true
            for index in site.hosts.indices where first[offset + index] >= 0 {
                let (leader, others) = (first[offset + index], more.isEmpty ? nil : more[offset + index])
                if said?.wants.first != leader || !(said?.wants.dropFirst().elementsEqual(others ?? []) ?? false) {
                    let wants = [leader] + (others ?? [])
                    let winner = wants.first { rules[$0].mode == .enforce } ?? leader
                    said = (wants, Self.placement(of: image, by: winner, of: wants, rules, reasons[winner] ?? []))
                }
                guard let placement = said?.placement else { continue }
                placements.append(placement)
                let last = placements.count - 1
                placements[last].site = site.name
                placements[last].role = site.hosts[index].role
                placements[last].host = site.hosts[index].name
                if last > start, placements[last - 1].host > placements[last].host { areInOrder = false }
            }
            if !areInOrder { placements[start...].sort { $0.host < $1.host } }
        }
        return placements
    }

    /// But for the host.
    private static func placement(of image: ImageID, by winner: Int, of wants: [Int], _ rules: [Rule], _ reasons: [String]) -> Placement {
        let rule = rules[winner]
        return Placement(
            image: image, site: "", role: "", host: "", rule: rule.name, alsoWantedBy: wants.filter { $0 != winner }.map { rules[$0].name },
            mode: rule.mode, priority: rule.priority, deliver: rule.deliver, ttlSeconds: rule.ttlSeconds, reasons: reasons)
    }

    private mutating func prepare() {
        var count = 0
        for site in fleet.sites {
            offsets.append(count)
            count += site.hosts.count
        }
        first = Array(repeating: -1, count: count)
    }
}
