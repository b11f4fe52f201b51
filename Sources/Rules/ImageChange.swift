import ForecacheModel

/// Something that an operator can do to an image so that one condition holds, or holds no longer.
struct ImageChange {
    let text: String
    /// The image after it; nil where the condition leaves open what exactly the new value is.
    let image: ImageFacts?

    init(_ text: String) {
        self.text = text
        self.image = nil
    }

    init(_ text: String, _ image: ImageFacts, _ change: (inout ImageFacts) -> Void) {
        var changed = image
        change(&changed)
        self.text = text
        self.image = changed
    }
}

extension Condition {
    /// What turns the condition round; nil where nobody can: an image keeps its id, owner, age, size and formats for life.
    func change(of image: ImageFacts, unless holds: Bool, _ fleet: Fleet) -> ImageChange? {
        switch self {
        case .tag(let patterns): holds ? withoutTags(patterns, image) : withTag(patterns, image, fleet)
        case .text(let field, let patterns): change(field, patterns, of: image, unless: holds, fleet)
        case .property(let test): test.change(of: image, unless: holds, fleet)
        case .hidden(let wanted):
            ImageChange(wanted == holds ? "unhide the image" : "hide the image", image) { $0.isHidden = wanted != holds }
        case .minSize, .maxSize, .createdWithin: nil
        }
    }

    private func withTag(_ patterns: Patterns, _ image: ImageFacts, _ fleet: Fleet) -> ImageChange {
        guard let tag = patterns.example(fleet) else { return ImageChange("add a tag that matches \(patterns.said)") }
        return ImageChange("add tag \(Quoted.text(tag))", image) { $0.tags = ($0.tags + [tag]).sorted() }
    }

    private func withoutTags(_ patterns: Patterns, _ image: ImageFacts) -> ImageChange? {
        let matching = image.tags.filter { tag in
            let subject = Subject(tag)
            return !subject.isTooLong && patterns.firstMatch(subject) != nil
        }
        // Nothing to take off by name: the tree says what it takes.
        guard !matching.isEmpty, matching.count <= 5 else { return ImageChange("remove all tags that match \(patterns.said)") }
        return ImageChange("remove tag \(matching.map { Quoted.text($0) }.joined(separator: ", "))", image) { image in
            image.tags.removeAll { matching.contains($0) }
        }
    }

    private func change(
        _ field: TextField, _ patterns: Patterns, of image: ImageFacts, unless holds: Bool, _ fleet: Fleet
    ) -> ImageChange? {
        switch field {
        case .name:
            guard !holds else { return ImageChange("rename it to something that does not match \(patterns.said)") }
            guard let name = patterns.example(fleet) else { return ImageChange("rename it to something that matches \(patterns.said)") }
            return ImageChange("rename it to \(Quoted.text(name))", image) { $0.name = name }
        case .visibility:
            let words = ["public", "private", "shared", "community"]
            guard let word = words.first(where: { (patterns.firstMatch(Subject($0)) != nil) != holds }) else { return nil }
            return ImageChange("set visibility \(word)", image) { $0.visibility = word }
        case .status:
            guard !holds, patterns.firstMatch(Subject("active")) != nil else { return nil }
            return ImageChange("bring it to status active", image) { $0.status = .active }
        case .role: return PropertyTest(name: "role", test: .patterns(patterns)).change(of: image, unless: holds, fleet)
        case .owner, .id, .diskFormat, .containerFormat: return nil
        }
    }
}

extension PropertyTest {
    fileprivate func change(of image: ImageFacts, unless holds: Bool, _ fleet: Fleet) -> ImageChange {
        let said = "property \(Quoted.text(name))"
        let removal = ImageChange("remove \(said)", image) { $0.properties[name] = nil }
        switch test {
        case .exists(let wanted):
            guard wanted != holds else { return removal }
            return ImageChange("set \(said)", image) { $0.properties[name] = "true" }
        case .patterns(let patterns):
            if holds { return removal }
            guard let value = patterns.example(fleet) else { return ImageChange("set \(said) to something that matches \(patterns.said)") }
            return ImageChange("set \(said) to \(Quoted.text(value))", image) { $0.properties[name] = value }
        case .min(_, let written), .max(_, let written):
            return holds ? removal : ImageChange("set \(said) to \(written)", image) { $0.properties[name] = written }
        case .version(let range):
            return holds ? removal : ImageChange("set \(said) to a version \(range.written)")
        }
    }
}

extension Patterns {
    /// A text that matches, where the first pattern leaves only one: a literal, or a capture with a name of the fleet in it.
    fileprivate func example(_ fleet: Fleet) -> String? {
        switch list.first {
        case .literal(let text, _): return text
        case .glob(let glob):
            guard !glob.captures.isEmpty, let site = fleet.sites.first(where: { !$0.hosts.isEmpty }), let host = site.hosts.first else {
                return nil
            }
            var text = glob.source
            for (capture, name) in [(Capture.site, site.name.rawValue), (.role, host.role.rawValue)] {
                text = text.split(separator: capture.token, omittingEmptySubsequences: false).joined(separator: name)
            }
            // With a wildcard beside the capture the value stays open.
            return (try? Glob(text, isFilledIn: true))?.literal
        case .regex, nil: return nil
        }
    }
}
