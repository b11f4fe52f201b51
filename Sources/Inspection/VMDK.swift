/// VMware's format: a sparse extent with its descriptor inside (VMware, Virtual Disk Format 5.0; QEMU, block/vmdk.c). Numbers are little-endian.
///
/// A descriptor on its own, as a text file, is recognised so that it is refused: its data would be in other files of the host.
enum VMDK {
    private static let descriptorOffset = 512
    /// QEMU looks for a parent in 20 sectors, whatever length the header gives.
    private static let parentSearchBytes = 20 * 512
    private static let sectorLimit: UInt64 = (1 << 20) / 512
    private static let gdAtEnd = UInt64.max

    static func matches(_ head: Bytes) -> Bool {
        head.has("KDMV", at: 0) || head.has("COWD", at: 0) || VMDKDescriptor.isDescriptor(head)
    }

    static func check(_ image: ImageBytes) throws(Halt) -> Int64? {
        if image.head.has("COWD", at: 0) { throw .refused(.vmdkSubformat("vmfsSparse")) }
        guard image.head.has("KDMV", at: 0) else {
            try VMDKDescriptor(text(image.head)).check()
            throw .refused(.vmdkDescriptor("it is a file of its own, so the data would be in another file"))
        }
        let header = try image.read(at: 0, count: 512, of: .vmdk)
        guard (1...3).contains(header.little32(4)) else { throw .refused(.unsupportedVersion(.vmdk, header.little32(4))) }
        try VMDKDescriptor(text(try descriptor(header, image))).check()
        if header.little64(56) == gdAtEnd { try checkFooter(header, image) }
        // With no capacity QEMU would take the extents from the descriptor, and so from other files.
        let capacity = header.little64(12)
        guard capacity > 0, capacity <= UInt64(Int64.max) / 512 else {
            throw .refused(.badHeader(.vmdk, "capacity is \(capacity) sectors"))
        }
        return Int64(capacity) * 512
    }

    private static func descriptor(_ header: Bytes, _ image: ImageBytes) throws(Halt) -> Bytes {
        let (sector, sectors) = (header.little64(28), header.little64(36))
        guard sector == 1 else { throw .refused(.badHeader(.vmdk, "the descriptor is at sector \(sector)")) }
        guard sectors >= 1, sectors <= sectorLimit else { throw .refused(.badHeader(.vmdk, "the descriptor has \(sectors) sectors")) }
        _ = try image.range(at: UInt64(descriptorOffset), count: Int(sectors) * 512, of: .vmdk)
        let available = image.sizeBytes - Int64(descriptorOffset)
        let count = min(Int64(max(Int(sectors) * 512, parentSearchBytes)), available)
        return try image.read(at: UInt64(descriptorOffset), count: Int(count), of: .vmdk)
    }

    /// Up to the first zero byte, as QEMU takes it.
    private static func text(_ bytes: Bytes) -> ArraySlice<UInt8> { bytes[0..<bytes.count].prefix { $0 != 0 } }

    /// A streamed image has its true header at the end; it must tell the same story as the one in front.
    private static func checkFooter(_ header: Bytes, _ image: ImageBytes) throws(Halt) {
        // QEMU counts from the end in whole sectors: with a broken last one it would read another footer than we do.
        guard image.sizeBytes % 512 == 0, image.sizeBytes >= 2048 else { throw bad("the image does not end on a sector") }
        let end = try image.read(at: UInt64(image.sizeBytes - 1536), count: 1536, of: .vmdk)
        guard end.little32(8) == 0, end.little32(12) == 3, end.isZero(16..<512) else { throw bad("no footer marker") }
        guard end.isZero(1024..<1536) else { throw bad("no end-of-stream marker") }
        // All but the two grain directories' places (48 and 56), which only the footer knows.
        guard end[512..<560].elementsEqual(header[0..<48]) else { throw bad("it differs from the header") }
        guard end.little64(512 + 56) != gdAtEnd else { throw bad("it points to another footer") }
    }

    private static func bad(_ problem: String) -> Halt { .refused(.vmdkFooter(problem)) }
}
