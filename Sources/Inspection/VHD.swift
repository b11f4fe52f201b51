/// Connectix's and Microsoft's VHD with its footer copied to the front, as every dynamic disk has it. All numbers are big-endian.
///
/// A *fixed* VHD is raw data with a footer at the end only; like oslo.utils we see raw there, so that one declared `vhd` is a mismatch.
enum VHD {
    static func matches(_ head: Bytes) -> Bool { head.has("conectix", at: 0) }

    static func check(_ image: ImageBytes) throws(Halt) -> Int64? {
        let footer = try image.read(at: 0, count: 512, of: .vhd)
        switch footer.big32(60) {
        case 3: break
        case 4: throw .refused(.backingFile(.vhd, name: nil))
        case let type: throw .refused(.badHeader(.vhd, "disk type \(type) with a footer at the front"))
        }
        let header = try image.read(at: footer.big64(16), count: 1024, of: .vhd)
        guard header.has("cxsparse", at: 0) else { throw .refused(.badHeader(.vhd, "no dynamic disk header where the footer says")) }
        // Parent's unique id and the eight parent locators: all empty in a disk that stands alone.
        guard header.isZero(40..<56), header.isZero(576..<768) else { throw .refused(.backingFile(.vhd, name: nil)) }
        guard let size = Int64(exactly: footer.big64(48)) else { throw .refused(.badHeader(.vhd, "size is \(footer.big64(48))")) }
        return visibleSize(footer, currentSize: size)
    }

    /// Virtual PC shows its guests what cylinders, heads and sectors make of the size, others the size itself; QEMU goes by who made the image (block/vpc.c).
    private static func visibleSize(_ footer: Bytes, currentSize: Int64) -> Int64 {
        let byGeometry = Int64(footer.big16(56)) * Int64(footer[58]) * Int64(footer[59])
        let takesSize = ["win ", "qem2", "d2v ", "tap\0", "CTXS", "wa\0\0"].contains { footer.has($0, at: 28) }
        return takesSize || byGeometry == 65535 * 16 * 255 ? currentSize / 512 * 512 : byGeometry * 512
    }
}
