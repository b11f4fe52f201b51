/// Why a pass over an image stops before its end.
enum Halt: Error {
    case need([Range<Int64>])
    case refused(Refusal)
}

/// The parts of an image that have been read so far. Every offset asked of it may come from the image itself and so from an attacker.
struct ImageBytes: Sendable {
    /// Holds every signature (the last is ISO's, at 32 KiB), qcow2's header extensions and a VMDK descriptor on its own.
    static let headBytes: Int64 = 64 << 10

    let sizeBytes: Int64
    private var parts: [(offset: Int64, bytes: [UInt8])] = []

    init(sizeBytes: Int64) { self.sizeBytes = sizeBytes }

    var headRange: Range<Int64> { 0..<min(Self.headBytes, sizeBytes) }
    /// Shorter than `headBytes` where the image is.
    var head: Bytes { part(headRange) ?? Bytes([]) }

    mutating func add(_ bytes: [UInt8], at offset: Int64) { parts.append((offset, bytes)) }

    /// Stops here until all of these have been read; several at once cost one round only.
    func require(_ ranges: [Range<Int64>]) throws(Halt) {
        // Two fields of a hostile image may lie on each other: each range is named once.
        let missing = ranges.indices.filter { part(ranges[$0]) == nil && ranges.firstIndex(of: ranges[$0]) == $0 }.map { ranges[$0] }
        if !missing.isEmpty { throw .need(missing) }
    }

    /// Where `count` bytes at `offset` lie, if the image has them.
    func range(at offset: UInt64, count: Int, of format: DetectedFormat) throws(Halt) -> Range<Int64> {
        let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
        guard !overflow, end <= UInt64(sizeBytes) else { throw .refused(.truncated(format, sizeBytes: sizeBytes)) }
        return Int64(offset)..<Int64(end)
    }

    /// Exactly `count` bytes at `offset`.
    func read(at offset: UInt64, count: Int, of format: DetectedFormat) throws(Halt) -> Bytes {
        let wanted = try range(at: offset, count: count, of: format)
        guard let bytes = part(wanted) else { throw .need([wanted]) }
        return bytes
    }

    /// All that has been read, in the image's order and without overlaps.
    var seen: [(range: Range<Int64>, bytes: ArraySlice<UInt8>)] {
        var seen: [(range: Range<Int64>, bytes: ArraySlice<UInt8>)] = []
        for part in parts.sorted(by: { $0.offset < $1.offset }) {
            let start = max(part.offset, seen.last?.range.upperBound ?? 0)
            let rest = part.bytes.dropFirst(Int(start - part.offset))
            if !rest.isEmpty { seen.append((start..<start + Int64(rest.count), rest)) }
        }
        return seen
    }

    private func part(_ range: Range<Int64>) -> Bytes? {
        if range.isEmpty { return Bytes([]) }
        for part in parts where part.offset <= range.lowerBound && range.upperBound <= part.offset + Int64(part.bytes.count) {
            return Bytes(part.bytes[Int(range.lowerBound - part.offset)..<Int(range.upperBound - part.offset)])
        }
        return nil
    }
}

/// Some consecutive bytes. Offsets are from their own start and must lie inside, except for `has`.
struct Bytes {
    private let bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    var count: Int { bytes.count }

    subscript(_ offset: Int) -> UInt8 { bytes[bytes.startIndex + offset] }
    subscript(_ range: Range<Int>) -> ArraySlice<UInt8> { bytes[bytes.startIndex + range.lowerBound..<bytes.startIndex + range.upperBound] }

    /// False where the bytes end before it.
    func has(_ signature: String, at offset: Int) -> Bool { has(Array(signature.utf8), at: offset) }
    func has(_ signature: [UInt8], at offset: Int) -> Bool {
        offset + signature.count <= count && self[offset..<offset + signature.count].elementsEqual(signature)
    }

    func isZero(_ range: Range<Int>) -> Bool { self[range].allSatisfy { $0 == 0 } }

    func big16(_ offset: Int) -> UInt16 { UInt16(truncatingIfNeeded: big(offset, 2)) }
    func big32(_ offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: big(offset, 4)) }
    func big64(_ offset: Int) -> UInt64 { big(offset, 8) }
    func little16(_ offset: Int) -> UInt16 { big16(offset).byteSwapped }
    func little32(_ offset: Int) -> UInt32 { big32(offset).byteSwapped }
    func little64(_ offset: Int) -> UInt64 { big64(offset).byteSwapped }

    private func big(_ offset: Int, _ width: Int) -> UInt64 { self[offset..<offset + width].reduce(0) { $0 << 8 | UInt64($1) } }
}
