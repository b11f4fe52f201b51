import Crypto
import ForecacheModel
import Inspection
import Testing

/// What is handed on of a safe image: the format for `qemu-img -f`, the size of its disk, and the proof.
@Suite struct InspectedTests {
    private func inspected(_ bytes: [UInt8], declared: String) throws -> InspectedImage {
        var inspector = Inspector(declaredFormat: declared, sizeBytes: Int64(bytes.count))
        #expect(inspector.inspected == nil)
        while case .need(let ranges) = inspector.next() {
            for range in ranges { inspector.received(Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)]), at: range) }
        }
        return try #require(inspector.inspected)
    }

    @Test(arguments: [("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vpc", "vhd"), ("vhdx", "vhdx"), ("vdi", "vdi")])
    func theDiskIsAsLargeAsQEMUSays(format: String, declared: String) throws {
        for size in ["8M", "100M", "101064192"] {
            let bytes = try QemuImg.create(format, size: size)
            let image = try inspected(bytes, declared: declared)
            #expect(image.qemuFormat == format)
            #expect(image.virtualSizeBytes == (try QemuImg.virtualSize(bytes, format)), "\(format) \(size)")
        }
    }

    @Test func theProofIsOfTheBytesThatWereSeen() throws {
        let bytes = try QemuImg.create("vhdx")
        let proof = try inspected(bytes, declared: "vhdx").proof
        var hash = SHA256()
        var end: Int64 = 0
        for range in proof.ranges {
            #expect(range.lowerBound >= end && !range.isEmpty)
            end = range.upperBound
            hash.update(data: bytes[Int(range.lowerBound)..<Int(range.upperBound)])
        }
        #expect(proof.sha256 == Hexadecimal.text(hash.finalize()) && proof.ranges.count > 1)
    }

    @Test func rawImagesHaveNothingToConvert() throws {
        let image = try inspected([UInt8](repeating: 0, count: 3000), declared: "raw")
        #expect(image.qemuFormat == nil && image.virtualSizeBytes == 3000 && image.proof.ranges == [0..<3000])
    }

    @Test func whatIsRefusedHasNothingToHandOn() {
        var inspector = Inspector(declaredFormat: "qcow2", sizeBytes: 4)
        inspector.received([0, 0, 0, 0], at: 0..<4)
        while case .need(let ranges) = inspector.next() { for range in ranges { inspector.received([0, 0, 0, 0], at: range) } }
        #expect(inspector.inspected == nil)
    }
}
