/// A whole disk: MBR, or GPT behind its protective MBR (UEFI specification 2.10, section 5). Numbers are little-endian.
enum PartitionTable {
    static func matches(_ head: Bytes) -> Bool { head.has([0x55, 0xAA], at: 510) && !isFAT(head) }

    static func check(_ image: ImageBytes) throws(Halt) -> Int64? {
        let sector = try image.read(at: 0, count: 512, of: .gpt)
        var used: [Int] = []
        var isGPT = false
        for index in 0..<4 {
            let entry = 446 + 16 * index
            guard sector[entry] == 0 || sector[entry] == 0x80 else { throw bad("partition \(index) has boot flag \(sector[entry])") }
            let type = sector[entry + 4]
            if type != 0 { used.append(index) }
            guard type == 0xEE else { continue }
            isGPT = true
            guard sector.has([0, 2, 0], at: entry + 1) else {
                throw bad("the protective partition starts at another cylinder, head or sector")
            }
            guard sector.little32(entry + 8) == 1 else {
                throw bad("the protective partition starts at sector \(sector.little32(entry + 8))")
            }
        }
        guard !used.isEmpty else { throw bad("no partitions") }
        guard !isGPT || used == [0] else { throw bad("partitions beside the protective one") }
        return image.sizeBytes
    }

    /// A FAT file system's boot sector ends in the same two bytes: two tables, on a fixed disk.
    private static func isFAT(_ head: Bytes) -> Bool { head[0x10] == 2 && head[0x15] == 0xF8 }

    private static func bad(_ problem: String) -> Halt { .refused(.partitionTable(problem)) }
}
