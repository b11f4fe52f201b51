import ForecacheModel
import Foundation
import StrictYAML
import Testing

@testable import Rules

/// Each condition: does it hold, and what does it say?
@Suite struct ConditionTests {
    private func verdict(_ match: String, _ image: ImageFacts, _ more: String = "") throws -> RuleVerdict {
        let rules = Fixtures.rules(Fixtures.file(match: match, more))
        return try #require(rules.explain(image, fleet: Fixtures.fleet, now: Fixtures.now).decision.rules.first)
    }

    @Test(arguments: [
        ("{tag: golden}", true, "tag \"golden\" matches glob \"golden\""),
        ("{tag: 'gold*'}", true, "tag \"golden\" matches glob \"gold*\""),
        ("{tag: silver}", false, "no tag matches glob \"silver\""),
        ("{tag: [silver, bronze]}", false, "no tag matches any of glob \"silver\", glob \"bronze\""),
        ("{tag: [silver, {regex: '^go'}]}", true, "tag \"golden\" matches regex \"^go\""),
        ("{name: 'ubuntu-*'}", true, "name \"ubuntu-24.04\" matches glob \"ubuntu-*\""),
        ("{name: 'rhel-*'}", false, "name \"ubuntu-24.04\" does not match glob \"rhel-*\""),
        ("{name: {regex: '24\\.04$'}}", true, "name \"ubuntu-24.04\" matches regex \"24\\.04$\""),
        ("{visibility: [public, shared]}", true, "visibility \"public\" matches glob \"public\""),
        ("{visibility: private}", false, "visibility \"public\" does not match glob \"private\""),
        ("{owner: 9f3a}", true, "owner \"9f3a\" matches glob \"9f3a\""),
        (
            "{id: 07bc2424-753b-4f65-9da5-5a99d8383fe6}", true,
            "id \"07bc2424-753b-4f65-9da5-5a99d8383fe6\" matches glob \"07bc2424-753b-4f65-9da5-5a99d8383fe6\""
        ),
        ("{id: '07bc*'}", true, "id \"07bc2424-753b-4f65-9da5-5a99d8383fe6\" matches glob \"07bc*\""),
        ("{status: active}", true, "status \"active\" matches glob \"active\""),
        ("{disk_format: [raw, qcow2]}", true, "disk_format \"qcow2\" matches glob \"qcow2\""),
        ("{container_format: ovf}", false, "container_format \"bare\" does not match glob \"ovf\""),
        ("{min_size: 500MiB}", true, "size 524288000 is at least 500MiB"),
        ("{min_size: 1GiB}", false, "size 524288000 is less than 1GiB"),
        ("{max_size: 1GiB}", true, "size 524288000 is at most 1GiB"),
        ("{max_size: 4096}", false, "size 524288000 is more than 4096"),
        ("{created_within: 7d}", true, "created 3 days ago, within 7d"),
        ("{created_within: 1h}", false, "created 3 days ago, not within 1h"),
        ("{hidden: false}", true, "image is not hidden"),
        ("{hidden: true}", false, "image is not hidden"),
        ("{role: Compute}", true, "property \"role\" \"Compute\" matches glob \"Compute\""),
        ("{always: true}", true, "matches every image"),
        ("{property: {os_distro: ubuntu}}", true, "property \"os_distro\" \"ubuntu\" matches glob \"ubuntu\""),
        ("{property: {os_distro: [rhel, 'ub*']}}", true, "property \"os_distro\" \"ubuntu\" matches glob \"ub*\""),
        ("{property: {os_distro: {exists: true}}}", true, "image has the property \"os_distro\""),
        ("{property: {os_distro: {exists: false}}}", false, "image has the property \"os_distro\""),
        ("{property: {missing: {exists: false}}}", true, "image has no property \"missing\""),
        ("{property: {missing: '*'}}", false, "image has no property \"missing\""),
        ("{property: {os_distro: {eq: 'ub*'}}}", false, "property \"os_distro\" \"ubuntu\" does not match \"ub*\""),
        ("{property: {os_distro: {in: [ubuntu, rhel]}}}", true, "property \"os_distro\" \"ubuntu\" matches \"ubuntu\""),
        ("{property: {os_distro: {glob: '?buntu'}}}", true, "property \"os_distro\" \"ubuntu\" matches glob \"?buntu\""),
        ("{property: {os_distro: {regex: 'bun'}}}", true, "property \"os_distro\" \"ubuntu\" matches regex \"bun\""),
        ("{property: {cores: {min: 4}}}", true, "property \"cores\" \"8\" is at least 4"),
        ("{property: {cores: {min: 8.5}}}", false, "property \"cores\" \"8\" is less than 8.5"),
        ("{property: {cores: {max: 4}}}", false, "property \"cores\" \"8\" is more than 4"),
        ("{property: {os_distro: {min: 4}}}", false, "property \"os_distro\" \"ubuntu\" is not a number"),
        ("{property: {os_version: {version: '>=22.04'}}}", true, "property \"os_version\" \"24.04.1\" is a version >=22.04"),
        (
            "{property: {os_version: {version: '>=22.04, <24.4'}}}", false,
            "property \"os_version\" \"24.04.1\" is not a version >=22.04, <24.4"
        ),
        ("{property: {os_distro: {version: '>=22.04'}}}", false, "property \"os_distro\" \"ubuntu\" is not a version"),
        ("{property: {missing: {version: '>=22.04'}}}", false, "image has no property \"missing\""),
        ("{not: {name: '*-test'}}", true, "name \"ubuntu-24.04\" does not match glob \"*-test\""),
        ("{not: {name: 'ubuntu-*'}}", false, "name \"ubuntu-24.04\" matches excluded \"ubuntu-*\""),
        ("{not: {tag: gold*}}", false, "tag \"golden\" matches excluded \"gold*\""),
        ("{not: {not: {tag: golden}}}", true, "tag \"golden\" matches glob \"golden\""),
        ("{all: [{tag: golden}, {hidden: false}]}", true, "tag \"golden\" matches glob \"golden\"; image is not hidden"),
        ("{all: [{tag: golden}, {tag: x}, {tag: y}]}", false, "no tag matches glob \"x\""),
        ("{any: [{tag: x}, {tag: golden}]}", true, "tag \"golden\" matches glob \"golden\""),
        ("{any: [{tag: x}, {all: [{tag: y}]}]}", false, "no tag matches glob \"x\"; no tag matches glob \"y\""),
        (
            "{property: {os_distro: ubuntu, cores: {min: 2, max: 16}}}", true,
            "property \"os_distro\" \"ubuntu\" matches glob \"ubuntu\"; property \"cores\" \"8\" is at least 2; property \"cores\" \"8\" is at most 16"
        ),
    ])
    func condition(match: String, matched: Bool, reasons: String) throws {
        let image = try Fixtures.image(
            tags: ["golden", "a"], properties: ["role": "Compute", "os_distro": "ubuntu", "os_version": "24.04.1", "cores": "8"])
        let verdict = try verdict(match, image)
        #expect(verdict.matched == matched)
        #expect(verdict.reasons.joined(separator: "; ") == reasons + (matched ? "; targets every site" : ""))
        #expect(verdict.placements == (matched ? 6 : 0))
        #expect(verdict.line == 3)
        #expect(verdict.file == "rules/0.yaml")
    }

    @Test(arguments: [
        ("{owner: '*'}", "image has no owner"), ("{min_size: 1}", "size is not known"), ("{max_size: 1TiB}", "size is not known"),
        ("{role: '*'}", "image has no property \"role\""), ("{tag: '*'}", "no tag matches glob \"*\""),
    ])
    func whatAnImageDoesNotHaveNeverMatches(match: String, reason: String) throws {
        let verdict = try verdict(match, try Fixtures.image(owner: nil, size: nil))
        #expect(!verdict.matched)
        #expect(verdict.reasons == [reason])
    }

    @Test func createdInTheFutureCountsAsNew() throws {
        #expect(try verdict("{created_within: 1s}", try Fixtures.image(ageDays: -1)).matched)
    }

    @Test func unicodeNamesMatchHoweverTheyAreEncoded() throws {
        let image = try Fixtures.image("cafe\u{301}-日本語")
        #expect(try verdict("{name: 'caf\u{e9}-*'}", image).matched)
        #expect(try verdict("{name: 'café-???'}", image).matched)
        #expect(try verdict("{name: '日本語'}", image).matched == false)
    }

    @Test func reasonsCarryNothingThatATerminalObeys() throws {
        let verdict = try verdict("{name: x}", try Fixtures.image("\u{1b}[2J\n\"\u{202e}evil" + String(repeating: "z", count: 500)))
        #expect(
            verdict.reasons == [
                "name \"\\u{1b}[2J\\u{a}\\\"\\u{202e}evil" + String(repeating: "z", count: 89) + "…\" does not match glob \"x\""
            ])
    }

    @Test func textsThatAreTooLongNeverMatchNotEvenUnderNot() throws {
        let image = try Fixtures.image(properties: ["p": String(repeating: "a", count: 5000)])
        for match in [
            "{property: {p: '*'}}", "{not: {property: {p: evil}}}", "{any: [{property: {p: x}}, {tag: a}]}",
            "{all: [{always: true}, {not: {property: {p: {version: '>1'}}}}]}", "{not: {all: [{always: true}, {property: {p: x}}]}}",
        ] {
            let verdict = try verdict(match, image)
            #expect(!verdict.matched)
            #expect(verdict.reasons.first?.hasSuffix("is longer than 4096 bytes and is not compared") == true)
        }
        #expect(try verdict("{property: {p: {exists: true}}}", image).matched)
        // What does not hang on the text is decided without it.
        #expect(try verdict("{any: [{property: {p: x}}, {always: true}]}", image).matched)
        #expect(try verdict("{not: {all: [{tag: a}, {property: {p: x}}]}}", image).matched)
    }

    @Test(arguments: [
        ("{tag: golden}", false), ("{all: [{tag: golden}, {hidden: true}]}", true), ("{hidden: true}", true), ("{always: true}", false),
        ("{any: [{tag: golden}, {hidden: true}]}", true), ("{not: {hidden: true}}", false), ("{not: {not: {hidden: true}}}", false),
        ("{any: [{hidden: false}, {tag: golden}]}", false), ("{any: [{tag: golden}, {all: [{hidden: true}, {tag: x}]}]}", false),
    ])
    func hiddenImagesNeedARuleThatSaysSo(match: String, matched: Bool) throws {
        let verdict = try verdict(match, try Fixtures.image(hidden: true, tags: ["golden"]))
        #expect(verdict.matched == matched)
    }

    @Test(arguments: [ImageStatus.queued, .saving, .importing, .deactivated, .deleted, .unknown])
    func onlyActiveImagesArePlacedButTheRulesSpeak(status: ImageStatus) throws {
        let image = try Fixtures.image(status: status, tags: ["golden"])
        let rules = Fixtures.rules(Fixtures.file(match: "{always: true}"))
        let refusal = "image is \(status.rawValue); only active images are cached"
        #expect(
            Fixtures.text(rules.decide(image, fleet: Fixtures.fleet, now: Fixtures.now)) == """
                refused: \(refusal)
                + r (0): matches every image; targets every site; \(refusal)
                """)
        #expect(RuleSet.byHand(image, fleet: Fixtures.fleet) == Decision(image: image, refusal: refusal))
    }
}
