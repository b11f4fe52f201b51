extension String {
    /// For a log line or terminal: control characters, which a tenant may have put into an image's name, are shown and not obeyed; those that turn the writing
    /// direction or break the line are such, too.
    public var printable: String { String(unicodeScalars.prefix(200)).visible }

    /// The same, whole.
    public var visible: String {
        String(
            String.UnicodeScalarView(
                unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator: "\u{FFFD}"
                    default: scalar
                    }
                }))
    }
}
