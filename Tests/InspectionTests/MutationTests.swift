import ForecacheTestSupport
import Foundation
import Testing

@testable import Inspection

/// Any bytes end in a verdict, within the bounds that `inspect` (Fixtures.swift) asserts on the way.
@Suite struct MutationTests {
    private static func fixtures() throws -> [(declared: String, bytes: [UInt8])] {
        var all = try RecognitionTests.made.filter { !$0.options.contains("subformat=fixed") }.map {
            ($0.declared, try QemuImg.create($0.qemu, $0.options, size: "1M"))
        }
        all.append(
            ("luks", HandMade.luks()))
        all.append(("qed", try QemuImg.create("qed", size: "1M")))
        all.append(("vmdk", try HandMade.vmdkWithFooter()))
        all.append(("vmdk", Array(HandMade.goodDescriptor.utf8)))
        all.append(contentsOf: [("raw", HandMade.mbr()), ("gpt", HandMade.gpt()), ("iso", HandMade.iso())])
        return all
    }

    /// Where each format keeps what is read: most mutations go there, since most bytes of an image are never looked at.
    private static func places(_ declared: String, _ bytes: [UInt8]) -> [Range<Int>] {
        var places = [0..<min(128, bytes.count), 0..<min(1024, bytes.count), max(0, bytes.count - 1536)..<bytes.count]
        if declared == "vhdx", let metadata = bytes.firstOffset(of: "metadata") {
            places += [196608..<196608 + 128, metadata..<metadata + 256, metadata + 65536..<metadata + 65536 + 64]
        }
        return places
    }

    /// One to six places of an image changed; `undo` holds what was there.
    private static func mutate(_ bytes: inout [UInt8], in places: [Range<Int>], _ generator: inout SplitMix64) -> [(Int, UInt8)] {
        var undo: [(Int, UInt8)] = []
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
            let place = places[Int.random(in: places.indices, using: &generator)]
            let offset = Int.random(in: place, using: &generator)
            let width = [1, 1, 2, 4, 8][Int.random(in: 0..<5, using: &generator)]
            for at in offset..<min(offset + width, bytes.count) {
                undo.append((at, bytes[at]))
                let extremes: [UInt8] = [0, 1, 2, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &generator)]
                bytes[at] = extremes[Int.random(in: extremes.indices, using: &generator)]
            }
        }
        return undo
    }

    private static func generator(_ what: String) -> (SplitMix64, seed: UInt64) {
        let given = ProcessInfo.processInfo.environment["INSPECTION_SEED"].flatMap { UInt64($0) }
        let seed = given ?? UInt64.random(in: 0 ... .max)
        // Said before the first mutation: a trap leaves no time afterwards.
        say("\(what): INSPECTION_SEED=\(seed)")
        return (SplitMix64(seed: seed), seed)
    }

    private static func say(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

    @Test func noMutationOfAnyImageTrapsOrReadsTooMuch() throws {
        var (generator, seed) = Self.generator("mutations of images")
        var fixtures = try Self.fixtures()
        let places = fixtures.map { Self.places($0.declared, $0.bytes) }
        // Longer by hand: INSPECTION_SECONDS=600.
        let seconds = ProcessInfo.processInfo.environment["INSPECTION_SECONDS"].flatMap { Int($0) } ?? 4
        let deadline = ContinuousClock.now.advanced(by: .seconds(seconds))
        var (tried, safe, refusals) = (0, 0, Set<String>())
        while ContinuousClock.now < deadline {
            let index = Int.random(in: fixtures.indices, using: &generator)
            let undo = Self.mutate(&fixtures[index].bytes, in: places[index], &generator)
            let declared = Bool.random(using: &generator) ? fixtures[index].declared : nil
            // One in eight is cut short as well.
            if Int.random(in: 0..<8, using: &generator) == 0 {
                _ = inspect(Array(fixtures[index].bytes.prefix(Int.random(in: 0...4096, using: &generator))), declared: declared)
            }
            switch inspect(fixtures[index].bytes, declared: declared) {
            case .safe: safe += 1
            case .refused(let refusal): refusals.insert(String("\(refusal)".prefix(40)))
            }
            tried += 1
            for (offset, byte) in undo.reversed() { fixtures[index].bytes[offset] = byte }
        }
        Self.say("mutations of images: \(tried) tried, \(safe) safe, \(refusals.count) kinds of refusal")
        #expect(tried > 100 && safe > 0 && refusals.count > 10, "INSPECTION_SEED=\(seed)")
    }

    /// The formats that can name other files, held against QEMU itself.
    @Test(arguments: ["qcow2", "vmdk"]) func whatIsSafeNamesNoOtherFileToQEMU(_ format: String) throws {
        var (generator, seed) = Self.generator("safe \(format) in QEMU's eyes")
        let original = try QemuImg.create(format, size: "1M")
        var (safe, opened) = (0, 0)
        for _ in 0..<2000 where safe < 30 {
            var bytes = original
            _ = Self.mutate(&bytes, in: [0..<128, 0..<1024], &generator)
            guard case .safe(_, let size) = inspect(bytes, declared: format) else { continue }
            safe += 1
            // What QEMU does not open, it does not follow.
            guard let info = try? QemuImg.info(bytes, format) else { continue }
            opened += 1
            #expect(info.backingFilename == nil && info.dataFile == nil, "INSPECTION_SEED=\(seed)")
            #expect(info.virtualSize == size, "INSPECTION_SEED=\(seed)")
        }
        #expect(safe == 30 && opened > 0, "INSPECTION_SEED=\(seed)")
    }
}
