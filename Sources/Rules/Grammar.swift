import ForecacheModel

/// Every key of a rule file, and of a rule test file (`TestGrammar.swift`): the JSON Schemas are made of this table, conditions are read by it, and tests hold
/// the readers and `rules/README.md` against it.
enum Grammar {
    struct Key: Sendable {
        let name: String
        let shape: Shape
        let about: String
        /// A value as an operator writes it in flow style.
        let example: String
        var isRequired = false
    }

    /// A mapping with these keys.
    struct Group: Sendable {
        let name: String
        let about: String
        let keys: [Key]
        /// Of a condition: one key at each level.
        var hasExactlyOneKey = false
        var mayBeEmpty = true
        /// Exactly one of these keys, where any are given; and at least one of those.
        var oneOf: [String] = []
        var anyOf: [String] = []
    }

    indirect enum Shape: Sendable {
        /// Not empty.
        case text
        case anyText
        /// Globs, or regular expressions: one or a list of which one must match.
        case patterns
        /// Globs without regular expressions, one or a list.
        case globs
        /// Literal texts, one or a list of at least so many.
        case texts(atLeast: Int)
        case regex
        case version
        case word([String])
        case constant(String)
        case bool
        case always
        case integer(ClosedRange<Int>)
        case number
        case size
        case rate
        case duration
        case window
        case group(String)
        case list(of: Shape, atLeast: Int)
        /// One of the words, or `{property: NAME}`; `isList`: or a list of them.
        case wordOrProperty([String], isList: Bool)
        /// Names of properties with a pattern or operators each.
        case properties
        /// A UUID.
        case id
        /// A time or a day.
        case moment
        /// Any names with values of a shape.
        case named(Shape, atLeast: Int)
        /// `none`, `all`, or something of a shape.
        case noneOrAll(or: [Shape])
    }

    /// The first is the file itself.
    static let groups = [file, rule, match, operators, targets, deliver, select]

    /// Words of Glance.
    static let visibilities = ["public", "private", "shared", "community"]
    static let statuses = ["queued", "saving", "uploading", "importing", "active", "deactivated", "killed", "deleted", "pending_delete"]

    static let file = Group(
        name: "file", about: "A rule file.",
        keys: [
            Key(
                name: "apiVersion", shape: .constant("forecache/v1"), about: "The version of the rule language.", example: "forecache/v1",
                isRequired: true),
            Key(
                name: "rules", shape: .list(of: .group("rule"), atLeast: 0),
                about: "The rules, of which every one is asked about every image.",
                example: "[{name: golden, match: {tag: golden}}]", isRequired: true),
        ])

    static let rule = Group(
        name: "rule", about: "Which images, where to, and how.",
        keys: [
            Key(
                name: "name", shape: .text, about: "Unique over all files; what reports and logs call the rule.", example: "golden",
                isRequired: true),
            Key(
                name: "mode", shape: .word(["enforce", "dry-run"]), about: "dry-run: decided and reported, never done. Default: enforce.",
                example: "dry-run"),
            Key(
                name: "priority", shape: .integer(0...100),
                about:
                    "Higher goes first where links, disks or forks are short, and gives deliver and ttl where several rules want one placement. Default: 50.",
                example: "80"),
            Key(
                name: "match", shape: .group("match"), about: "The condition that an image must meet.", example: "{tag: golden}",
                isRequired: true),
            Key(
                name: "targets", shape: .group("targets"),
                about: "The hosts that get the image: all given lists must hold. Default: every host.",
                example: "{sites: [dcn1]}"),
            Key(
                name: "deliver", shape: .group("deliver"), about: "How the bytes travel; each setting wins over the site's own.",
                example: "{via: relay}"),
            Key(
                name: "ttl", shape: .duration, about: "Refresh ahead of this TTL where it is shorter than the host's own.", example: "30d"),
            Key(
                name: "for", shape: .duration,
                about:
                    "Keeps an image for that long after it began to match; afterwards it is no longer refreshed. Default: as long as it matches.",
                example: "14d"),
            Key(
                name: "select", shape: .group("select"), about: "Only the newest few of the images that match.", example: "{newest: 2}"),
        ])

    static let match = Group(
        name: "match", about: "One condition, or all, any or not of others.",
        keys: [
            Key(
                name: "all", shape: .list(of: .group("match"), atLeast: 1), about: "All of these conditions hold.",
                example: "[{tag: golden}, {visibility: public}]"),
            Key(
                name: "any", shape: .list(of: .group("match"), atLeast: 1), about: "One of these conditions holds.",
                example: "[{tag: golden}, {owner: 9f3a}]"),
            Key(name: "not", shape: .group("match"), about: "The condition does not hold.", example: "{name: '*-test'}"),
            Key(name: "always", shape: .always, about: "Every image.", example: "true"),
            Key(
                name: "tag", shape: .patterns, about: "One of the image's tags. {site} and {role} capture a name for targets.",
                example: "[golden, 'release-*']"),
            Key(name: "name", shape: .patterns, about: "The image's name.", example: "['ubuntu-*', {regex: '^rhel-(8|9)\\.'}]"),
            Key(
                name: "property", shape: .properties, about: "Custom properties; all that are named must hold.",
                example: "{os_distro: ubuntu}"),
            Key(name: "visibility", shape: .patterns, about: "public, private, shared or community.", example: "[public, shared]"),
            Key(name: "owner", shape: .patterns, about: "The project's id.", example: "9f3a21d8e6b7451f8d6c1f2e3a4b5c6d"),
            Key(name: "id", shape: .patterns, about: "The image's id.", example: "07bc2424-753b-4f65-9da5-5a99d8383fe6"),
            Key(name: "status", shape: .patterns, about: "Glance's status; only active images are ever cached.", example: "active"),
            Key(name: "disk_format", shape: .patterns, about: "qcow2, raw, …", example: "[qcow2, raw]"),
            Key(name: "container_format", shape: .patterns, about: "bare, ovf, …", example: "bare"),
            Key(name: "role", shape: .patterns, about: "The image property role.", example: "ComputeSite1"),
            Key(name: "min_size", shape: .size, about: "The image has at least so many bytes.", example: "100MiB"),
            Key(name: "max_size", shape: .size, about: "The image has at most so many bytes.", example: "20GiB"),
            Key(name: "created_within", shape: .duration, about: "The image is not older than this.", example: "90d"),
            Key(
                name: "hidden", shape: .bool,
                about: "Whether the image is hidden; hidden images are left alone unless a rule says hidden: true.",
                example: "true"),
        ], hasExactlyOneKey: true)

    static let operators = Group(
        name: "operators", about: "What the value of a property is compared with; all that are given must hold.",
        keys: [
            Key(name: "exists", shape: .bool, about: "Whether the image has the property.", example: "true"),
            Key(name: "eq", shape: .anyText, about: "Exactly this text.", example: "ubuntu"),
            Key(name: "in", shape: .texts(atLeast: 1), about: "Exactly one of these texts.", example: "[ubuntu, debian]"),
            Key(name: "glob", shape: .patterns, about: "A pattern with *, ? and [abc].", example: "'ubuntu*'"),
            Key(name: "regex", shape: .regex, about: "A regular expression that is found in the text.", example: "'^2[24]\\.04$'"),
            Key(name: "min", shape: .number, about: "A number of at least this.", example: "4"),
            Key(name: "max", shape: .number, about: "A number of at most this.", example: "64"),
            Key(
                name: "version", shape: .version,
                about: "Comparisons of versions, number by number: >=, >, <=, <, =, !=, separated by commas.",
                example: "'>=22.04, <25'"),
        ], mayBeEmpty: false)

    static let targets = Group(
        name: "targets", about: "Hosts; all lists that are given must hold. A list means any of.",
        keys: [
            Key(name: "sites", shape: .globs, about: "Sites by name; {site} is what match captured.", example: "['dcn*', edge-3]"),
            Key(name: "roles", shape: .globs, about: "Roles by name; {role} is what match captured.", example: "[ComputeSite1]"),
            Key(name: "hosts", shape: .globs, about: "Hosts by name.", example: "['*-compute-0']"),
        ])

    static let deliver = Group(
        name: "deliver", about: "How the bytes get to the hosts of a site.",
        keys: [
            Key(
                name: "via", shape: .word(Via.allCases.map(\.rawValue)),
                about:
                    "direct: every host fetches from Glance; proxy: one fetches, the others copy from it; relay: they pass it on while it arrives; nova-api: Nova fetches.",
                example: "relay"),
            Key(
                name: "fan_out", shape: .integer(DeliveryReader.fanOuts),
                about: "Hosts that copy from one host under relay; 1 makes a chain.",
                example: "2"),
            Key(name: "rate_limit", shape: .rate, about: "Bytes a second over the site's WAN link.", example: "20MiB/s"),
            Key(
                name: "window", shape: .window,
                about: "When bytes may cross the site's WAN link: a time of day, with a time zone (default UTC).",
                example: "'01:00-05:00 Europe/Berlin'"),
            Key(name: "max_size", shape: .size, about: "Larger images, as they are or unpacked, are refused.", example: "50GiB"),
            Key(name: "streams", shape: .integer(DeliveryReader.streams), about: "Downloads side by side for one image.", example: "4"),
            Key(
                name: "source", shape: .word(DeliverySource.allCases.map(\.rawValue)),
                about: "Where a site's first copy comes from: Glance itself, or the controller for hosts without a way to Glance.",
                example: "controller"),
        ])

    static let select = Group(
        name: "select", about: "The newest few of each group.",
        keys: [
            Key(name: "newest", shape: .integer(SelectReader.counts), about: "How many of each group.", example: "2", isRequired: true),
            Key(
                name: "group_by", shape: .wordOrProperty(SelectReader.groupWords, isList: true),
                about: "What images of one group have in common; a list: all of them. Default: all images that match are one group.",
                example: "{property: os_distro}"),
            Key(
                name: "order_by", shape: .wordOrProperty(SelectReader.orderWords, isList: false),
                about: "What makes an image newer: a date, or a property compared as a version. Default: created_at.",
                example: "{property: os_version}"),
        ])
}
