import Testing

@testable import Rules

@Suite struct LinearRegexTests {
    private func find(_ pattern: String, _ text: String) throws -> (found: Bool, steps: Int) {
        var steps = 0
        let found = try LinearRegex(pattern).isFound(in: text, steps: &steps)
        return (found, steps)
    }

    @Test(
        arguments: [
            ("abc", "xxabcxx", true), ("^abc$", "abc", true), ("^abc$", "abcd", false), ("a|b|cd", "xcd", true), ("^(a|b)+$", "abba", true),
            ("^(a|b)+$", "abca", false), ("a{2}", "a", false), ("^a{2,3}$", "aaa", true), ("^a{2,3}$", "aaaa", false),
            ("^a{2,}$", "aaaaa", true),
            ("^a?b*c+$", "cc", true), ("colou?r", "color", true), (#"^\d+\.\d+$"#, "24.04", true), (#"\bcat\b"#, "concat", false),
            (#"\bcat\b"#, "a cat!", true), ("^[a-c_-]+$", "a_-b", true), ("^[^a-c]$", "d", true), (#"^[\d.]+$"#, "1.2", true),
            ("^[]x]$", "]", true),
            ("(?i)^UBUNTU", "Ubuntu", true), ("(?i)[^a]", "A", false), ("^.$", "é", true), ("^日.語$", "日本語", true),
            ("^rhel-(8|9)\\.", "rhel-9.4", true),
            ("", "", true), ("a*?b", "aab", true), ("(?:ab)+c", "ababc", true), ("()", "x", true), ("(a*)*b", "aaa", false),
            ("x$|^y", "y1", true),
            (#"\S\s\W"#, "a -", true), ("a.b", "a\nb", false),
        ].filter { !$0.0.isEmpty })
    func searches(pattern: String, text: String, found: Bool) throws {
        #expect(try find(pattern, text).found == found)
    }

    @Test func hostileTextsTakeFewSteps() throws {
        let text = String(repeating: "a", count: 4096)
        for pattern in ["^(a+)+$b", "(a|a)*b", "^a.*a.*a.*a.*a.*b$", "(a*)*b", "(.*)(.*)(.*)(.*)x", "((a{1,9}){1,9}){1,2}b"] {
            let (found, steps) = try find(pattern, text)
            #expect(!found)
            #expect(steps < 4096 * 1000, "\(pattern)")
        }
    }

    @Test(arguments: [
        ("", "is empty"), ("(", "has a '(' without its ')'"), (")", "has a ')' without its '('"), ("[a", "has a '[' without its ']'"),
        ("*a", "has a '*' with nothing to repeat before it"), ("a**", "repeats a repeat or an end of the text; use a group"),
        ("^*", "repeats a repeat or an end of the text; use a group"), ("\\", "ends with a '\\'"), ("\\1", "has the unknown escape '\\1'"),
        ("a{2,1}", "has the repeat '{2,1}', which is backwards or over 500"),
        ("a{x}", "has the repeat '{x}', which is not {n}, {n,} or {n,m}"),
        ("(?=a)", "has a '(?…' group; only (?:…) and a leading (?i) are known, for patterns run in linear time"),
        ("[z-a]", "has a range in […] that is backwards"), ("(a{500}){500}", "repeats too much; lower the counts in {…}"),
        ("(((){500}){500}){500}", "repeats too much; lower the counts in {…}"),
        (String(repeating: "(", count: 200), "has groups nested deeper than 50"),
        (String(repeating: "a", count: 501), "is longer than 500 characters"),
        ("^[[:digit:]]+$", "has '[:' inside […], but no class is known by name; write the characters, such as [0-9] or [a-z]"),
        ("^a$\n", "has a control character, such as the line break that a YAML block ends with; write the text on one line"),
    ])
    func badPatterns(pattern: String, message: String) {
        #expect(throws: PatternError(message)) { try LinearRegex(pattern) }
    }

    @Test func nonsenseNeverCrashes() {
        var seed: UInt64 = 7
        let pieces = ["a", "(", ")", "[", "]", "{", "}", "*", "+", "?", "|", "^", "$", "\\", "d", "-", ",", "1", "é", "(?", "i", "!", "b"]
        for _ in 0..<5000 {
            var pattern = ""
            for _ in 0..<12 {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                pattern += pieces[Int((seed >> 33) % UInt64(pieces.count))]
            }
            var steps = 0
            // A pattern that does not read is what most of these are; only a crash would be wrong.
            _ = try? LinearRegex(pattern).isFound(in: "ab1é-", steps: &steps)
            _ = try? Glob(pattern).matches(Subject("ab1é-"), steps: &steps)
            #expect(steps < 100_000)
        }
    }
}
