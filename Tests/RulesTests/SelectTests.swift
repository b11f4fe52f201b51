import ForecacheModel
import ForecacheTestSupport
import Foundation
import Testing

@testable import Rules

/// `select:` and `for:`: which of the images that match are wanted, and for how long.
@Suite struct SelectTests {
    private static func image(
        _ number: Int, _ name: String = "", day: Double = 0, properties: [String: String] = [:], status: ImageStatus = .active
    ) throws -> ImageFacts {
        let id = try #require(ImageID("00000000-0000-4000-8000-00000000000\(number)"))
        return ImageFacts(
            id: id, name: name.isEmpty ? "image-\(number)" : name, status: status, visibility: "public", properties: properties,
            createdAt: Fixtures.now.addingTimeInterval(day * 86400))
    }

    /// Numbers of the images that are wanted somewhere.
    private func wanted(_ select: String, _ images: [ImageFacts], match: String = "{always: true}") -> [Int] {
        let rules = Fixtures.rules(Fixtures.file(match: match, "select: \(select)"))
        let rivals = Rivals(rules, among: images, now: Fixtures.now)
        return images.indices.filter {
            !rules.decide(images[$0], fleet: Fixtures.fleet, now: Fixtures.now, among: rivals).placements.isEmpty
        }.map { $0 + 1 }
    }

    @Test func theNewestByDate() throws {
        let images = [try Self.image(1, day: -3), try Self.image(2, day: -1), try Self.image(3, day: -2)]
        #expect(wanted("{newest: 1}", images) == [2])
        #expect(wanted("{newest: 2}", images) == [2, 3])
        #expect(wanted("{newest: 9}", images) == [1, 2, 3])
        #expect(wanted("{newest: 1, order_by: updated_at}", images).count == 1)
    }

    @Test func ofEachGroup() throws {
        let images = [
            try Self.image(1, day: -3, properties: ["os_distro": "rhel"]), try Self.image(2, day: -2, properties: ["os_distro": "rhel"]),
            try Self.image(3, day: -9, properties: ["os_distro": "ubuntu"]), try Self.image(4, day: -8), try Self.image(5, day: -7),
        ]
        #expect(wanted("{newest: 1, group_by: {property: os_distro}}", images) == [2, 3, 5])
        #expect(wanted("{newest: 1, group_by: name}", images) == [1, 2, 3, 4, 5])
        #expect(wanted("{newest: 1, group_by: [visibility, {property: os_distro}]}", images) == [2, 3, 5])
    }

    @Test func byVersionNumberByNumber() throws {
        let versions = ["9.4", "10.0", "9.10", "none", ""]
        var images: [ImageFacts] = []
        for (index, version) in versions.enumerated() {
            images.append(try Self.image(index + 1, properties: version.isEmpty ? [:] : ["os_version": version]))
        }
        #expect(wanted("{newest: 1, order_by: {property: os_version}}", images) == [2])
        #expect(wanted("{newest: 2, order_by: {property: os_version}}", images) == [2, 3])
        #expect(wanted("{newest: 3, order_by: {property: os_version}}", images) == [1, 2, 3])
    }

    @Test func onlyImagesThatMatchAndAreActiveCompete() throws {
        let images = [
            try Self.image(1, "keep-1", day: -3), try Self.image(2, "other", day: -1),
            try Self.image(3, "keep-3", day: 0, status: .deactivated),
        ]
        #expect(wanted("{newest: 1}", images, match: "{name: 'keep-*'}") == [1])
    }

    @Test func whoeverFallsOutIsToldWhy() throws {
        let rules = Fixtures.rules(Fixtures.file(match: "{always: true}", "select: {newest: 1, group_by: {property: os_distro}}"))
        let old = try Self.image(1, "old", day: -2, properties: ["os_distro": "rhel"])
        let new = try Self.image(2, "new", day: -1, properties: ["os_distro": "rhel"])
        let rivals = Rivals(rules, among: [old, new], now: Fixtures.now)
        let verdict = rules.explain(old, fleet: Fixtures.fleet, now: Fixtures.now, among: rivals).decision.rules[0]
        #expect(verdict.matched)
        #expect(
            verdict.reasons == [
                "matches every image", "not among the newest of property \"os_distro\" \"rhel\" by created_at: \"new\" came later",
            ])
        let winner = rules.decide(new, fleet: Fixtures.fleet, now: Fixtures.now, among: rivals).rules[0]
        #expect(winner.reasons.contains("among the newest of property \"os_distro\" \"rhel\" by created_at"))
        #expect(winner.placements == 6)
    }

    /// What is told of one image after the other comes to the same as a list of all, and names exactly those that have to be decided again.
    @Test(arguments: 0..<20) func toldOneByOneOrAllAtOnceItIsTheSame(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let rules = Fixtures.rules(
            Fixtures.file(match: "{name: 'k*'}", "select: {newest: 2, group_by: {property: g}}"))
        var known: [ImageID: ImageFacts] = [:]
        var rivals = Rivals(rules, now: Fixtures.now)
        for _ in 0..<60 {
            let number = Int(random.next() % 9) + 1
            let image = try Self.image(
                number, random.next() % 4 == 0 ? "x" : "k", day: -Double(random.next() % 20),
                properties: ["g": random.next() % 2 == 0 ? "a" : "b"],
                status: random.next() % 8 == 0 ? .deactivated : .active)
            let before = Self.winners(rules, known)
            let changed: Set<ImageID>
            if random.next() % 5 == 0 {
                known[image.id] = nil
                changed = rivals.forget(image.id)
            } else {
                known[image.id] = image
                changed = rivals.note(image)
            }
            let after = Self.winners(rules, known)
            #expect(changed == before.symmetricDifference(after).subtracting([image.id]), "seed \(seed)")
            for facts in known.values {
                let isWanted = !rules.decide(facts, fleet: Fixtures.fleet, now: Fixtures.now, among: rivals).placements.isEmpty
                #expect(isWanted == after.contains(facts.id), "seed \(seed)")
            }
        }
    }

    private static func winners(_ rules: RuleSet, _ known: [ImageID: ImageFacts]) -> Set<ImageID> {
        let rivals = Rivals(rules, among: Array(known.values), now: Fixtures.now)
        return Set(
            known.values.filter {
                !rules.decide($0, fleet: Fixtures.fleet, now: Fixtures.now, among: rivals).placements.isEmpty
            }.map(\.id))
    }

    @Test func forEndsAndSaysSo() throws {
        let rules = Fixtures.rules(Fixtures.file(match: "{always: true}", "for: 14d"))
        let image = try Fixtures.image()
        func verdict(_ days: Double?) throws -> RuleVerdict {
            let began = days.map { ["r": Fixtures.now.addingTimeInterval(-$0 * 86400)] } ?? [:]
            return try #require(rules.decide(image, fleet: Fixtures.fleet, now: Fixtures.now, since: began).rules.first)
        }
        #expect(try verdict(nil).placements == 6)
        #expect(try verdict(nil).began == Fixtures.now)
        #expect(try verdict(13.9).placements == 6)
        #expect(try verdict(13.9).reasons[1].hasPrefix("until 2027-01-15T"))
        #expect(try verdict(14).placements == 0)
        #expect(try verdict(20).reasons == ["matches every image", "it was to be kept until 2027-01-09T08:00:00Z"])
    }

    @Test(arguments: [
        ("22.04", "24.04"), ("9", "10"), ("9.4", "9.10"), ("1.0rc1", "1.0"), ("1.0-beta2", "1.0-rc1"), ("v1.2", "1.3"), ("1.0", "1.0.1"),
        ("99999999999999999998", "99999999999999999999"), ("2024-01-31", "2024-02-01"), ("1a", "1"), ("1a", "1a1"), ("1-RC", "1rca"),
        (String(repeating: "9", count: 126), "1" + String(repeating: "0", count: 126)), ("1.0", "1.0.0.1"), ("1.0.a.1", "1.0"),
        (String(repeating: "9", count: 127), "1" + String(repeating: "0", count: 127)),
    ])
    func versionsAreOrdered(lower: String, higher: String) throws {
        let (one, other) = (try #require(Version(lower)), try #require(Version(higher)))
        #expect(one < other)
        #expect(!(other < one))
    }

    @Test func versionsThatAreEqualOrNone() throws {
        #expect(Version("9") == Version("9.0.0"))
        #expect(Version("09.4") == Version("9.04"))
        #expect(Version("v1RC02") == Version("1-rc.2"))
        #expect(Version("0.0") == Version("0"))
        #expect(Version("ubuntu") == nil)
        #expect(Version("") == nil)
    }
}
