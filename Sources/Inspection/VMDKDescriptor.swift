/// The text in a VMDK that says of which kind it is and where its data are. Each line must be one we understand; case does not matter.
struct VMDKDescriptor {
    private let text: ArraySlice<UInt8>

    init(_ text: ArraySlice<UInt8>) { self.text = text }

    /// Whether an image begins like a descriptor: by QEMU's test (comments, blank lines, then the version), or by oslo.utils' (text that has a createType).
    /// Bytes are compared and never a `String`, whose characters swallow the accents behind them: they would hide a `#` or a quote.
    static func isDescriptor(_ head: Bytes) -> Bool { hasVersion(head[0..<head.count]) || hasCreateType(head[0..<head.count]) }

    /// QEMU, block/vmdk.c, `vmdk_probe`, which takes fewer lines for blank.
    private static func hasVersion(_ head: ArraySlice<UInt8>) -> Bool {
        let lines = head.prefix(2048).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map(\.trimmed)
        let first = lines.first { !$0.isEmpty && $0.first != UInt8(ascii: "#") } ?? []
        return ["version=1", "version=2", "version=3"].contains { first.elementsEqual($0.utf8) }
    }

    private static func hasCreateType(_ head: ArraySlice<UInt8>) -> Bool {
        guard head.prefix(512).allSatisfy({ (0x20...0x7E).contains($0) || (0x09...0x0D).contains($0) }) else { return false }
        return !head.prefix { $0 != 0 }.lowercased.following("createtype=\"").isEmpty
    }

    func check() throws(Halt) {
        guard !text.isEmpty, text.allSatisfy({ $0 < 0x80 }) else { throw bad("it is empty or not ASCII") }
        let lower = text.lowercased
        // QEMU searches the whole text for these words, comments included, so we do too.
        guard lower.following("parentfilenamehint").isEmpty else { throw .refused(.backingFile(.vmdk, name: nil)) }
        guard lower.following("parentcid=").allSatisfy({ $0.starts(with: "ffffffff".utf8) }) else {
            throw .refused(.backingFile(.vmdk, name: nil))
        }
        try checkCreateType(lower)
        try checkLines(text.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0.trimmed, as: UTF8.self) })
    }

    private func checkCreateType(_ lower: [UInt8]) throws(Halt) {
        let values = lower.following("createtype=")
        guard values.count == 1, let value = values.first, value.first == UInt8(ascii: "\"") else {
            throw bad("it has no createType, or more than one")
        }
        let type = String(decoding: value.dropFirst().prefix(64).prefix { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
        guard type == "monolithicsparse" || type == "streamoptimized" else { throw .refused(.vmdkSubformat(type)) }
    }

    /// All of them are ASCII without line ends, so that each character is a byte.
    private func checkLines(_ lines: [String]) throws(Halt) {
        var extents = 0
        for line in lines where !line.isEmpty && !line.hasPrefix("#") {
            let words = line.split(separator: " ", maxSplits: 3)
            let lower = line.lowercased()
            let key = lower.prefix { $0 != "=" }
            if lower.hasPrefix("ddb") || key.utf8.count < lower.utf8.count && !key.contains(where: \.isWhitespace) { continue }
            guard let access = words.first?.lowercased(), ["rw", "rdonly", "noaccess"].contains(access) else {
                throw bad("a line that is not understood: \(line)")
            }
            extents += 1
            guard extents == 1, isOwnExtent(words.dropFirst().map(String.init)) else { throw .refused(.vmdkExtent(line)) }
        }
        guard extents == 1 else { throw bad("it has no extent") }
    }

    /// `16384 SPARSE "name.vmdk"`: sparse, so in this file, under a name without a way to another place.
    private func isOwnExtent(_ words: [String]) -> Bool {
        guard words.count == 3, UInt64(words[0]) != nil, words[1].lowercased() == "sparse" else { return false }
        let name = words[2]
        guard name.utf8.count > 2, name.hasPrefix("\""), name.hasSuffix("\"") else { return false }
        return !name.contains("/") && !name.contains("\\") && !name.contains("..") && !name.dropFirst().dropLast().contains("\"")
    }

    private func bad(_ problem: String) -> Halt { .refused(.vmdkDescriptor(problem)) }
}

extension ArraySlice<UInt8> {
    /// Without the blanks, tabs and carriage returns around it.
    fileprivate var trimmed: Self {
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
        let rest = drop(while: isBlank)
        return rest.prefix(rest.lastIndex { !isBlank($0) }.map { $0 - rest.startIndex + 1 } ?? 0)
    }

    /// As C's `tolower` has it: ASCII alone.
    fileprivate var lowercased: [UInt8] { map { (0x41...0x5A).contains($0) ? $0 + 32 : $0 } }
}

extension [UInt8] {
    /// What follows each occurrence of a word, to the end.
    fileprivate func following(_ word: String) -> [ArraySlice<UInt8>] {
        let word = Array(word.utf8)
        return indices.filter { self[$0] == word[0] && self[$0...].starts(with: word) }.map { self[($0 + word.count)...] }
    }
}
