/// The UUID of a Glance image, held as the lower-case text from which Nova derives the base file's name.
public struct ImageID: Hashable, Comparable, Sendable {
    /// 36 characters: 8-4-4-4-12 lower-case hexadecimal digits.
    public let text: String

    /// Nil unless `text` is a UUID in its 36-character form; upper case is folded.
    public init?(_ text: String) {
        guard text.utf8.count == 36 else { return nil }
        for (index, byte) in text.utf8.enumerated() {
            switch index {
            case 8, 13, 18, 23:
                guard byte == UInt8(ascii: "-") else { return nil }
            default:
                guard Hexadecimal.isDigit(byte) else { return nil }
            }
        }
        self.text = text.lowercased()
    }

    public static func < (left: Self, right: Self) -> Bool { left.text < right.text }
}

extension ImageID: CustomStringConvertible {
    public var description: String { text }
}

extension ImageID: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let id = ImageID(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an image UUID")
        }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// Hexadecimal text, as digests and UUIDs use it.
public enum Hexadecimal {
    public static func isDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): true
        default: false
        }
    }

    public static func text(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
