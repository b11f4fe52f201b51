import Testing

@testable import Inspection

@Suite struct RecognitionTests {
    struct Made: Sendable, CustomTestStringConvertible {
        let declared: String
        let qemu: String
        var options: [String] = []
        var testDescription: String { "\(declared) \(options.joined(separator: " "))" }
    }

    static let made: [Made] = [
        Made(declared: "qcow2", qemu: "qcow2", options: ["-o", "compat=0.10"]),
        Made(declared: "qcow2", qemu: "qcow2", options: ["-o", "compat=1.1,lazy_refcounts=on"]),
        Made(declared: "qcow2", qemu: "qcow2", options: ["-o", "compression_type=zstd"]),
        Made(declared: "qcow2", qemu: "qcow2", options: ["-o", "cluster_size=512"]),
        Made(declared: "qcow2", qemu: "qcow2", options: ["-o", "cluster_size=2M"]),
        Made(declared: "vmdk", qemu: "vmdk", options: ["-o", "subformat=monolithicSparse"]),
        Made(declared: "vmdk", qemu: "vmdk", options: ["-o", "subformat=streamOptimized"]),
        Made(declared: "vhd", qemu: "vpc", options: ["-o", "subformat=dynamic"]),
        Made(declared: "vhdx", qemu: "vhdx"),
        Made(declared: "vhdx", qemu: "vhdx", options: ["-o", "subformat=fixed"]),
        Made(declared: "vdi", qemu: "vdi"),
        Made(declared: "vdi", qemu: "vdi", options: ["-o", "static=on"]),
    ]

    @Test(arguments: made) func whatQEMUMakesIsSafeAndAsLargeAsQEMUSays(_ made: Made) throws {
        for bytes in [try QemuImg.create(made.qemu, made.options), try QemuImg.convert(to: made.qemu, made.options)] {
            let format = try #require(DetectedFormat(rawValue: made.declared))
            let size = try QemuImg.virtualSize(bytes, made.qemu)
            #expect(inspect(bytes, declared: made.declared) == .safe(format: format, virtualSizeBytes: size))
            #expect(inspect(bytes, declared: nil) == .safe(format: format, virtualSizeBytes: size))
            for other in ["raw", "ami", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso", "gpt", "luks"] where other != made.declared {
                #expect(refusal(bytes, declared: other) == .formatMismatch(declared: other, detected: format))
            }
        }
    }

    @Test func anEncryptedDiskOfVersionOneIsAsLargeAsItsPayload() throws {
        let luks = HandMade.luks()
        #expect(inspect(luks, declared: "luks") == .safe(format: .luks, virtualSizeBytes: try QemuImg.virtualSize(luks, "luks")))
        #expect(refusal(luks.patched(6, [0, 2]), declared: "luks") == .unsupportedVersion(.luks, 2))
        #expect(refusal(luks.patched(104, [0xFF, 0xFF, 0xFF, 0xFF]), declared: "luks") == .truncated(.luks, sizeBytes: Int64(luks.count)))
    }

    @Test(arguments: ["raw", "ami", "aki", "ari"]) func rawIsWhatNothingElseIsAndMayHavePartitions(_ declared: String) {
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        #expect(inspect(zeros, declared: declared) == .safe(format: .raw, virtualSizeBytes: 1 << 20))
        #expect(inspect([1], declared: declared) == .safe(format: .raw, virtualSizeBytes: 1))
        #expect(inspect(HandMade.mbr(), declared: declared) == .safe(format: .gpt, virtualSizeBytes: 1 << 20))
        #expect(inspect(HandMade.gpt(), declared: declared) == .safe(format: .gpt, virtualSizeBytes: 1 << 20))
        #expect(refusal(HandMade.iso(), declared: declared) == .formatMismatch(declared: declared, detected: .iso))
    }

    @Test func aFATBootSectorIsNoPartitionTable() {
        let fat = HandMade.mbr(types: [], bytes: 4096).patched(0x10, [2]).patched(0x15, [0xF8])
        #expect(inspect(fat, declared: "raw") == .safe(format: .raw, virtualSizeBytes: 4096))
    }

    @Test func anISOMayCarryAPartitionTableAndNothingElse() throws {
        #expect(inspect(HandMade.iso(), declared: "iso") == .safe(format: .iso, virtualSizeBytes: 65536))
        let hybrid = HandMade.iso().patched(510, [0x55, 0xAA])
        #expect(inspect(hybrid, declared: "iso") == .safe(format: .iso, virtualSizeBytes: 65536))
        #expect(refusal(hybrid, declared: "gpt") == .formatMismatch(declared: "gpt", detected: .iso))
        let qcow2 = try QemuImg.create("qcow2").patched((32 << 10) + 1, Array("CD001".utf8))
        #expect(refusal(qcow2, declared: "iso") == .severalFormats([.qcow2, .iso]))
        #expect(refusal(hybrid.patched(0, [0x51, 0x46, 0x49, 0xFB]), declared: "iso") == .severalFormats([.qcow2, .iso, .gpt]))
    }

    @Test func twoFormatsAtOnceAreNeverSafe() throws {
        let qcow2 = try QemuImg.create("qcow2")
        #expect(refusal(qcow2.patched(510, [0x55, 0xAA]), declared: "qcow2") == .severalFormats([.qcow2, .gpt]))
        #expect(refusal(qcow2.patched(64, [0x7F, 0x10, 0xDA, 0xBE]), declared: "raw") == .severalFormats([.qcow2, .vdi]))
        let vhd = try QemuImg.create("vpc")
        #expect(refusal(vhd.patched(64, [0x7F, 0x10, 0xDA, 0xBE]), declared: nil) == .severalFormats([.vhd, .vdi]))
    }

    @Test func theConversationIsShortAndToleratesItsCaller() throws {
        let bytes = try QemuImg.create("vhdx")
        var inspector = Inspector(declaredFormat: "vhdx", sizeBytes: Int64(bytes.count))
        #expect(inspector.next() == .need(ranges: [0..<65536]))
        inspector.received([1, 2, 3], at: 7..<10)
        #expect(inspector.next() == .need(ranges: [0..<65536]), "nobody asked for those")
        inspector.received(Array(bytes[0..<65536]), at: 0..<65536)
        #expect(inspector.next() == .need(ranges: [196608..<262144]))
        inspector.received([], at: 196608..<262144)
        #expect(inspector.next() == .done(.refused(.shortRead(196608..<262144, received: 0))))
        struct Lost: Error {}
        #expect(throws: Lost.self) { try Inspector.inspect(declaredFormat: nil, sizeBytes: 10) { _ in throw Lost() } }
        #expect(
            inspect(bytes, declared: "vhdx")
                == Inspector.inspect(declaredFormat: "vhdx", sizeBytes: Int64(bytes.count)) {
                    Array(bytes[Int($0.lowerBound)..<Int($0.upperBound)])
                })
    }

    @Test(arguments: made) func aTruncatedImageIsRefused(_ made: Made) throws {
        let bytes = try QemuImg.create(made.qemu, made.options)
        for length in [0, 1, 4, 8, 68, 71, 100, 511] where length < bytes.count {
            #expect(refusal(Array(bytes.prefix(length)), declared: made.declared) != nil, "\(length) bytes")
        }
    }
}
