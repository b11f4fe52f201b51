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

    /// The parser's own descriptions quote the line. Columns count characters, as everywhere; accents that stand alone are such.
    @Test(arguments: [
        ("a: é\u{301}日👩‍👩‍👧\nurl: 'rabbit://u:s3cret\u{1b}@h/'\n", "f.yaml:2:24: control characters are not allowed; take the character out"),
        ("\u{1}s3cret: 1\n", "f.yaml:1:1: control characters are not allowed; take the character out"),
        ("a: 1\r\nb: é s3cret\u{7f}\r\n", "f.yaml:2:12: control characters are not allowed; take the character out"),
        ("a: s3cret: 1\n", "f.yaml:1:10: mapping values are not allowed in this context"),
        ("a: [s3cret\n", "f.yaml:2:1: while parsing a flow sequence in line 1, column 4 did not find expected ',' or ']'"),
        ("a: *s3cret\n", "f.yaml:1:4: found undefined alias"),
    ])
    func noTextOfTheFileIsInAProblemOfTheParser(text: String, problem: String) { #expect(read(text).1 == [problem]) }

    @Test func messagesShowNoLoginAndNoControlCharacters() throws {
        var problems = Problems()
        for text in ["rabbit://u:s3cret@h/", "\"x\\e[31m\"", "{ 'rabbit://u:s3cret@h/': 1 }"] {
            let value = try #require(Value.parse(text, file: "f", problems: &problems))
            #expect(value.integer("x", in: 0...1, &problems) == nil)
            Mapping(value, "a rule", &problems)?.finish(&problems)
        }
        #expect(
            problems.list.map(\.message) == [
                "x must be a whole number from 0 to 1, not 'rabbit://…'", "a rule must be a mapping of keys and values, not 'rabbit://…'",
                "x must be a whole number from 0 to 1, not 'x\u{FFFD}[31m'",
                "a rule must be a mapping of keys and values, not 'x\u{FFFD}[31m'",
                "x must be a whole number from 0 to 1, not a mapping", "unknown key 'rabbit://…' in a rule; known are ",
            ])
    }

    /// Also where what stands before a login is neither short nor clean.
    @Test func messagesAreCutAndCleanWhateverStandsBeforeALogin() throws {
        var problems = Problems()
        let long = String(repeating: "a", count: 100)
        for text in ["\"\\e[31m://u:s3cret@h/\"", "\(long)://u:s3cret@h/"] {
            _ = try #require(Value.parse(text, file: "f", problems: &problems)).bool("x", &problems)
        }
        let shown = ["\u{FFFD}[31m://…", String(long.prefix(60))]
        #expect(problems.list.map(\.message).map { $0.split(separator: "'")[1] } == shown.map { $0[...] })
    }

    @Test func emptyTextIsNoText() throws {
        var problems = Problems()
        let value = try #require(Value.parse("['', '']", file: "f", problems: &problems))
        let empty = try #require(value.sequence("x", &problems)?.first)
        #expect(empty.string("x", &problems) == nil && empty.strings("y", &problems) == nil)
        #expect(value.strings("z", &problems) == [])
        #expect(
            problems.list.map(\.message) == ["x must not be empty", "y must not be empty"] + [
                "each of z must not be empty", "each of z must not be empty",
            ])
        #expect(empty.string("x", mayBeEmpty: true, &problems) == "")
    }

    @Test(arguments: [
        ("10m", 600), ("90s", 90), ("24h", 86400), ("30d", 2_592_000), ("60", 60), ("1.5h", 5400), ("5 d", 432_000), ("'60 '", 60),
    ])
    func durations(text: String, seconds: Int) {
        var problems = Problems()
        #expect(Value.parse(text, file: "f", problems: &problems)?.seconds("x", &problems) == seconds)
        #expect(problems.isEmpty)
    }

    @Test(arguments: [("20GiB", 20 << 30), ("50MiB", 50 << 20), ("4096", 4096), ("1B", 1), ("20 GiB", 20 << 30)])
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
        #expect(problems.list.map(\.message) == ["x must be true or false, not 'true' in quotes; write it without them"])
    }
}
