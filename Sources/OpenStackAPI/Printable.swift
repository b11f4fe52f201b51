import ForecacheModel

/// Text from outside, made fit for one line of a message.
enum Printable {
    /// At most `limit` bytes of it; what is not printable and white space become single blanks.
    static func text(_ bytes: [UInt8], limit: Int) -> String {
        var line = ""
        var blanks = 0
        for scalar in String(decoding: bytes.prefix(limit), as: UTF8.self).unicodeScalars {
            if scalar.properties.isWhitespace || !scalar.isPrintable {
                blanks += 1
                continue
            }
            if blanks > 0, !line.isEmpty { line += " " }
            blanks = 0
            line.unicodeScalars.append(scalar)
        }
        return line
    }
}
