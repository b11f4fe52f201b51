/// QEMU's own format, versions 2 and 3 (QEMU, docs/interop/qcow2.txt). All numbers are big-endian.
enum Qcow2 {
    static func matches(_ head: Bytes) -> Bool { head.has([0x51, 0x46, 0x49, 0xFB], at: 0) }

    static func check(_ image: ImageBytes) throws(Halt) -> Int64? {
        let short = try image.read(at: 0, count: 72, of: .qcow2)
        let version = short.big32(4)
        guard version == 2 || version == 3 else { throw .refused(.unsupportedVersion(.qcow2, version)) }
        try checkBackingFile(short, image.head)
        let clusterBits = short.big32(20)
        guard (9...21).contains(clusterBits) else { throw bad("cluster_bits is \(clusterBits)") }
        var headerBytes = 72
        if version == 3 { headerBytes = try checkVersion3(image, clusterBytes: 1 << clusterBits) }
        try checkExtensions(image.head, from: headerBytes, clusterBytes: 1 << clusterBits)
        return try checkTables(short, image, clusterBytes: 1 << UInt64(clusterBits))
    }

    private static func checkBackingFile(_ header: Bytes, _ head: Bytes) throws(Halt) {
        let offset = header.big64(8)
        let length = header.big32(16)
        guard offset != 0 || length != 0 else { return }
        // The name is only for the message: it is shown where the head happens to hold it.
        guard offset < UInt64(head.count), (1...1023).contains(length), Int(offset) + Int(length) <= head.count else {
            throw .refused(.backingFile(.qcow2, name: nil))
        }
        throw .refused(.backingFile(.qcow2, name: String(decoding: head[Int(offset)..<Int(offset) + Int(length)], as: UTF8.self)))
    }

    /// Feature bits and the length of the longer header, which is returned.
    private static func checkVersion3(_ image: ImageBytes, clusterBytes: Int) throws(Halt) -> Int {
        let header = try image.read(at: 0, count: 104, of: .qcow2)
        let features = header.big64(72)
        let dataFile: UInt64 = 1 << 2
        // 0 dirty, 1 corrupt, 3 compression type. Nova takes no others: 4, extended L2 entries, is refused too.
        let known: UInt64 = 1 << 0 | 1 << 1 | dataFile | 1 << 3
        guard features & ~known == 0 else { throw .refused(.unknownFeatures(.qcow2, bits: features & ~known)) }
        let length = header.big32(100)
        guard length >= 104, length <= clusterBytes, length % 8 == 0 else { throw bad("header_length is \(length)") }
        guard header.big32(96) <= 6 else { throw bad("refcount_order is \(header.big32(96))") }
        if features & dataFile != 0 {
            throw .refused(.externalDataFile(name: try dataFileName(image.head, from: Int(length), clusterBytes: clusterBytes)))
        }
        return Int(length)
    }

    private static func checkExtensions(_ head: Bytes, from start: Int, clusterBytes: Int) throws(Halt) {
        if let name = try dataFileName(head, from: start, clusterBytes: clusterBytes) { throw .refused(.externalDataFile(name: name)) }
    }

    /// Walks the header extensions (type, length, data padded to 8 bytes) to their end; the name in the data-file extension, if there is one.
    private static func dataFileName(_ head: Bytes, from start: Int, clusterBytes: Int) throws(Halt) -> String? {
        var position = start
        let end = min(clusterBytes, head.count)
        while position + 8 <= end {
            let type = head.big32(position)
            let length = Int(head.big32(position + 4))
            if type == 0 { return nil }
            position += 8
            guard length <= end - position else { throw bad("a header extension of \(length) bytes does not fit") }
            // "DATA"; QEMU would open it.
            if type == 0x4441_5441 { return String(decoding: head[position..<position + length], as: UTF8.self) }
            position += (length + 7) & ~7
        }
        if end < clusterBytes, Int64(end) == ImageBytes.headBytes { throw bad("its extensions do not end within \(end) bytes") }
        return nil
    }

    /// The virtual size, once the tables that map it begin inside the image.
    private static func checkTables(_ header: Bytes, _ image: ImageBytes, clusterBytes: UInt64) throws(Halt) -> Int64 {
        guard header.big32(32) <= 2 else { throw bad("crypt_method is \(header.big32(32))") }
        for (name, offset) in [("l1_table_offset", header.big64(40)), ("refcount_table_offset", header.big64(48))] {
            guard offset % clusterBytes == 0 else { throw bad("\(name) is \(offset)") }
            _ = try image.range(at: offset, count: 0, of: .qcow2)
        }
        guard let size = Int64(exactly: header.big64(24)) else { throw bad("size is \(header.big64(24))") }
        // QEMU serves whole sectors only.
        return size & ~511
    }

    private static func bad(_ problem: String) -> Halt { .refused(.badHeader(.qcow2, problem)) }
}
