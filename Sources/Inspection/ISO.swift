/// ISO 9660 and UDF, by the first volume descriptor, at 32 KiB. There is nothing in it that QEMU would follow: to QEMU it is raw.
enum ISO {
    static func matches(_ head: Bytes) -> Bool { ["CD001", "NSR02", "NSR03"].contains { head.has($0, at: (32 << 10) + 1) } }
}
