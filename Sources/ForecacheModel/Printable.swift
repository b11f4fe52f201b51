extension String {
    /// For a log line or terminal: control characters, which a tenant may have put into an image's name, are shown and not obeyed; those that turn the writing
    /// direction or break the line are such, too.
    public var printable: String { String(unicodeScalars.prefix(200)).visible }

    /// The same, whole.
    public var visible: String {
        // Most texts are plain, and the status of a large ledger has millions of them.
        if utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) { return self }
        return String(
            String.UnicodeScalarView(
                unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator: "\u{FFFD}"
                    default: scalar
                    }
                }))
    }
}
