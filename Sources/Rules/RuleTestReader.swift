import ForecacheModel
import FoundationEssentials
import StrictYAML

/// Reads the tests of a rule test file, gathering all problems.
struct RuleTestReader {
    /// The clock of tests that give none: a fixed moment, so that tests do not change with the day.
    static let defaultNow = Date(timeIntervalSince1970: 1_767_225_600)

    let defaultNow: Date
    /// Of the whole file; a test adds its own.
    let others: [ImageFacts]
    private var places: [String: Place] = [:]

    init(defaultNow: Date, others: [ImageFacts] = []) {
        self.defaultNow = defaultNow
        self.others = others
    }

    mutating func read(_ value: Value, _ problems: inout Problems) -> RuleTest? {
        let before = problems.list.count
        guard var mapping = Mapping(value, "a test", &problems) else { return nil }
        mapping.refuseKeysWithoutValue(required: ["name", "image"], &problems)
        let name = mapping.require("name", &problems).flatMap { readName($0, &problems) }
        let now = mapping.take("now").flatMap { Self.moment($0, "now", &problems) } ?? defaultNow
        let image = mapping.require("image", &problems).flatMap { Self.image($0, now: now, &problems) }
        let expect = mapping.take("expect").flatMap { Self.expectation($0, "expect", &problems) }
        let expectDryRun = mapping.take("expect_dry_run").flatMap { Self.expectation($0, "expect_dry_run", &problems) }
        let rule = mapping.take("rule").flatMap { value in value.string("rule", &problems).map { (name: $0, place: value.place) } }
        let others = mapping.take("images").map { Self.images($0, now: now, &problems) } ?? []
        let began = mapping.take("began").map { Self.moments($0, "began", &problems) } ?? []
        let deliver = mapping.take("deliver").flatMap { Self.deliver($0, &problems) }
        let window = mapping.take("window")?.word("window", as: WindowWord.self, &problems)
        mapping.finish(&problems)
        guard problems.list.count == before else { return nil }
        if expect == nil, expectDryRun == nil {
            problems.add(value.place, "a test needs the key 'expect' (none, all, or sites with their hosts)")
        }
        let (expected, expectedDryRun) = (expect ?? .none, expectDryRun ?? .none)
        if case .none = expected, case .none = expectedDryRun {
            if let rule { problems.add(rule.place, "a test that expects no placement cannot name the rule that wins") }
            if deliver != nil || window != nil {
                problems.add(value.place, "a test that expects no placement cannot say how the image is delivered")
            }
        }
        guard problems.list.count == before, let name, let image else { return nil }
        return RuleTest(
            name: name, place: value.place, image: image, now: now, expected: expected, expectedDryRun: expectedDryRun, rule: rule,
            others: self.others + others, began: began, deliver: deliver, windowIsOpen: window.map { $0 == .open })
    }

    private mutating func readName(_ value: Value, _ problems: inout Problems) -> String? {
        guard let name = value.string("name", &problems) else { return nil }
        guard !name.isEmpty, name.utf8.count <= 200, name.printable == name else {
            problems.add(value.place, "a test's name must have 1 to 200 printable characters")
            return nil
        }
        if let other = places[name] {
            problems.add(value.place, "test name '\(name)' is used already at \(other)")
            return nil
        }
        places[name] = value.place
        return name
    }

    private enum WindowWord: String, CaseIterable {
        case open, closed
    }

    private static func deliver(_ value: Value, _ problems: inout Problems) -> (DeliverySettings, Place)? {
        guard var keys = Mapping(value, "deliver", &problems) else { return nil }
        keys.refuseKeysWithoutValue(&problems)
        let settings = DeliveryReader.read(&keys, "deliver", &problems)
        keys.finish(&problems)
        return (settings, value.place)
    }

    /// `{name: time}`.
    private static func moments(_ value: Value, _ what: String, _ problems: inout Problems) -> [(rule: String, place: Place, at: Date)] {
        guard case .mapping(let entries) = value.content else {
            problems.add(value.place, "\(what) must be a mapping of rule names and times, not \(value.kind)")
            return []
        }
        return entries.compactMap { entry in
            moment(entry.value, "\(what).\(entry.key)", &problems).map { (entry.key, entry.keyPlace, $0) }
        }
    }

    // MARK: - Images

    /// The images that Glance has besides; each without an id gets one of its own.
    static func images(_ value: Value, now: Date, _ problems: inout Problems) -> [ImageFacts] {
        guard let list = value.sequence("images", &problems) else { return [] }
        guard list.count <= 1000 else {
            problems.add(value.place, "images has \(list.count) entries; 1000 are the most")
            return []
        }
        return list.enumerated().compactMap { index, item in
            image(item, now: now, id: madeUpID(item.place, index), &problems)
        }
    }

    /// From where it is written: never the tested image's own, and never that of an image elsewhere in the file.
    private static func madeUpID(_ place: Place, _ index: Int) -> ImageID? {
        let number = String(place.line * 1000 + index % 1000, radix: 16)
        return ImageID("00000000-0000-4000-9000-" + String(repeating: "0", count: max(0, 12 - number.count)) + number)
    }

    /// Glance's own names. What is not given is the usual: an active, public qcow2 image, made at the test's own moment.
    private static func image(_ value: Value, now: Date, id madeUp: ImageID? = defaultID, _ problems: inout Problems) -> ImageFacts? {
        guard var keys = Mapping(value, "image", &problems) else { return nil }
        keys.refuseKeysWithoutValue(&problems)
        func text(_ key: String) -> String? { keys.take(key)?.string("image.\(key)", mayBeEmpty: true, &problems) }
        func number(_ key: String) -> Int64? { keys.take(key)?.integer("image.\(key)", in: 0 ... .max, &problems).map(Int64.init) }
        func bytes(_ key: String) -> Int64? { keys.take(key)?.bytes("image.\(key)", &problems) }
        func flag(_ key: String) -> Bool { keys.take(key)?.bool("image.\(key)", &problems) ?? false }
        func moment(_ key: String) -> Date? { keys.take(key).flatMap { Self.moment($0, "image.\(key)", &problems) } }
        let id = keys.take("id").flatMap { Self.id($0, &problems) } ?? madeUp
        let name = text("name") ?? "image"
        let status = keys.take("status").flatMap { Self.status($0, &problems) } ?? .active
        let visibility = keys.take("visibility")?.word("image.visibility", as: Visibility.self, &problems) ?? .public
        let (owner, diskFormat, containerFormat) = (text("owner"), text("disk_format") ?? "qcow2", text("container_format") ?? "bare")
        let (size, virtualSize) = (bytes("size"), bytes("virtual_size"))
        let (minDisk, minRAM) = (number("min_disk"), number("min_ram"))
        let (isHidden, isProtected) = (flag("os_hidden"), flag("protected"))
        let tags = keys.take("tags").map { texts($0, "image.tags", mayBeEmpty: true, &problems).map(\.text) } ?? []
        let properties = keys.take("properties").map { Self.properties($0, &problems) } ?? [:]
        let (created, updated) = (moment("created_at") ?? now, moment("updated_at"))
        keys.finish(&problems)
        guard let id else { return nil }
        return ImageFacts(
            id: id, name: name, status: status, visibility: visibility.rawValue, owner: owner, diskFormat: diskFormat,
            containerFormat: containerFormat, sizeBytes: size, virtualSizeBytes: virtualSize, minDiskGiB: minDisk ?? 0,
            minRAMMiB: minRAM ?? 0, isHidden: isHidden, isProtected: isProtected, tags: tags, properties: properties, createdAt: created,
            updatedAt: updated ?? created)
    }

    private static let defaultID = ImageID("00000000-0000-4000-8000-000000000001")

    private enum Visibility: String, CaseIterable {
        case `public`, `private`, shared, community
    }

    private static func id(_ value: Value, _ problems: inout Problems) -> ImageID? {
        guard let text = value.string("image.id", &problems) else { return nil }
        if let id = ImageID(text) { return id }
        problems.add(value.place, "image.id must be a UUID, not \(value.kind)")
        return nil
    }

    private static func status(_ value: Value, _ problems: inout Problems) -> ImageStatus? {
        guard let text = value.string("image.status", &problems) else { return nil }
        let status = ImageStatus(glance: text)
        guard status != .unknown else {
            problems.add(value.place, "image.status is none of Glance's words: \(value.kind)")
            return nil
        }
        return status
    }

    private static func properties(_ value: Value, _ problems: inout Problems) -> [String: String] {
        guard case .mapping(let entries) = value.content else {
            problems.add(value.place, "image.properties must be a mapping of names and texts, not \(value.kind)")
            return [:]
        }
        var properties: [String: String] = [:]
        for entry in entries {
            let remedy = Grammar.image.keys.contains { $0.name == entry.key } ? "write it beside 'properties'" : "leave it out"
            guard MatchReader.mayBeProperty(entry.key, at: entry.keyPlace, remedy: remedy, &problems) else { continue }
            properties[entry.key] = entry.value.string("image.properties.\(entry.key)", mayBeEmpty: true, &problems)
        }
        return properties
    }

    // MARK: - Expectations

    /// `none`, `all`, or sites.
    private static func expectation(_ value: Value, _ what: String, _ problems: inout Problems) -> RuleTest.Expectation? {
        switch value.content {
        case .scalar("none", _): return RuleTest.Expectation.none
        case .scalar("all", _): return .all
        case .mapping(let entries) where !entries.isEmpty:
            return .sites(
                entries.compactMap { entry in
                    hosts(entry.value, "\(what).\(entry.key)", mayHaveRoles: true, &problems).map {
                        (SiteName(entry.key), entry.keyPlace, $0)
                    }
                })
        case .scalar, .sequence, .mapping, .null:
            problems.add(value.place, "\(what) must be 'none', 'all' or a mapping of sites to their hosts, not \(value.kind)")
            return nil
        }
    }

    /// `none`, `all`, a list of hosts or, at a site, roles with theirs.
    private static func hosts(
        _ value: Value, _ what: String, mayHaveRoles: Bool, _ problems: inout Problems
    ) -> RuleTest.HostExpectation? {
        switch value.content {
        case .scalar("none", _): return RuleTest.HostExpectation.none
        case .scalar("all", _): return .all
        case .sequence:
            return .hosts(texts(value, what, &problems).map { (HostName($0.text), $0.place) })
        case .mapping(let entries) where mayHaveRoles && !entries.isEmpty:
            return .roles(
                entries.compactMap { entry in
                    hosts(entry.value, "\(what).\(entry.key)", mayHaveRoles: false, &problems).map {
                        (RoleName(entry.key), entry.keyPlace, $0)
                    }
                })
        case .scalar, .mapping, .null:
            let roles = mayHaveRoles ? " or roles with theirs" : ""
            problems.add(value.place, "\(what) must be 'all', 'none', a list of hosts\(roles), not \(value.kind)")
            return nil
        }
    }

    // MARK: - What the whole file shares

    /// `{site: {role: [host, …]}}`.
    static func fleet(_ value: Value, _ problems: inout Problems) -> Fleet? {
        let before = problems.list.count
        guard case .mapping(let siteEntries) = value.content, !siteEntries.isEmpty else {
            problems.add(value.place, "fleet must be a mapping {site: {role: [host, …]}}, not \(value.kind)")
            return nil
        }
        var sites: [Site] = []
        var known: [String: Place] = [:]
        for siteEntry in siteEntries {
            guard case .mapping(let roleEntries) = siteEntry.value.content else {
                problems.add(
                    siteEntry.value.place, "fleet.\(siteEntry.key) must be a mapping {role: [host, …]}, not \(siteEntry.value.kind)")
                continue
            }
            let site = SiteName(siteEntry.key)
            var hosts: [Host] = []
            for roleEntry in roleEntries {
                let role = RoleName(roleEntry.key)
                for (name, place) in texts(roleEntry.value, "fleet.\(siteEntry.key).\(roleEntry.key)", mayBeEmpty: true, &problems) {
                    if let other = known.updateValue(place, forKey: name) {
                        problems.add(place, "host '\(name)' stands in the fleet already at \(other)")
                    }
                    hosts.append(Host(name: HostName(name), site: site, role: role, address: "", file: value.place.file))
                }
            }
            sites.append(Site(name: site, hosts: hosts))
        }
        return problems.list.count == before ? Fleet(sites: sites) : nil
    }

    /// A list of texts with their places; one text counts as a list of one.
    static func texts(
        _ value: Value, _ what: String, mayBeEmpty: Bool = false, _ problems: inout Problems
    ) -> [(text: String, place: Place)] {
        if mayBeEmpty, value.content == .sequence([]) { return [] }
        return MatchReader.texts(value, what, &problems) ?? []
    }

    /// RFC 3339, as the JSON of all commands has it, or a day in UTC.
    static func moment(_ value: Value, _ what: String, _ problems: inout Problems) -> Date? {
        guard let text = value.string(what, &problems) else { return nil }
        let isDay = text.utf8.count == 10
        if text.utf8.count <= 40, let date = try? Date(isDay ? text + "T00:00:00Z" : text, strategy: .iso8601) { return date }
        problems.add(value.place, "\(what) must be a time such as 2026-01-01T00:00:00Z, not \(value.kind)")
        return nil
    }
}
