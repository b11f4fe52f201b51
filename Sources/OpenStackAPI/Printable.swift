/// Text from outside, made fit for one line of a message.
enum Printable {
    /// At most `limit` bytes of it; control characters and white space become single blanks.
    static func text(_ bytes: [UInt8], limit: Int) -> String {
        var line = ""
        var blanks = 0
        for scalar in String(decoding: bytes.prefix(limit), as: UTF8.self).unicodeScalars {
            if scalar.properties.isWhitespace || isControl(scalar) {
                blanks += 1
                continue
            }
            if blanks > 0, !line.isEmpty { line += " " }
            blanks = 0
            line.unicodeScalars.append(scalar)
        }
        return line
    }

    /// Also the marks that turn the writing direction: they can make a terminal show another text.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}
