/// Microsoft's VHDX ([MS-VHDX]): signature, region table at 192 KiB, and from there the metadata with size and parent. All numbers are little-endian.
enum VHDX {
    private static let bat = "2DC27766-F623-4200-9D64-115E9BFD4A08"
    private static let metadata = "8B7CA206-4790-4B9A-B8FE-575F050F886E"
    private static let fileParameters = "CAA16737-FA36-4D43-B3B6-33F0AA44E76B"
    private static let virtualDiskSize = "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
    private static let parentLocator = "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"
    /// Both tables: a header and at most 2047 entries of 32 bytes.
    private static let tableBytes = 64 << 10
    private static let entryLimit: UInt32 = 2047

    static func matches(_ head: Bytes) -> Bool { head.has("vhdxfile", at: 0) }

    static func check(_ image: ImageBytes) throws(Halt) -> Int64? {
        let start = try metadataOffset(try image.read(at: 192 << 10, count: tableBytes, of: .vhdx))
        let items = try metadataItems(try image.read(at: start, count: tableBytes, of: .vhdx))
        guard items[parentLocator] == nil else { throw .refused(.backingFile(.vhdx, name: nil)) }
        guard let parameters = items[fileParameters], let size = items[virtualDiskSize] else { throw bad("no file parameters or no size") }
        // `start` lies inside the image and an item's offset has 32 bits: no overflow.
        let at = (parameters: start + UInt64(parameters), size: start + UInt64(size))
        try image.require([try image.range(at: at.parameters, count: 8, of: .vhdx), try image.range(at: at.size, count: 8, of: .vhdx)])
        let hasParent = try image.read(at: at.parameters, count: 8, of: .vhdx).little32(4) & 2 != 0
        guard !hasParent else { throw .refused(.backingFile(.vhdx, name: nil)) }
        let sizeBytes = try image.read(at: at.size, count: 8, of: .vhdx).little64(0)
        guard let sizeBytes = Int64(exactly: sizeBytes) else { throw bad("size is \(sizeBytes)") }
        return sizeBytes
    }

    private static func metadataOffset(_ table: Bytes) throws(Halt) -> UInt64 {
        guard table.has("regi", at: 0) else { throw bad("no region table") }
        let count = table.little32(8)
        guard count <= entryLimit else { throw bad("\(count) regions") }
        var found: UInt64?
        for index in 0..<Int(count) {
            let entry = 16 + 32 * index
            switch guid(table, entry) {
            case metadata:
                guard found == nil else { throw bad("two metadata regions") }
                found = table.little64(entry + 16)
            case bat: break
            case let other: if table.little32(entry + 28) & 1 != 0 { throw bad("an unknown region that is required: \(other)") }
            }
        }
        guard let found else { throw bad("no metadata region") }
        return found
    }

    /// The metadata items that count here, each with its offset from the region's start.
    private static func metadataItems(_ table: Bytes) throws(Halt) -> [String: UInt32] {
        guard table.has("metadata", at: 0) else { throw bad("no metadata table") }
        let count = table.little16(10)
        guard count <= entryLimit else { throw bad("\(count) metadata items") }
        var items: [String: UInt32] = [:]
        for index in 0..<Int(count) {
            let entry = 32 + 32 * index
            let id = guid(table, entry)
            guard [fileParameters, virtualDiskSize, parentLocator].contains(id) else { continue }
            guard items.updateValue(table.little32(entry + 16), forKey: id) == nil else { throw bad("a metadata item twice") }
        }
        return items
    }

    /// A GUID as Microsoft writes it: the first three groups are little-endian.
    private static func guid(_ bytes: Bytes, _ offset: Int) -> String {
        let order = [3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15]
        let digits = Array("0123456789ABCDEF".utf8)
        let text = order.flatMap { index -> [UInt8] in
            if index < 0 { return [UInt8(ascii: "-")] }
            let byte = bytes[offset + index]
            return [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func bad(_ problem: String) -> Halt { .refused(.badHeader(.vhdx, problem)) }
}
