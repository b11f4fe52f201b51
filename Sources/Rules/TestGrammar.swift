/// Every key of a rule test file.
extension Grammar {
    /// The first is the file itself. `deliver` is that of rules.
    static let testGroups = [testFile, test, image, deliver]

    /// `{site: …}` with what is expected at each: hosts, or roles with theirs.
    private static let expectation = Shape.noneOrAll(or: [
        .named(
            .noneOrAll(or: [
                .list(of: .text, atLeast: 1), .named(.noneOrAll(or: [.list(of: .text, atLeast: 1)]), atLeast: 1),
            ]), atLeast: 1)
    ])

    static let testFile = Group(
        name: "test file", about: "Tests of rules: images in, hosts out.",
        keys: [
            Key(
                name: "apiVersion", shape: .constant("forecache/v1"), about: "The version of the rule language.", example: "forecache/v1",
                isRequired: true),
            Key(
                name: "rules", shape: .texts(atLeast: 1),
                about: "Rule files, from this file's directory. Default: x.yaml for x.test.yaml.", example: "[newest.yaml]"),
            Key(
                name: "fleet", shape: .named(.named(.texts(atLeast: 0), atLeast: 0), atLeast: 1), about: "{site: {role: [host, …]}}.",
                example: "{dcn1: {Compute: [dcn1-compute-0, dcn1-compute-1]}}"),
            Key(
                name: "inventory", shape: .texts(atLeast: 1),
                about: "Instead of fleet: Ansible inventories, from this file's directory.", example: "[../inventories]"),
            Key(
                name: "now", shape: .moment, about: "The clock of tests that give none. Default: the first moment of 2026.",
                example: "2026-02-01T00:00:00Z"),
            Key(
                name: "images", shape: .list(of: .group("image"), atLeast: 0),
                about: "The other images that Glance has in every test, for select.",
                example: "[{name: rhel-9.4, tags: [release]}]"),
            Key(
                name: "tests", shape: .list(of: .group("test"), atLeast: 1), about: "The tests.",
                example: "[{name: others stay away, image: {}, expect: none}]", isRequired: true),
        ], oneOf: ["fleet", "inventory"])

    static let test = Group(
        name: "test", about: "One image, and where the rules must want it.",
        keys: [
            Key(name: "name", shape: .text, about: "Unique in the file.", example: "golden goes everywhere", isRequired: true),
            Key(name: "now", shape: .moment, about: "The clock of this test.", example: "2026-02-01T02:00:00Z"),
            Key(
                name: "image", shape: .group("image"), about: "The image that is decided on.", example: "{tags: [golden]}", isRequired: true
            ),
            Key(
                name: "images", shape: .list(of: .group("image"), atLeast: 0),
                about: "The other images that Glance has, beside those of the file.", example: "[{name: rhel-9.6, tags: [release]}]"),
            Key(
                name: "began", shape: .named(.moment, atLeast: 0), about: "Since when rules with for match the image. Default: now.",
                example: "{for-the-rollout: 2026-01-20}"),
            Key(
                name: "expect", shape: expectation, about: "Exactly the hosts that get the image: none, all, or sites with theirs.",
                example: "{dcn1: {Compute: [dcn1-compute-0]}}"),
            Key(name: "expect_dry_run", shape: expectation, about: "Likewise, by rules that are a dry run.", example: "{dcn1: all}"),
            Key(name: "rule", shape: .text, about: "The rule that must win on each of them.", example: "golden"),
            Key(
                name: "deliver", shape: .group("deliver"),
                about: "What that rule must say of delivery; what is left out is not compared.", example: "{via: relay}"),
            Key(name: "window", shape: .word(["open", "closed"]), about: "Whether that rule's window is open at now.", example: "open"),
        ], anyOf: ["expect", "expect_dry_run"])

    static let image = Group(
        name: "image", about: "An image in Glance's own names; what is left out is the usual: active, public, qcow2, made now.",
        keys: [
            Key(name: "id", shape: .id, about: "Default: one that no other image has.", example: "07bc2424-753b-4f65-9da5-5a99d8383fe6"),
            Key(name: "name", shape: .anyText, about: "Default: image.", example: "ubuntu-24.04"),
            Key(name: "status", shape: .word(statuses), about: "Default: active.", example: "deactivated"),
            Key(name: "visibility", shape: .word(visibilities), about: "Default: public.", example: "shared"),
            Key(name: "owner", shape: .anyText, about: "The project's id.", example: "9f3a21d8e6b7451f8d6c1f2e3a4b5c6d"),
            Key(name: "disk_format", shape: .anyText, about: "Default: qcow2.", example: "raw"),
            Key(name: "container_format", shape: .anyText, about: "Default: bare.", example: "bare"),
            Key(name: "size", shape: .size, about: "Bytes. Default: not known.", example: "2GiB"),
            Key(name: "virtual_size", shape: .size, about: "Bytes, unpacked. Default: not known.", example: "20GiB"),
            Key(name: "min_disk", shape: .integer(0 ... .max), about: "GiB.", example: "20"),
            Key(name: "min_ram", shape: .integer(0 ... .max), about: "MiB.", example: "2048"),
            Key(name: "os_hidden", shape: .bool, about: "Default: false.", example: "true"),
            Key(name: "protected", shape: .bool, about: "Default: false.", example: "true"),
            Key(name: "tags", shape: .texts(atLeast: 0), about: "The image's tags.", example: "[golden, release]"),
            Key(
                name: "properties", shape: .named(.anyText, atLeast: 0), about: "Custom properties.",
                example: "{os_distro: ubuntu, os_version: 24.04}"),
            Key(name: "created_at", shape: .moment, about: "Default: now.", example: "2026-01-10"),
            Key(name: "updated_at", shape: .moment, about: "Default: created_at.", example: "2026-01-11T12:00:00Z"),
        ])
}
