import Foundation

@testable import Inspection

struct Missing: Error, CustomStringConvertible { let description: String }

/// Images made on the spot by `qemu-img`, each in a folder of its own that is gone afterwards.
enum QemuImg {
    private static let path = "/usr/bin/qemu-img"
    static let megabyte = 1 << 20

    /// A new image's bytes.
    static func create(_ format: String, _ options: [String] = [], size: String = "8M") throws -> [UInt8] {
        try inFolder { folder in
            try run(["create", "-q", "-f", format] + options.map { $0.replacing("@", with: folder.path) } + ["image", size], in: folder)
            return try bytes(folder)
        }
    }

    /// Eight megabytes with a little in them, converted.
    static func convert(to format: String, _ options: [String] = []) throws -> [UInt8] {
        try inFolder { folder in
            var raw = Data(count: 8 * megabyte)
            for offset in stride(from: 0, to: raw.count, by: 1 << 19) { raw[offset + 4096] = UInt8(offset >> 19) + 1 }
            try raw.write(to: folder.appending(path: "raw"))
            try run(["convert", "-f", "raw", "-O", format] + options + ["raw", "image"], in: folder)
            return try bytes(folder)
        }
    }

    /// What QEMU itself finds in an image, as far as it matters here.
    struct Info: Decodable {
        struct Specific: Decodable { let data: Details }
        struct Details: Decodable { let dataFile: String? }
        let virtualSize: Int64
        let backingFilename: String?
        let formatSpecific: Specific?

        var dataFile: String? { formatSpecific?.data.dataFile }
    }

    static func info(_ bytes: [UInt8], _ format: String) throws -> Info {
        try inFolder { folder in
            try Data(bytes).write(to: folder.appending(path: "image"))
            let text = try run(["info", "-f", format, "--output=json", "image"], in: folder)
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .custom { keys in
                let words = keys[keys.count - 1].stringValue.split(separator: "-")
                return Key(stringValue: words[0] + words.dropFirst().map(\.capitalized).joined())
            }
            return try decoder.decode(Info.self, from: Data(text.utf8))
        }
    }

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// What QEMU takes it for when it is left to guess; nil where it finds a format and then nothing that it can open.
    static func probe(_ bytes: [UInt8]) throws -> String? {
        struct Info: Decodable { let format: String }
        return try inFolder { folder in
            try Data(bytes + [UInt8](repeating: 0, count: megabyte)).write(to: folder.appending(path: "image"))
            // That it cannot be opened is an answer too.
            guard let text = try? run(["info", "--output=json", "image"], in: folder) else { return nil }
            return try JSONDecoder().decode(Info.self, from: Data(text.utf8)).format
        }
    }

    static func virtualSize(_ bytes: [UInt8], _ format: String) throws -> Int64 { try info(bytes, format).virtualSize }

    private static func bytes(_ folder: URL) throws -> [UInt8] { Array(try Data(contentsOf: folder.appending(path: "image"))) }

    private static func inFolder<T>(_ body: (URL) throws -> T) throws -> T {
        let folder = FileManager.default.temporaryDirectory.appending(path: "inspection-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }  // a leftover in the temporary directory harms nobody
        return try body(folder)
    }

    @discardableResult
    private static func run(_ arguments: [String], in folder: URL) throws -> String {
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw Missing(description: "\(path) is not installed: these tests make their images with it (Debian: qemu-utils)")
        }
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.currentDirectoryURL = folder
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Missing(description: "qemu-img \(arguments.joined(separator: " ")): \(text)") }
        return text
    }
}

/// Images written by hand.
enum HandMade {
    static func mbr(types: [UInt8] = [0x83], bootFlag: UInt8 = 0x80, bytes: Int = 1 << 20) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: bytes)
        for (index, type) in types.enumerated() {
            image[446 + 16 * index] = bootFlag
            image[446 + 16 * index + 4] = type
        }
        image.replaceSubrange(510..<512, with: [0x55, 0xAA])
        return image
    }

    /// A protective MBR and the GPT's signature behind it.
    static func gpt() -> [UInt8] {
        var image = mbr(types: [0xEE], bootFlag: 0)
        image[448] = 2
        image[454] = 1
        image.put("EFI PART", at: 512)
        return image
    }

    static func iso() -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 64 << 10)
        image[32 << 10] = 1
        image.put("CD001", at: (32 << 10) + 1)
        return image
    }

    /// An encrypted disk of version 1 with eight unused key slots. `qemu-img` makes real ones, but first measures the machine, and fails on a busy one.
    static func luks(payloadBytes: Int = 1 << 20) -> [UInt8] {
        let keySectors = 504
        let payloadSector = 8 + 8 * keySectors
        var image = [UInt8](repeating: 0, count: payloadSector * 512 + payloadBytes)
        image.replaceSubrange(0..<8, with: [0x4C, 0x55, 0x4B, 0x53, 0xBA, 0xBE, 0, 1])
        for (offset, word) in [(8, "aes"), (40, "xts-plain64"), (72, "sha256")] { image.put(word, at: offset) }
        image.put(big32: payloadSector, at: 104)
        image.put(big32: 64, at: 108)
        image.put(big32: 1000, at: 164)
        image.put("687963de-0000-4000-8000-000000000001", at: 168)
        for slot in 0..<8 {
            image.put(big32: 0xDEAD, at: 208 + 48 * slot)
            image.put(big32: 8 + keySectors * slot, at: 208 + 48 * slot + 40)
            image.put(big32: 4000, at: 208 + 48 * slot + 44)
        }
        return image
    }

    /// A VMDK whose header is QEMU's and whose descriptor is this.
    static func vmdk(_ descriptor: String) throws -> [UInt8] {
        var image = try QemuImg.create("vmdk")
        image.replaceSubrange(512..<512 + 20 * 512, with: [UInt8](repeating: 0, count: 20 * 512))
        image.put(descriptor, at: 512)
        return image
    }

    /// A streamed VMDK as VMware writes it: the true header is in the footer.
    static func vmdkWithFooter() throws -> [UInt8] {
        var image = try QemuImg.convert(to: "vmdk", ["-o", "subformat=streamOptimized"])
        image += [UInt8](repeating: 0, count: (512 - image.count % 512) % 512)
        var marker = [UInt8](repeating: 0, count: 512)
        marker[0] = 1
        marker[12] = 3
        image += marker + image[0..<512] + [UInt8](repeating: 0, count: 512)
        image.replaceSubrange(56..<64, with: [UInt8](repeating: 0xFF, count: 8))
        return image
    }

    static let goodDescriptor = """
        # Disk DescriptorFile
        version=1
        CID=687963de
        parentCID=ffffffff
        createType="monolithicSparse"

        RW 16384 SPARSE "disk.vmdk"

        ddb.adapterType = "ide"

        """
}

extension [UInt8] {
    mutating func put(_ text: String, at offset: Int) { replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8) }

    mutating func put(big32 number: Int, at offset: Int) {
        replaceSubrange(offset..<offset + 4, with: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) })
    }

    func patched(_ offset: Int, _ bytes: [UInt8]) -> [UInt8] {
        var copy = self
        copy.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        return copy
    }

    func firstOffset(of text: String) -> Int? {
        let word = Array(text.utf8)
        return indices.first { self[$0] == word[0] && self[$0...].starts(with: word) }
    }
}

/// The whole conversation, held to what `Inspector` promises about it.
func inspect(_ bytes: [UInt8], declared: String?) -> Verdict {
    var inspector = Inspector(declaredFormat: declared, sizeBytes: Int64(bytes.count))
    var rounds = 0
    var total = 0
    while case .need(let ranges) = inspector.next() {
        rounds += 1
        precondition(rounds <= Inspector.maxRounds && !ranges.isEmpty)
        for range in ranges {
            total += range.count
            precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count && range.count <= Inspector.maxRangeBytes)
            inspector.received(Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)]), at: range)
        }
        precondition(total <= Int(Inspector.maxBytes))
    }
    guard case .done(let verdict) = inspector.next() else { preconditionFailure("neither a need nor a verdict") }
    return verdict
}

/// The refusal, or nil for a safe image.
func refusal(_ bytes: [UInt8], declared: String?) -> Refusal? {
    if case .refused(let refusal) = inspect(bytes, declared: declared) { refusal } else { nil }
}
