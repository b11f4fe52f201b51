/// What is wrong with a pattern; the reader adds the place.
struct PatternError: Error, Hashable, Sendable {
    var message: String

    init(_ message: String) { self.message = message }

    static let namedClass = PatternError("has '[:' inside […], but no class is known by name; write the characters, such as [0-9] or [a-z]")

    /// No name, tag or version that anybody means has one; a YAML block leaves a line break at the end.
    static func refuseControls(in source: String) throws(PatternError) {
        guard source.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return }
        throw PatternError("has a control character, such as the line break that a YAML block ends with; write the text on one line")
    }
}

/// Bounds on what is compared, so that no tenant's text can keep the engine busy.
enum Bounds {
    /// Characters of a pattern: the longest that anyone reads.
    static let patternCharacters = 500
    /// Bytes of a text that is compared with a pattern. Glance's names and tags have at most 255 characters; a property may have 64 KiB.
    static let subjectBytes = 4096
    /// Bytes of a text that names are captured from: 255 characters of four bytes.
    static let capturedSubjectBytes = 1020
    /// Rules of all files together.
    static let rules = 10_000
}
