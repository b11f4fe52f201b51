import ForecacheModel
import Testing

@testable import Rules

/// Which single change of an image would bring it to where a rule points.
@Suite struct ExplanationTests {
    private func changes(
        _ match: String, _ more: String = "", tags: [String] = [], visibility: String = "public", hidden: Bool = false,
        properties: [String: String] = [:]
    ) throws -> [String] {
        let image = try Fixtures.image(visibility: visibility, hidden: hidden, tags: tags, properties: properties)
        let explanation = Fixtures.rules(Fixtures.file(match: match, more)).explain(image, fleet: Fixtures.fleet, now: Fixtures.now)
        #expect(explanation.changes.count == explanation.decision.rules.count)
        return explanation.changes.flatMap { $0 }
    }

    @Test(arguments: [
        ("{tag: golden}", ["add tag \"golden\""]),
        ("{all: [{tag: golden}, {visibility: public}]}", ["add tag \"golden\""]),
        ("{any: [{tag: golden}, {name: x}]}", ["add tag \"golden\"", "rename it to \"x\""]),
        ("{all: [{tag: golden}, {name: x}]}", []),
        ("{tag: 'gold*'}", ["add a tag that matches glob \"gold*\""]),
        ("{not: {name: 'ubuntu-*'}}", ["rename it to something that does not match glob \"ubuntu-*\""]),
        ("{visibility: [shared, private]}", ["set visibility private"]),
        ("{property: {os_type: linux}}", ["set property \"os_type\" to \"linux\""]),
        ("{property: {os_type: {exists: true}}}", ["set property \"os_type\""]),
        ("{property: {generation: {min: 3}}}", ["set property \"generation\" to 3"]),
        ("{owner: other}", []), ("{min_size: 1TiB}", []), ("{always: true}", []),
        ("{hidden: true}", ["hide the image"]),
    ])
    func aSingleFailingConditionIsNamed(match: String, expected: [String]) throws {
        #expect(try changes(match) == expected)
    }

    @Test func whatExcludesIsTakenAway() throws {
        #expect(try changes("{not: {tag: 'old*'}}", tags: ["old-1", "old-2", "x"]) == ["remove tag \"old-1\", \"old-2\""])
        #expect(try changes("{not: {property: {eol: 'yes'}}}", properties: ["eol": "yes"]) == ["remove property \"eol\""])
        #expect(try changes("{all: [{tag: a}, {visibility: public}]}", tags: ["a"], visibility: "shared") == ["set visibility public"])
    }

    @Test func capturesAreFilledWithNamesOfTheFleet() throws {
        #expect(try changes("{tag: 'precache:{site}'}", "targets: {sites: ['{site}']}") == ["add tag \"precache:dcn1\""])
        #expect(try changes("{role: '{role}'}", "targets: {roles: ['{role}']}") == ["set property \"role\" to \"Compute\""])
    }

    @Test func aHiddenImageIsUnhidden() throws {
        #expect(try changes("{tag: golden}", tags: ["golden"], hidden: true) == ["unhide the image"])
        #expect(try changes("{tag: golden}", hidden: true) == [])
    }

    /// A change that makes its condition hold and breaks another one is not told.
    @Test func aChangeIsTriedBeforeItIsTold() throws {
        #expect(try changes("{all: [{name: x-test}, {not: {name: '*-test'}}]}") == [])
    }
}
