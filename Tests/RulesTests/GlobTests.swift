import Testing

@testable import Rules

@Suite struct GlobTests {
    private func steps(_ pattern: String, _ text: String) throws -> (matched: Bool, steps: Int) {
        var steps = 0
        let glob = try Glob(pattern)
        let matched = glob.captures.isEmpty ? glob.matches(Subject(text), steps: &steps) : glob.capture(Subject(text), steps: &steps) != nil
        return (matched, steps)
    }

    @Test(arguments: [
        ("golden", "golden", true), ("golden", "goldenish", false), ("golden", "Golden", false), ("*", "", true), ("*", "anything", true),
        ("ubuntu-*", "ubuntu-", true), ("*-test", "x-test", true), ("*-test", "x-test-2", false), ("a*b*c", "a1b2c", true),
        ("a*b*c", "acb", false), ("a*a", "a", false), ("?", "x", true), ("?", "", false), ("v[12]", "v2", true), ("v[12]", "v3", false),
        ("v[0-9]x", "v7x", true), ("v[!0-9]x", "v7x", false), ("v[^0-9]x", "vax", true), ("[]a]", "]", true), ("[*]", "*", true),
        ("[*]", "a", false), ("[a-]", "-", true), ("{}", "{}", true), ("a{B}", "a{B}", true), ("**a**", "bab", true), ("*ab", "aab", true),
        ("*.[qr]*", "x.raw", true), ("a[\\]b", "a\\b", true), ("[{]{}", "{{}", true), ("[[a]:]", "[:]", true), ("{A}b,c", "{A}b,c", true),
    ])
    func wholeTexts(pattern: String, text: String, matches: Bool) throws {
        #expect(try steps(pattern, text).matched == matches)
    }

    @Test(arguments: [
        ("caf?", "café", true), ("caf\u{e9}", "cafe\u{301}", true), ("?", "👩‍👩‍👧‍👦", true), ("日本*", "日本語", true), ("[é-ö]", "ö", true),
        ("x?", "x\u{e9}", true),
        ("é*", "e", false), ("*", "\u{0}\u{202e}", true), ("?", "\r\n", true), ("a*b", "aéb", true),
    ])
    func textsThatAreNotASCIIAreComparedByCharacter(pattern: String, text: String, matches: Bool) throws {
        #expect(try steps(pattern, text).matched == matches)
    }

    @Test func hostileTextsTakeFewSteps() throws {
        let text = String(repeating: "a", count: 4096)
        #expect(try !steps("*a*a*a*a*b", text).matched)
        #expect(try steps("*a*a*a*a*b", text).steps < 4 * 4096)
        let stars = String(repeating: "*a", count: 249) + "b"
        #expect(try steps(stars, text).steps < 4 * 4096)
        #expect(try steps("*" + String(repeating: "a", count: 100) + "b", text).steps < 102 * 4096)
        let short = String(repeating: "a", count: 255)
        #expect(try steps("*a*a*-{site}-{role}:*a*b", short).steps < 10 * 255)
        let dashes = String(repeating: "a-", count: 127)
        #expect(try steps("*a*a-{site}-{role}-:*a*b", dashes).steps < 255 * 255)
        #expect(try steps("*a*a*a*a*a-{site}-a-{role}-a*a*a*b", dashes).steps < 255 * 255)
    }

    @Test(arguments: [
        ("precache:{site}", "precache:dcn1", "dcn1", nil), ("precache:{site}", "precache:", nil, nil),
        ("precache:{site}", "precache:a b", nil, nil),
        ("precache:{site}", "precache:dcn1\n", nil, nil), ("{site}", "a.b_c-9", "a.b_c-9", nil),
        ("{site}:{role}", "dcn1:Compute", "dcn1", "Compute"),
        ("{site}-{role}", "a-b-c", "a", "b-c"), ("golden-{site}-x*", "golden-a-b-x9", "a-b", nil), ("é:{site}", "é:dcn1", "dcn1", nil),
        ("*:{site}", "a:b:dcn1", "dcn1", nil),
    ])
    func captures(pattern: String, text: String, site: String?, role: String?) throws {
        var steps = 0
        let binding = try Glob(pattern).capture(Subject(text), steps: &steps)
        #expect(binding?.site == site)
        #expect(binding?.role == role)
    }

    @Test(arguments: [
        ("", "is empty"), ("[ab", "has a '[' without its ']'; write [[] for a literal '['"),
        ("[b-a]", "has the range 'b-a', which is backwards"),
        ("{sites}", "has '{sites}', but only {site} and {role} are known; did you mean '{site}'?"),
        ("{site}:{site}", "has '{site}' twice"),
        ("{site}*", "has '{site}' beside a wildcard, so nobody can tell where the name ends; put a fixed text between them"),
        (String(repeating: "a", count: 501), "is longer than 500 characters"),
        ("v[[:digit:]]", "has '[:' inside […], but no class is known by name; write the characters, such as [0-9] or [a-z]"),
        ("{rhel,ubuntu}-*", "has '{rhel,ubuntu}', but there are no alternatives in braces; write a list of globs"),
        ("x:{{site}}", "has '{{'; write {site} or {role}, and [{] for a literal '{'"),
        ("a\\*", "has a '\\', which escapes nothing; write [*] for a literal '*' and [\\] for a literal '\\'"),
        ("v[\\d]", "has a '\\' among others in […], which escapes nothing; write [\\] for a literal '\\'"),
        ("golden\n", "has a control character, such as the line break that a YAML block ends with; write the text on one line"),
    ])
    func badPatterns(pattern: String, message: String) {
        #expect(throws: PatternError(message)) { try Glob(pattern) }
    }
}
