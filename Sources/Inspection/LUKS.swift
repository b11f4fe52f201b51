/// An encrypted disk, version 1 (LUKS On-Disk Format Specification 1.2.3): a header and the payload. QEMU reads no other version. Big-endian.
enum LUKS {
    static func matches(_ head: Bytes) -> Bool { head.has([0x4C, 0x55, 0x4B, 0x53, 0xBA, 0xBE], at: 0) }

    static func check(_ image: ImageBytes) throws(Halt) -> Int64? {
        let version = try image.read(at: 0, count: 8, of: .luks).big16(6)
        guard version == 1 else { throw .refused(.unsupportedVersion(.luks, UInt32(version))) }
        let header = try image.read(at: 0, count: 592, of: .luks)
        let payload = try image.range(at: UInt64(header.big32(104)) * 512, count: 0, of: .luks)
        return image.sizeBytes - payload.lowerBound
    }
}
