extension String {
    /// For a log line or terminal: control characters, which a tenant may have put into an image's name, are shown and not obeyed.
    public var printable: String {
        String(String.UnicodeScalarView(unicodeScalars.prefix(200).map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
    }
}
