import ForecacheModel
import StrictYAML
import Testing

@testable import Rules

/// Files that are wrong: every problem with its place, and all of them at once.
@Suite struct RuleReaderTests {
    @Test(arguments: [
        ("{}", "r.yaml:4:12: match is empty; write 'always: true' where every image is meant"),
        ("", "r.yaml:3:5: a rule needs the key 'match'"),
        ("golden", "r.yaml:4:12: match must be a mapping with one condition, not 'golden'"),
        ("[{tag: a}]", "r.yaml:4:12: match must be a mapping with one condition, not a list"),
        (
            "{tag: a, name: b}",
            "r.yaml:4:21: match holds 2 conditions (tag, name) where one belongs; put them in a list under 'all' or 'any'"
        ),
        ("{tagg: a}", "r.yaml:4:13: unknown condition 'tagg'; did you mean 'tag'?"),
        ("{tag: }", "r.yaml:4:13: condition 'tag' has no value"),
        ("{all: []}", "r.yaml:4:18: 'all' is an empty list; give it at least one condition"),
        ("{any: {tag: a}}", "r.yaml:4:18: any must be a list, not a mapping"),
        ("{all: [{}]}", "r.yaml:4:19: each item of 'all' is empty; write 'always: true' where every image is meant"),
        ("{all: [tag]}", "r.yaml:4:19: each item of 'all' must be a mapping with one condition, not 'tag'"),
        ("{not: {}}", "r.yaml:4:18: not is empty; write 'always: true' where every image is meant"),
        ("{not: [{tag: a}]}", "r.yaml:4:18: not must be a mapping with one condition, not a list"),
        ("{always: false}", "r.yaml:4:21: always can only be true; take the rule out to match nothing"),
        ("{always: 1}", "r.yaml:4:21: always must be true or false, not '1'"),
        ("{tag: []}", "r.yaml:4:18: tag is an empty list, which would match nothing"),
        ("{tag: ''}", "r.yaml:4:18: each of tag must not be empty"),
        ("{tag: [[a]]}", "r.yaml:4:19: each of tag must be text, not a list"),
        (
            "{tag: {regx: a}}",
            "r.yaml:4:18: a pattern of tag needs the key 'regex'\nr.yaml:4:19: unknown key 'regx' in a pattern of tag; did you mean 'regex'?"
        ),
        ("{name: {regex: '('}}", "r.yaml:4:27: regex '(' of name has a '(' without its ')'"),
        ("{name: '[a'}", "r.yaml:4:19: glob '[a' of name has a '[' without its ']'; write [[] for a literal '['"),
        (
            "{visibility: pubic}",
            "r.yaml:4:25: visibility must be one of public, private, shared, community, not 'pubic'; did you mean 'public'?"
        ),
        (
            "{status: done}",
            "r.yaml:4:21: status must be one of queued, saving, uploading, importing, active, deactivated, killed, deleted, pending_delete, not 'done'"
        ),
        ("{id: ubuntu}", "r.yaml:4:17: id 'ubuntu' is not an image id (a UUID in lower case)"),
        ("{min_size: big}", "r.yaml:4:23: min_size must be a size such as 20GiB, 50MiB or 4096, not 'big'"),
        ("{created_within: soon}", "r.yaml:4:29: created_within must be a duration such as 90s, 10m, 24h or 30d, not 'soon'"),
        ("{hidden: maybe}", "r.yaml:4:21: hidden must be true or false, not 'maybe'"),
        ("{property: {}}", "r.yaml:4:23: property is empty; name at least one property"),
        ("{property: os}", "r.yaml:4:23: property must be a mapping of property names, not 'os'"),
        ("{property: {a: }}", "r.yaml:4:24: property 'a' has no value; write {exists: true} where any value will do"),
        ("{property: {a: {}}}", "r.yaml:4:27: property 'a' needs an operator: exists, eq, in, glob, regex, min, max or version"),
        ("{property: {a: {eg: b}}}", "r.yaml:4:28: unknown key 'eg' in property 'a'; did you mean 'eq'?"),
        ("{property: {a: {min: x}}}", "r.yaml:4:33: min must be a number, not 'x'"),
        ("{property: {a: {min: 0, max: }}}", "r.yaml:4:36: operator 'max' of property 'a' has no value"),
        ("{property: {a: {in: []}}}", "r.yaml:4:32: in is an empty list; give it at least one value"),
        (
            "{property: {a: {version: 'new'}}}",
            "r.yaml:4:37: version 'new' of property 'a' must be comparisons such as \">=22.04\" or \">=22.04, <24\""
        ),
        (
            "{property: {a: {version: '>1,'}}}",
            "r.yaml:4:37: version '>1,' of property 'a' must be comparisons such as \">=22.04\" or \">=22.04, <24\""
        ),
        (
            "{property: {a: {version: '>=22.x'}}}",
            "r.yaml:4:37: version '>=22.x' of property 'a' has a part that stands for any number; write both ends, such as \">=22, <23\""
        ),
        (
            "{property: {a: {version: '<24*'}}}",
            "r.yaml:4:37: version '<24*' of property 'a' must be comparisons such as \">=22.04\" or \">=22.04, <24\""
        ),
        (
            "{property: {a: {version: '>=22.04 || >=24'}}}",
            "r.yaml:4:37: version '>=22.04 || >=24' of property 'a' must be comparisons such as \">=22.04\" or \">=22.04, <24\""
        ),
        (
            "{property: {disk_format: raw}}",
            "r.yaml:4:24: 'disk_format' is an attribute of every image, not a property; write 'disk_format: …'"
        ),
        ("{property: {os_hidden: 'true'}}", "r.yaml:4:24: 'os_hidden' is an attribute of every image, not a property; write 'hidden: …'"),
        ("{property: {checksum: x}}", "r.yaml:4:24: 'checksum' is an attribute of every image, not a property; rules cannot go by it"),
        ("{property: {a: {in: ['']}}}", "r.yaml:4:33: each of in must not be empty"),
        (
            "{owner: '{site}'}",
            "r.yaml:4:20: glob '{site}' of owner has {site}, but names are captured from tag, name, role and property only"
        ),
        ("{not: {tag: 'x:{site}'}}", "r.yaml:4:24: glob 'x:{site}' of tag has {site}, but nothing is captured under 'not'"),
        ("{tag: 'x:{site}'}", "r.yaml:3:5: match captures {site} but targets do not use it; add it to targets or write '*' in match"),
    ])
    func badMatch(match: String, problem: String) {
        #expect(Fixtures.problems(Fixtures.file(match: match)) == problem.split(separator: "\n").map(String.init))
    }

    @Test(arguments: [
        ("targets: {sites: []}", "r.yaml:5:22: targets.sites is an empty list; give it at least one value"),
        ("targets: {sites: }", "r.yaml:5:15: key 'sites' in targets has no value; give one or leave the key out"),
        ("targets:", "r.yaml:5:5: key 'targets' in a rule has no value; give one or leave the key out"),
        ("targets: {site: a}", "r.yaml:5:15: unknown key 'site' in targets; did you mean 'sites'?"),
        ("targets: {sites: '{site}'}", "r.yaml:5:14: targets use {site} but no condition of match captures it"),
        (
            "targets: {roles: ['{rol}']}",
            "r.yaml:5:23: glob '{rol}' of targets.roles has '{rol}', but only {site} and {role} are known; did you mean '{role}'?"
        ),
        ("mode: dryrun", "r.yaml:5:11: mode must be one of enforce, dry-run, not 'dryrun'; did you mean 'dry-run'?"),
        ("priority: 101", "r.yaml:5:15: priority must be a whole number from 0 to 100, not '101'"),
        ("ttl: 0", "r.yaml:5:10: ttl must be at least 1s"),
        ("ttl: long", "r.yaml:5:10: ttl must be a duration such as 90s, 10m, 24h or 30d, not 'long'"),
        (
            "deliver: {via: prxy}",
            "r.yaml:5:20: deliver.via must be one of direct, proxy, relay, nova-api, not 'prxy'; did you mean 'proxy'?"
        ),
        (
            "deliver: {rate_limit: fast}",
            "r.yaml:5:27: deliver.rate_limit must be a rate of more than 0 such as 20MiB/s or 500KiB/s, not 'fast'"
        ),
        ("deliver: {rate_limit: 0}", "r.yaml:5:27: deliver.rate_limit must be a rate of more than 0 such as 20MiB/s or 500KiB/s, not '0'"),
        (
            "deliver: {window: at night}",
            "r.yaml:5:23: deliver.window must be a window such as \"01:00-05:00 Europe/Berlin\" (UTC without a zone), not 'at night'"
        ),
        (
            "deliver: {window: 01:00-05:00 Europe/Berlyn}",
            "r.yaml:5:23: deliver.window names the time zone 'Europe/Berlyn', which the time zone database has not; write one like Europe/London"
        ),
        ("deliver: {max_size: 0}", "r.yaml:5:25: deliver.max_size must be more than 0, or no image would do"),
        ("deliver: {fan_out: 17}", "r.yaml:5:24: deliver.fan_out must be a whole number from 1 to 16, not '17'"),
        ("deliver: {streams: 0}", "r.yaml:5:24: deliver.streams must be a whole number from 1 to 16, not '0'"),
        ("deliver: {source: swift}", "r.yaml:5:23: deliver.source must be one of glance, controller, not 'swift'"),
        ("deliver: {vai: relay}", "r.yaml:5:15: unknown key 'vai' in deliver; did you mean 'via'?"),
        ("for: 0", "r.yaml:5:10: for must be at least 1s"),
        ("select: {}", "r.yaml:5:13: select needs the key 'newest'"),
        ("select: {newest: 0}", "r.yaml:5:22: select.newest must be a whole number from 1 to 1000, not '0'"),
        (
            "select: {newest: 1, group_by: nam}",
            "r.yaml:5:35: select.group_by must be one of name, visibility, owner, disk_format, container_format, role or {property: NAME}, not 'nam'; did you mean 'name'?"
        ),
        ("select: {newest: 1, group_by: []}", "r.yaml:5:35: select.group_by is an empty list; leave it out where all images are one group"),
        ("select: {newest: 1, group_by: }", "r.yaml:5:25: key 'group_by' in select has no value; give one or leave the key out"),
        ("select: {newest: 1, order_by: }", "r.yaml:5:25: key 'order_by' in select has no value; give one or leave the key out"),
        (
            "select: {newest: 1, order_by: {property: updated_at}}",
            "r.yaml:5:46: 'updated_at' is an attribute of every image, not a property; write one of created_at, updated_at, or the name of a property"
        ),
        (
            "select: {newest: 1, order_by: age}",
            "r.yaml:5:35: select.order_by must be one of created_at, updated_at or {property: NAME}, not 'age'"
        ),
        ("prio: 1", "r.yaml:5:5: unknown key 'prio' in a rule; known are deliver, for, match, mode, name, priority, select, targets, ttl"),
    ])
    func badRule(line: String, problem: String) {
        #expect(Fixtures.problems(Fixtures.file(match: "{tag: a}", line)) == [problem])
    }

    @Test(arguments: [
        ("", "r.yaml:1:1: a rule file must be a mapping of keys and values, not nothing"),
        ("[]", "r.yaml:1:1: a rule file must be a mapping of keys and values, not a list"),
        ("apiVersion: forecache/v1", "r.yaml:1:1: a rule file needs the key 'rules'"),
        ("apiVersion: forecache/v2\nrules: []", "r.yaml:1:13: apiVersion must be 'forecache/v1', not 'forecache/v2'"),
        ("rules: []", "r.yaml:1:1: a rule file needs the key 'apiVersion'"),
        ("apiVersion: forecache/v1\nrules: [golden]", "r.yaml:2:9: a rule must be a mapping of keys and values, not 'golden'"),
        (
            "apiVersion: forecache/v1\nrules: [{name: by hand, match: {always: true}}]",
            "r.yaml:2:16: the name 'by hand' is taken: it marks what an operator caches without a rule"
        ),
        (
            "apiVersion: forecache/v1\nrules: [{name: \"a\\eb\", match: {always: true}}]",
            "r.yaml:2:16: a rule's name must have 1 to 100 printable characters"
        ),
    ])
    func badFile(text: String, problem: String) {
        #expect(Fixtures.problems(text) == [problem])
    }

    @Test func allProblemsOfAllFilesComeAtOnce() {
        let first = """
            apiVersion: forecache/v1
            rules:
              - name: a
                match: { all: [ { tagg: x }, { min_size: big }, {} ] }
                mode: dry
              - match: { tag: x, nmae: y }
                targets: { sites: [ "[" ] }
              - name: ok
                match: { tag: x }
            """
        let second = """
            apiVersion: forecache/v1
            rules:
              - name: ok
                match: { tag: y }
                ttl: x
            """
        let (rules, problems) = RuleSet.parse([
            (path: "a.yaml", text: first), (path: "b.yaml", text: second), (path: "c.yaml", text: "a: b: c"),
        ])
        #expect(rules.rules.map(\.name) == ["ok"])
        #expect(
            problems.description == """
                a.yaml:4:23: unknown condition 'tagg'; did you mean 'tag'?
                a.yaml:4:46: min_size must be a size such as 20GiB, 50MiB or 4096, not 'big'
                a.yaml:4:53: each item of 'all' is empty; write 'always: true' where every image is meant
                a.yaml:5:11: mode must be one of enforce, dry-run, not 'dry'
                a.yaml:6:5: a rule needs the key 'name'
                a.yaml:6:22: match holds 2 conditions (tag, nmae) where one belongs; put them in a list under 'all' or 'any'
                a.yaml:6:22: unknown condition 'nmae'; did you mean 'name'?
                a.yaml:7:25: glob '[' of targets.sites has a '[' without its ']'; write [[] for a literal '['
                b.yaml:3:11: rule name 'ok' is used already at a.yaml:8:11
                b.yaml:5:10: ttl must be a duration such as 90s, 10m, 24h or 30d, not 'x'
                c.yaml:1:5: mapping values are not allowed in this context
                """)
    }

    @Test func whatIsLeftOutHasItsDefault() throws {
        let rule = try #require(Fixtures.rules(Fixtures.file(match: "{tag: a}")).rules.first)
        #expect(rule.mode == .enforce)
        #expect(rule.priority == 50)
        #expect(rule.deliver.via == nil)
        #expect(rule.ttlSeconds == nil)
    }

    @Test func evaluationOrderIsPriorityThenFileOrder() {
        let file = """
            apiVersion: forecache/v1
            rules:
              - { name: a, match: { always: true } }
              - { name: b, match: { always: true }, priority: 70 }
              - { name: c, match: { always: true } }
            """
        let last = "apiVersion: forecache/v1\nrules: [{ name: d, match: { always: true }, priority: 70 }]"
        #expect(Fixtures.rules(file, last).rules.map(\.name) == ["b", "d", "a", "c"])
    }
}
