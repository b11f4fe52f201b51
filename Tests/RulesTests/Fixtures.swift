import ForecacheModel
import Foundation
import StrictYAML
import Testing

@testable import Rules

/// Values that the tests of this folder share.
enum Fixtures {
    static let now = Date(timeIntervalSince1970: 1_800_000_000)

    /// dcn1: two hosts of role Compute and one of ComputeGPU; dcn2: two of Compute; edge-3: one of ComputeGPU.
    static let fleet = Fleet(sites: [
        site("dcn2", [("dcn2-compute-0", "Compute"), ("dcn2-compute-1", "Compute")]),
        site("dcn1", [("dcn1-compute-0", "Compute"), ("dcn1-compute-1", "Compute"), ("dcn1-gpu-0", "ComputeGPU")]),
        site("edge-3", [("edge-3-gpu-0", "ComputeGPU")]),
    ])

    private static func site(_ name: String, _ hosts: [(String, String)]) -> Site {
        Site(
            name: SiteName(name),
            hosts: hosts.map { Host(name: HostName($0.0), site: SiteName(name), role: RoleName($0.1), address: "192.0.2.1") })
    }

    static func image(
        _ name: String = "ubuntu-24.04", status: ImageStatus = .active, visibility: String = "public", owner: String? = "9f3a",
        size: Int64? = 500 << 20, hidden: Bool = false, tags: [String] = [], properties: [String: String] = [:], ageDays: Double = 3
    ) throws -> ImageFacts {
        ImageFacts(
            id: try #require(ImageID("07bc2424-753b-4f65-9da5-5a99d8383fe6")), name: name, status: status, visibility: visibility,
            owner: owner,
            sizeBytes: size, isHidden: hidden, tags: tags, properties: properties, createdAt: now.addingTimeInterval(-ageDays * 86400))
    }

    /// Reads rules that must be right.
    static func rules(_ texts: String..., sourceLocation: SourceLocation = #_sourceLocation) -> RuleSet {
        let (rules, problems) = RuleSet.parse(texts.enumerated().map { (path: "rules/\($0.offset).yaml", text: $0.element) })
        #expect(problems.description == "", sourceLocation: sourceLocation)
        return rules
    }

    /// One rule with this match and what else is given, as a file.
    static func file(match: String, _ more: String = "") -> String {
        "apiVersion: forecache/v1\nrules:\n  - name: r\n    match: \(match)\n\(more.isEmpty ? "" : "    \(more)\n")"
    }

    /// The problems of a file that is wrong, in order of place.
    static func problems(_ text: String, path: String = "r.yaml") -> [String] {
        RuleSet.parse([(path: path, text: text)]).1.list.sorted().map(\.description)
    }

    /// A decision with the verdicts of all rules as text, for golden comparisons.
    static func text(_ rules: RuleSet, on image: ImageFacts, fleet: Fleet = Self.fleet) -> String {
        text(rules.explain(image, fleet: fleet, now: now).decision)
    }

    /// A decision as text.
    static func text(_ decision: Decision) -> String {
        var lines: [String] = []
        if let refusal = decision.refusal { lines.append("refused: \(refusal)") }
        for rule in decision.rules {
            lines.append("\(rule.matched ? "+" : "-") \(rule.rule) (\(rule.placements)): \(rule.reasons.joined(separator: "; "))")
        }
        for placement in decision.placements {
            var line = "\(placement.site) \(placement.role) \(placement.host): \(placement.rule)"
            if !placement.alsoWantedBy.isEmpty { line += ", also \(placement.alsoWantedBy.joined(separator: ", "))" }
            line += ", \(placement.mode.rawValue), priority \(placement.priority)"
            if let via = placement.deliver.via { line += ", via \(via.rawValue)" }
            if let ttl = placement.ttlSeconds { line += ", ttl \(ttl)" }
            lines.append(line)
        }
        return lines.joined(separator: "\n")
    }
}
