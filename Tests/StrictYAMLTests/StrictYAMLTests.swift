import StrictYAML
import Testing

@Suite struct StrictYAMLTests {
    private func read(_ text: String) -> (Value?, [String]) {
        var problems = Problems()
        let value = Value.parse(text, file: "f.yaml", problems: &problems)
        return (value, problems.list.map(\.description))
    }

    @Test func unknownKeyHasItsPlaceAndTheNearestKnownKey() throws {
        var problems = Problems()
        let value = try #require(Value.parse("user: a\nprot: 22\n", file: "f.yaml", problems: &problems))
        var mapping = try #require(Mapping(value, "ssh", &problems))
        #expect(mapping.take("user")?.string("user", &problems) == "a")
        #expect(mapping.take("port") == nil)
        mapping.finish(&problems)
        #expect(problems.list.map(\.description) == ["f.yaml:2:1: unknown key 'prot' in ssh; did you mean 'port'?"])
    }

    @Test func aKeyGivenTwiceIsAProblem() {
        let (value, problems) = read("a: 1\na: 2\n")
        #expect(value == nil)
        #expect(problems.first?.contains("key given twice: 'a'") == true)
    }

    @Test func brokenYAMLNamesItsLine() {
        let (value, problems) = read("a: 1\nb: [1, 2\n")
        #expect(value == nil)
        #expect(problems.first?.hasPrefix("f.yaml:3:") == true)
    }

    @Test(arguments: [("10m", 600), ("90s", 90), ("24h", 86400), ("30d", 2_592_000), ("60", 60), ("1.5h", 5400)])
    func durations(text: String, seconds: Int) {
        var problems = Problems()
        #expect(Value.parse(text, file: "f", problems: &problems)?.seconds("x", &problems) == seconds)
        #expect(problems.isEmpty)
    }

    @Test(arguments: [("20GiB", 20 << 30), ("50MiB", 50 << 20), ("4096", 4096), ("1B", 1)])
    func sizes(text: String, bytes: Int64) {
        var problems = Problems()
        #expect(Value.parse(text, file: "f", problems: &problems)?.bytes("x", &problems) == bytes)
        #expect(problems.isEmpty)
    }

    @Test(arguments: ["-5m", "fast", "1e400d", "nan", "[1]", "9999999999999999999GiB"])
    func nonsenseQuantitiesAreProblems(text: String) {
        var problems = Problems()
        let value = Value.parse(text, file: "f", problems: &problems)
        #expect(value?.seconds("x", &problems) == nil)
        #expect(value?.bytes("x", &problems) == nil)
        #expect(problems.list.count == 2)
    }

    @Test func hostileNestingAndAliasesAreRefusedNotObeyed() {
        #expect(read(String(repeating: "[", count: 100_000)).1.first?.contains("nested deeper") == true)
        #expect(read(String(repeating: "[", count: 200) + String(repeating: "]", count: 200)).1.first?.contains("nested deeper") == true)
        var laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            laughs += "a\(level): &a\(level) [\(Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", "))]\n"
        }
        #expect(read(laughs).1.first?.contains("aliases included") == true)
    }

    @Test func quotedWordsAreNeverBooleansOrNull() {
        var problems = Problems()
        #expect(Value.parse("'null'", file: "f", problems: &problems)?.string("x", &problems) == "null")
        #expect(Value.parse("\"true\"", file: "f", problems: &problems)?.bool("x", &problems) == nil)
        #expect(problems.list.count == 1)
    }
}
