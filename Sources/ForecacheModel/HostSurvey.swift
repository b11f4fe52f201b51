public import FoundationEssentials

/// What lies on one host, as its node program reported it.
public struct HostSurvey: Hashable, Sendable {
    public var host: HostName
    /// The controller's clock when the survey came in.
    public var surveyedAt: Date
    /// The node's clock minus the controller's; ages are computed on the node's clock and so do not suffer from it.
    public var clockSkewSeconds: Double
    /// `remove_unused_original_minimum_age_seconds` of the node's nova.conf; nil where it is not readable or not set.
    public var ttlSeconds: Int?
    /// `force_raw_images`; nil where it is not set (Nova's default is true).
    public var forcesRawImages: Bool?
    public var imagesType: String?
    public var freeBytes: Int64
    public var totalBytes: Int64
    /// Tools that the node program found: `curl`, `sha512sum`, `qemu-img`, `sftp`, …
    public var tools: Set<String>
    /// Nova's container is there and did not answer, as one that restarts: what is installed in it is not known.
    public var isContainerSilent: Bool
    /// False where the cache directory does not exist yet.
    public var hasCacheDirectory: Bool
    public var baseFiles: [BaseFile]
    /// Bytes in our own unfinished temporaries.
    public var temporaryBytes: Int64

    public init(
        host: HostName, surveyedAt: Date, clockSkewSeconds: Double = 0, ttlSeconds: Int? = nil, forcesRawImages: Bool? = nil,
        imagesType: String? = nil, freeBytes: Int64 = 0, totalBytes: Int64 = 0, tools: Set<String> = [], isContainerSilent: Bool = false,
        hasCacheDirectory: Bool = true, baseFiles: [BaseFile] = [], temporaryBytes: Int64 = 0
    ) {
        self.host = host
        self.surveyedAt = surveyedAt
        self.clockSkewSeconds = clockSkewSeconds
        self.ttlSeconds = ttlSeconds
        self.forcesRawImages = forcesRawImages
        self.imagesType = imagesType
        self.freeBytes = freeBytes
        self.totalBytes = totalBytes
        self.tools = tools
        self.isContainerSilent = isContainerSilent
        self.hasCacheDirectory = hasCacheDirectory
        self.baseFiles = baseFiles
        self.temporaryBytes = temporaryBytes
    }
}

/// `<instances>/_base/<sha1 of the image UUID text>` as it lies on a host.
public struct BaseFile: Hashable, Sendable {
    /// 40 lower-case hexadecimal digits.
    public var name: BaseFileName
    public var bytes: Int64
    public var allocatedBytes: Int64
    /// The node's clock at the survey minus the file's mtime.
    public var ageSeconds: Double

    public init(name: BaseFileName, bytes: Int64, allocatedBytes: Int64, ageSeconds: Double) {
        self.name = name
        self.bytes = bytes
        self.allocatedBytes = allocatedBytes
        self.ageSeconds = ageSeconds
    }
}

/// 40 lower-case hexadecimal digits; `Planning` derives it from an `ImageID`. Held as the 20 bytes that they stand for: surveys keep millions of them.
public struct BaseFileName: Hashable, Comparable, Sendable, CustomStringConvertible {
    private let high: UInt64
    private let middle: UInt64
    private let low: UInt32

    public init?(_ text: String) {
        guard text.utf8.count == 40 else { return nil }
        var (high, middle, low) = (UInt64(0), UInt64(0), UInt32(0))
        for (index, digit) in text.utf8.enumerated() {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            switch index {
            case ..<16: high = high << 4 | UInt64(value)
            case ..<32: middle = middle << 4 | UInt64(value)
            default: low = low << 4 | UInt32(value)
            }
        }
        (self.high, self.middle, self.low) = (high, middle, low)
    }

    public var text: String {
        var bytes: [UInt8] = []
        for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: high >> UInt64(shift))) }
        for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: middle >> UInt64(shift))) }
        for shift in stride(from: 24, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: low >> UInt32(shift))) }
        return Hexadecimal.text(bytes)
    }

    public var description: String { text }

    public static func < (left: Self, right: Self) -> Bool {
        (left.high, left.middle, left.low) < (right.high, right.middle, right.low)
    }
}

extension BaseFileName: Encodable {
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
