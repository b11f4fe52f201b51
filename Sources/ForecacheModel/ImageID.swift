/// The UUID of a Glance image. Held as the 16 bytes that it stands for: fleets have millions of placements, and each names its image.
public struct ImageID: Hashable, Comparable, Sendable {
    private let high: UInt64
    private let low: UInt64

    /// Nil unless `text` is a UUID in its 36-character form; upper case is folded.
    public init?(_ text: String) {
        guard text.utf8.count == 36 else { return nil }
        var (high, low) = (UInt64(0), UInt64(0))
        for (index, byte) in text.utf8.enumerated() {
            switch index {
            case 8, 13, 18, 23:
                guard byte == UInt8(ascii: "-") else { return nil }
            default:
                guard let digit = Hexadecimal.value(byte) else { return nil }
                if index < 18 { high = high << 4 | UInt64(digit) } else { low = low << 4 | UInt64(digit) }
            }
        }
        (self.high, self.low) = (high, low)
    }

    /// Nil unless there are 16.
    public init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == 16 else { return nil }
        high = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
        low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// The 16 bytes, in the order of the text.
    public var bytes: [UInt8] {
        (0..<16).map { index in UInt8(truncatingIfNeeded: (index < 8 ? high : low) >> UInt64(56 - 8 * (index & 7))) }
    }

    /// 36 characters, 8-4-4-4-12 lower-case hexadecimal digits: the text from which Nova derives the base file's name.
    public var text: String {
        String(unsafeUninitializedCapacity: 36) { characters in
            var place = 0
            for index in 0..<32 {
                if [8, 12, 16, 20].contains(index) {
                    characters[place] = UInt8(ascii: "-")
                    place += 1
                }
                let word = index < 16 ? high : low
                characters[place] = Hexadecimal.digit(UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (index & 15))) & 15)
                place += 1
            }
            return place
        }
    }

    /// As their texts do.
    public static func < (left: Self, right: Self) -> Bool { (left.high, left.low) < (right.high, right.low) }
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
    public static func isDigit(_ byte: UInt8) -> Bool { value(byte) != nil }

    /// Nil where it is no digit.
    static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// Of a value below 16.
    static func digit(_ value: UInt8) -> UInt8 { value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10 }

    public static func text(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digit(byte >> 4))
            text.append(digit(byte & 15))
        }
        return String(decoding: text, as: UTF8.self)
    }
}
