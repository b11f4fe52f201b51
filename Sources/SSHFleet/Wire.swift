/// Strings of the SSH protocol (RFC 4251, section 5): a length of four bytes, then the bytes.
enum Wire {
    static func string(_ bytes: some Collection<UInt8>) -> [UInt8] { number(UInt32(bytes.count)) + bytes }

    static func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }

    static func number(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

    /// A positive number, big-endian: without leading zeros, and with one where its first bit is set.
    static func positive(_ magnitude: some Collection<UInt8>) -> [UInt8] {
        let digits = Array(magnitude.drop { $0 == 0 })
        return string((digits.first ?? 0) >= 0x80 ? [0] + digits : digits)
    }

    /// The first string of a public key: its type.
    static func keyType(of blob: [UInt8]) -> String? {
        var reader = Reader(blob)
        return reader.text()
    }

    /// Reads from untrusted bytes; nil where they end too early.
    struct Reader {
        private var rest: ArraySlice<UInt8>

        init(_ bytes: [UInt8]) { rest = bytes[...] }

        var isAtEnd: Bool { rest.isEmpty }

        mutating func bytes(_ count: Int) -> [UInt8]? {
            guard count >= 0, rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }

        mutating func number() -> UInt32? { bytes(4).map { $0.reduce(0) { $0 << 8 | UInt32($1) } } }

        mutating func string() -> [UInt8]? {
            guard let count = number() else { return nil }
            return bytes(Int(count))
        }

        mutating func text() -> String? { string().map { String(decoding: $0, as: UTF8.self) } }
    }
}
