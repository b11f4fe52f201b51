extension String {
    /// For a log line or terminal: what a tenant may have put into an image's name and is not printable is shown as a mark and not obeyed.
    public var printable: String { String(unicodeScalars.prefix(200)).visible }

    /// The same, whole.
    public var visible: String {
        // Most texts are plain, and the status of a large ledger has millions of them.
        if utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) { return self }
        return String(String.UnicodeScalarView(unicodeScalars.map { $0.isPrintable ? $0 : "\u{FFFD}" }))
    }
}

extension Unicode.Scalar {
    /// Whether a terminal, a log line or a page may get it from outside. False for control and format characters, line and paragraph separators: they move
    /// cursors, break lines, turn the writing direction or hide other text; and for what has no meaning that everybody shares.
    public var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: false
        default: true
        }
    }
}
