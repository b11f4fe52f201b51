import Crypto
public import ForecacheModel

/// Says whether an image is what Glance declares it to be and can be handed to `qemu-img`, from a few ranges of its bytes.
///
/// The caller holds the image (over HTTP ranges, or as a file) and drives: `next()` names the ranges to read or gives the verdict, `received(_:at:)`
/// hands the bytes back. At most `maxRounds` rounds, each range at most `maxRangeBytes`, all together at most `maxBytes`. No input traps.
/// The rules are Nova's (`nova/virt/images.py`, `do_image_deep_inspection`) and oslo.utils' (`imageutils/format_inspector.py`): all recognisers run,
/// at most one may match, and what is found must be what was declared. Stricter than they are where `qemu-img` itself would follow a reference.
public struct Inspector: Sendable {
    public static let maxRounds = 6
    public static let maxRangeBytes: Int64 = 1 << 20
    public static let maxBytes: Int64 = 4 << 20

    private let declaredFormat: String?
    private var image: ImageBytes
    private var wanted: [Range<Int64>] = []
    private var rounds = 0
    private var askedBytes: Int64 = 0
    private var verdict: Verdict?

    /// - Parameters:
    ///   - declaredFormat: Glance's `disk_format`; nil where nobody declared one: then any one safe format will do.
    ///   - sizeBytes: of the image as it is stored.
    public init(declaredFormat: String?, sizeBytes: Int64) {
        self.declaredFormat = declaredFormat
        self.image = ImageBytes(sizeBytes: max(0, sizeBytes))
    }

    /// What to do now. Asked again before all the bytes have come, it names the ranges that are still missing.
    public mutating func next() -> InspectionStep {
        if verdict == nil, wanted.isEmpty { judge() }
        return verdict.map(InspectionStep.done) ?? .need(ranges: wanted)
    }

    /// The bytes of a range that `next()` named. Ranges that nobody asked for are ignored; a different number of bytes ends in a refusal.
    public mutating func received(_ bytes: [UInt8], at range: Range<Int64>) {
        guard verdict == nil, let index = wanted.firstIndex(of: range) else { return }
        guard bytes.count == range.count else {
            verdict = .refused(.shortRead(range, received: bytes.count))
            return
        }
        wanted.remove(at: index)
        image.add(bytes, at: range.lowerBound)
    }

    /// What is handed on of an image that is safe: nil for any other, and before there is a verdict.
    public var inspected: InspectedImage? {
        guard case .safe(let format, let size) = verdict else { return nil }
        var hash = SHA256()
        for part in image.seen { hash.update(data: part.bytes) }
        return InspectedImage(
            qemuFormat: format.qemuName, virtualSizeBytes: size ?? image.sizeBytes,
            proof: RangeProof(ranges: image.seen.map(\.range), sha256: Hexadecimal.text(hash.finalize())))
    }

    /// The whole conversation with something that can be read at once, as a file can.
    public static func inspect(
        declaredFormat: String?, sizeBytes: Int64, _ read: (Range<Int64>) throws -> [UInt8]
    ) rethrows -> Verdict {
        var inspector = Inspector(declaredFormat: declaredFormat, sizeBytes: sizeBytes)
        while true {
            switch inspector.next() {
            case .done(let verdict): return verdict
            case .need(let ranges): for range in ranges { inspector.received(try read(range), at: range) }
            }
        }
    }

    /// One pass from the start over the bytes that are there; stops at the first that are not.
    private mutating func judge() {
        do throws(Halt) {
            if image.sizeBytes == 0 { throw .refused(.empty) }
            try image.require([image.headRange])
            let format = try recognise()
            try compareWithDeclared(format)
            let size = try format.check(image)
            // No disk is so small or so large. A host would find that out behind the transfer only.
            if let size, !(1...(1 << 56)).contains(size) { throw .refused(.badHeader(format, "a virtual size of \(size) bytes")) }
            verdict = .safe(format: format, virtualSizeBytes: size)
        } catch {
            switch error {
            case .need(let ranges): ask(ranges)
            case .refused(let refusal): verdict = .refused(refusal)
            }
        }
    }

    private func recognise() throws(Halt) -> DetectedFormat {
        let found = DetectedFormat.allCases.filter { $0.matches(image.head) }
        switch found.count {
        case 0: return .raw
        case 1: return found[0]
        // A bootable ISO carries a partition table so that it boots from a stick too; Nova calls that an ISO.
        default: return if Set(found) == [.iso, .gpt] { .iso } else { throw .refused(.severalFormats(found)) }
        }
    }

    private func compareWithDeclared(_ format: DetectedFormat) throws(Halt) {
        guard let declaredFormat else { return }
        let accepted: Set<DetectedFormat>
        switch declaredFormat {
        // A whole disk with a partition table is what most people upload as raw.
        case _ where ImageFacts.rawDiskFormats.contains(declaredFormat): accepted = [.raw, .gpt]
        case "qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso", "gpt", "luks", "qed":
            accepted = Set([DetectedFormat(rawValue: declaredFormat)].compactMap { $0 })
        default: throw .refused(.declaredFormatUnsupported(declaredFormat))
        }
        if !accepted.contains(format) { throw .refused(.formatMismatch(declared: declaredFormat, detected: format)) }
    }

    private mutating func ask(_ ranges: [Range<Int64>]) {
        rounds += 1
        askedBytes += ranges.reduce(0) { $0 + Int64($1.count) }
        guard rounds <= Self.maxRounds, askedBytes <= Self.maxBytes, ranges.allSatisfy({ $0.count <= Self.maxRangeBytes }) else {
            verdict = .refused(.tooMuchToRead)
            return
        }
        wanted = ranges
    }
}

public enum InspectionStep: Hashable, Sendable {
    /// Read these (in any order, at once if possible) and hand each to `received(_:at:)`.
    case need(ranges: [Range<Int64>])
    case done(Verdict)
}

public enum Verdict: Hashable, Sendable {
    /// `virtualSizeBytes`: what the image takes as a raw file when nothing of it is sparse.
    case safe(format: DetectedFormat, virtualSizeBytes: Int64?)
    case refused(Refusal)
}
