import ForecacheModel

/// Why an image is not handed to `qemu-img`. `description` is one sentence and safe to print: what comes from the image is cut and made visible.
public enum Refusal: Hashable, Sendable {
    /// Glance has such images: made active by an upload of nothing.
    case empty
    case declaredFormatUnsupported(String)
    case formatMismatch(declared: String, detected: DetectedFormat)
    /// More than one format matches: one of them is there to be overlooked.
    case severalFormats([DetectedFormat])
    case formatUnsupported(DetectedFormat)
    case unsupportedVersion(DetectedFormat, UInt32)
    /// A parent or backing file, by name where the image gives one that can be read.
    case backingFile(DetectedFormat, name: String?)
    case externalDataFile(name: String?)
    /// The bits nobody here knows.
    case unknownFeatures(DetectedFormat, bits: UInt64)
    /// A length, offset or field that its format does not allow; the text says which.
    case badHeader(DetectedFormat, String)
    /// The format needs bytes that lie behind the image's end.
    case truncated(DetectedFormat, sizeBytes: Int64)
    /// A `createType` other than `monolithicSparse` and `streamOptimized`.
    case vmdkSubformat(String)
    case vmdkDescriptor(String)
    /// The extent line as it stands.
    case vmdkExtent(String)
    case vmdkFooter(String)
    case partitionTable(String)
    /// Whoever read the image brought another number of bytes than asked for.
    case shortRead(Range<Int64>, received: Int)
    /// The structures lie so that they would take more reading than any honest image needs.
    case tooMuchToRead
}

extension Refusal: CustomStringConvertible {
    public var description: String {
        switch self {
        case .empty: "it has no bytes; upload its data again"
        case .declaredFormatUnsupported(let name): "its disk_format '\(name.printable)' is none that Nova boots"
        case .formatMismatch(let declared, let detected): "its disk_format is \(declared.printable) but its content is \(detected.rawValue)"
        case .severalFormats(let formats):
            "its content is several formats at once: \(formats.map(\.rawValue).joined(separator: ", "))"
        case .formatUnsupported(let format): "\(format.rawValue) is a format that Nova never takes"
        case .unsupportedVersion(let format, let version): "\(format.rawValue) version \(version) is not supported"
        case .backingFile(let format, let name): "the \(format.rawValue) image has a backing file\(quoted(name))"
        case .externalDataFile(let name): "the qcow2 image keeps its data in an external file\(quoted(name))"
        case .unknownFeatures(let format, let bits):
            "the \(format.rawValue) image needs unknown features (bits 0x\(String(bits, radix: 16)))"
        case .badHeader(let format, let problem): "the \(format.rawValue) header is not valid: \(problem.printable)"
        case .truncated(let format, let size): "the \(format.rawValue) image ends, at \(size) bytes, before its own headers do"
        case .vmdkSubformat(let type): "the VMDK's createType is '\(type.printable)'; only monolithicSparse and streamOptimized are safe"
        case .vmdkDescriptor(let problem): "the VMDK descriptor is not valid: \(problem.printable)"
        case .vmdkExtent(let line): "the VMDK extent is not one of the image itself: \(line.printable)"
        case .vmdkFooter(let problem): "the VMDK footer is not valid: \(problem.printable)"
        case .partitionTable(let problem): "the partition table is not valid: \(problem.printable)"
        case .shortRead(let range, let received):
            "reading bytes \(range.lowerBound)-\(range.upperBound) of the image gave \(received) bytes"
        case .tooMuchToRead: "its headers are spread so far that inspecting them would read more than an honest image needs"
        }
    }

    private func quoted(_ name: String?) -> String { name.map { " ('\($0.printable)')" } ?? "" }
}
