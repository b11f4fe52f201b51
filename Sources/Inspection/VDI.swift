/// VirtualBox's format, version 1.1 (QEMU, block/vdi.c). All numbers are little-endian.
enum VDI {
    static func matches(_ head: Bytes) -> Bool { head.has([0x7F, 0x10, 0xDA, 0xBE], at: 64) }

    static func check(_ image: ImageBytes) throws(Halt) -> Int64? {
        let header = try image.read(at: 0, count: 512, of: .vdi)
        let version = header.little32(68)
        guard version == 0x0001_0001 else { throw .refused(.unsupportedVersion(.vdi, version)) }
        switch header.little32(76) {
        case 1, 2: break
        case 3, 4: throw .refused(.backingFile(.vdi, name: nil))
        case let type: throw .refused(.badHeader(.vdi, "image type \(type)"))
        }
        // The links to a previous and to a parent image.
        guard header.isZero(424..<456) else { throw .refused(.backingFile(.vdi, name: nil)) }
        for (name, offset) in [("block map", header.little32(340)), ("data", header.little32(344))] {
            guard offset % 512 == 0 else { throw .refused(.badHeader(.vdi, "the \(name) begins at byte \(offset)")) }
        }
        guard let size = Int64(exactly: header.little64(368)) else { throw .refused(.badHeader(.vdi, "size is \(header.little64(368))")) }
        return size
    }
}
