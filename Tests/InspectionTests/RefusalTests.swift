import Testing

@testable import Inspection

/// One hostile image for each refusal.
@Suite struct RefusalTests {
    @Test func qcow2WithABackingFile() throws {
        for name in ["/etc/passwd", "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}}"] {
            let bytes = try QemuImg.create("qcow2", ["-u", "-F", "raw", "-b", name])
            #expect(refusal(bytes, declared: "qcow2") == .backingFile(.qcow2, name: name))
            #expect(refusal(bytes, declared: "raw") == .formatMismatch(declared: "raw", detected: .qcow2))
        }
        let far = try QemuImg.create("qcow2").patched(8, [0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 9])
        #expect(refusal(far, declared: "qcow2") == .backingFile(.qcow2, name: nil))
    }

    @Test func qcow2WithItsDataElsewhere() throws {
        let bytes = try QemuImg.create("qcow2", ["-o", "data_file=@/data,data_file_raw=on"])
        guard case .externalDataFile(let name?) = refusal(bytes, declared: "qcow2") else {
            Issue.record("\(inspect(bytes, declared: "qcow2"))")
            return
        }
        #expect(name.hasSuffix("/data"))
        // The bit alone, and the name alone.
        let plain = try QemuImg.create("qcow2")
        #expect(refusal(plain.patched(79, [4]), declared: "qcow2") == .externalDataFile(name: nil))
        #expect(refusal(bytes.patched(79, [0]), declared: "qcow2") == .externalDataFile(name: name))
    }

    @Test func anImageWithoutBytes() {
        for format in ["raw", "qcow2", "iso"] { #expect(refusal([], declared: format) == .empty) }
    }

    @Test func qcow2WithWhatNobodyKnows() throws {
        let plain = try QemuImg.create("qcow2")
        let length = Int64(plain.count)
        #expect(
            refusal(try QemuImg.create("qcow2", ["-o", "extended_l2=on"]), declared: "qcow2") == .unknownFeatures(.qcow2, bits: 1 << 4))
        #expect(refusal(plain.patched(72, [0x80]), declared: "qcow2") == .unknownFeatures(.qcow2, bits: 1 << 63))
        for version: UInt8 in [0, 1, 4] {
            #expect(refusal(plain.patched(7, [version]), declared: "qcow2") == .unsupportedVersion(.qcow2, UInt32(version)))
        }
        for header: [UInt8] in [[0, 0, 0, 0], [0, 0, 0, 105], [0, 1, 0, 8], [0xFF, 0xFF, 0xFF, 0xF8]] {
            #expect(isBadHeader(refusal(plain.patched(100, header), declared: "qcow2")))
        }
        for (offset, bytes) in [(23, [8]), (23, [22]), (35, [3]), (99, [7]), (24, [0x80]), (47, [1])] as [(Int, [UInt8])] {
            #expect(isBadHeader(refusal(plain.patched(offset, bytes), declared: "qcow2")), "byte \(offset)")
        }
        let none = refusal(plain.patched(24, [0, 0, 0, 0, 0, 0, 0, 0]), declared: "qcow2")
        #expect(none == .badHeader(.qcow2, "a virtual size of 0 bytes"))
        #expect(refusal(plain.patched(41, [1]), declared: "qcow2") == .truncated(.qcow2, sizeBytes: length))
        // A header extension that claims more than there is.
        #expect(isBadHeader(refusal(plain.patched(112, [1, 2, 3, 4, 0xFF, 0xFF, 0xFF, 0xFF]), declared: "qcow2")))
    }

    @Test func formatsThatNovaNeverTakes() throws {
        #expect(refusal(try QemuImg.create("qed"), declared: "qed") == .formatUnsupported(.qed))
        #expect(refusal(try QemuImg.create("qed"), declared: "raw") == .formatMismatch(declared: "raw", detected: .qed))
        #expect(refusal(try QemuImg.create("parallels"), declared: nil) == .formatUnsupported(.parallels))
        #expect(refusal(try QemuImg.create("parallels"), declared: "raw") == .formatMismatch(declared: "raw", detected: .parallels))
        #expect(refusal([0], declared: "ploop") == .declaredFormatUnsupported("ploop"))
        #expect(refusal([0], declared: "QCOW2") == .declaredFormatUnsupported("QCOW2"))
    }

    @Test func vmdkOfAnotherKind() throws {
        for type in ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
            let bytes = try QemuImg.create("vmdk", ["-o", "subformat=\(type)"])
            #expect(refusal(bytes, declared: "vmdk") == .vmdkSubformat(type.lowercased()))
            #expect(refusal(bytes, declared: "raw") == .formatMismatch(declared: "raw", detected: .vmdk))
        }
        let passwd =
            "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 4 FLAT \"/etc/passwd\" 0\n"
        #expect(refusal(Array(passwd.utf8), declared: "vmdk") == .vmdkSubformat("monolithicflat"))
        #expect(refusal(Array(passwd.utf8), declared: "raw") == .formatMismatch(declared: "raw", detected: .vmdk))
        #expect(isBadDescriptor(refusal(Array(HandMade.goodDescriptor.utf8), declared: "vmdk")), "a descriptor alone")
        #expect(refusal(Array("COWD".utf8), declared: "vmdk") == .vmdkSubformat("vmfsSparse"))
    }

    /// What is text to QEMU is bytes: an accent that joins the character before it hides nothing.
    @Test(arguments: [
        "#\u{301}\nversion=1\n", "# x\r\n#\u{301}\r\nversion=2\r\n", "version=3\n\u{301}", "#\u{200D}\u{20DD}\n \r\n  \nversion=1\n",
        "#\0\u{301}\nversion=1\r\n",
    ]) func vmdkTextThatQEMUWouldProbe(_ text: String) throws {
        #expect(try QemuImg.probe(Array(text.utf8)) != "raw", "else this tests nothing")
        #expect(refusal(Array(text.utf8), declared: "raw") == .formatMismatch(declared: "raw", detected: .vmdk))
        let large = Array(text.utf8) + [UInt8](repeating: 0xCC, count: 1 << 17)
        #expect(refusal(large, declared: "raw") == .formatMismatch(declared: "raw", detected: .vmdk))
        #expect(refusal(large, declared: nil) != nil)
    }

    @Test(arguments: ["createType=\"\u{301}monolithicFlat\"", "CREATETYPE=\"x\"", "c\u{301}createType=\"\u{301}"])
    func vmdkTextThatGlanceWouldTakeForOne(_ line: String) {
        let text = String(repeating: "# padding\n", count: 60) + line
        #expect(refusal(Array(text.utf8), declared: "raw") == .formatMismatch(declared: "raw", detected: .vmdk))
    }

    @Test(arguments: ["# comment\nversion=4\n", "#!/bin/sh\necho\n", "version=1x\n", "x\u{301}\nversion=1\n"]) func textThatIsRaw(
        _ text: String
    ) throws {
        #expect(try QemuImg.probe(Array(text.utf8)) == "raw")
        #expect(refusal(Array(text.utf8), declared: "raw") == nil)
    }

    @Test func vmdkWithADescriptorThatLeadsElsewhere() throws {
        let good = HandMade.goodDescriptor
        #expect(refusal(try HandMade.vmdk(good), declared: "vmdk") == nil)
        #expect(refusal(try HandMade.vmdk(good.replacing("\n", with: "\r\n")), declared: "vmdk") == nil)
        for extent in [
            "RW 16384 FLAT \"disk.vmdk\" 0", "RW 16384 SPARSE \"/etc/passwd\"", "RW 16384 SPARSE \"..\"", "RW 16384 SPARSE \"a\\b\"",
            "RW 16384 SPARSE disk.vmdk", "RW 16384 ZERO", "RW x SPARSE \"disk.vmdk\"", "RW",
            "RW 16384 SPARSE \"disk.vmdk\"\nRW 16384 SPARSE \"more.vmdk\"",
        ] {
            let found = refusal(try HandMade.vmdk(good.replacing("RW 16384 SPARSE \"disk.vmdk\"", with: extent)), declared: "vmdk")
            guard case .vmdkExtent = found else {
                Issue.record("\(extent): \(String(describing: found))")
                continue
            }
        }
        let parents = ["parentFileNameHint=\"/etc/passwd\"", "# parentFileNameHint=\"x\"", "parentCID=12345678"]
        for line in parents {
            #expect(refusal(try HandMade.vmdk(good + line + "\n"), declared: "vmdk") == .backingFile(.vmdk, name: nil), "\(line)")
        }
        for text in [
            "", "\n", good + "what is this\n", good + "RW\t1\tFLAT\t\"/etc/a=b\"\t0\n", good + "createType=\"monolithicFlat\"\n",
            good + "#CREATETYPE=\"monolithicFlat\"\n",
            good + "ddb.x = \"é\"\n",
            good.replacing("createType=\"monolithicSparse\"", with: ""), good.replacing("RW 16384 SPARSE \"disk.vmdk\"", with: ""),
        ] { #expect(isBadDescriptor(refusal(try HandMade.vmdk(text), declared: "vmdk")), "\(text)") }
        let long = "createType=\"\(String(repeating: "x", count: 100))\""
        #expect(refusal(try HandMade.vmdk(long), declared: "vmdk") == .vmdkSubformat(String(repeating: "x", count: 64)))
        // QEMU reads on behind a descriptor that fills its sectors.
        let full = good + String(repeating: "#", count: 512 - good.utf8.count) + "parentFileNameHint=\"/etc/passwd\"\n"
        #expect(refusal(try HandMade.vmdk(full).patched(36, [1, 0]), declared: "vmdk") == .backingFile(.vmdk, name: nil))
    }

    @Test func vmdkWithAHeaderThatLies() throws {
        let bytes = try QemuImg.create("vmdk")
        #expect(refusal(bytes.patched(4, [4]), declared: "vmdk") == .unsupportedVersion(.vmdk, 4))
        for (offset, value) in [(12, [UInt8](repeating: 0, count: 8)), (19, [0x80]), (28, [2]), (35, [0xFF]), (36, [0, 0]), (38, [1])]
            as [(Int, [UInt8])]
        {
            #expect(isBadHeader(refusal(bytes.patched(offset, value), declared: "vmdk")), "byte \(offset)")
        }
        #expect(refusal(bytes.patched(36, [0, 8]), declared: "vmdk") == .truncated(.vmdk, sizeBytes: Int64(bytes.count)))
    }

    @Test func vmdkWithAFooterThatDiffers() throws {
        let bytes = try HandMade.vmdkWithFooter()
        let end = bytes.count
        #expect(inspect(bytes, declared: "vmdk") == .safe(format: .vmdk, virtualSizeBytes: 8 << 20))
        let patches = [
            (end - 1536 + 8, 1), (end - 1536 + 12, 0), (end - 1536 + 100, 1), (end - 1024, 0), (end - 1024 + 4, 1), (end - 1024 + 12, 1),
            (end - 1024 + 28, 2), (end - 1, 1),
        ]
        for (offset, byte) in patches {
            #expect(isBadFooter(refusal(bytes.patched(offset, [UInt8(byte)]), declared: "vmdk")), "\(offset - end)")
        }
        #expect(isBadFooter(refusal(bytes.patched(end - 1024 + 56, [UInt8](repeating: 0xFF, count: 8)), declared: "vmdk")))
        #expect(isBadFooter(refusal(bytes + [0], declared: "vmdk")))
        #expect(isBadFooter(refusal(Array(bytes.dropLast(512)), declared: "vmdk")))
    }

    @Test func disksWithParents() throws {
        let vhd = try QemuImg.create("vpc")
        #expect(refusal(vhd.patched(63, [4]), declared: "vhd") == .backingFile(.vhd, name: nil))
        #expect(refusal(vhd.patched(512 + 40, [1]), declared: "vhd") == .backingFile(.vhd, name: nil))
        #expect(refusal(vhd.patched(512 + 576, [1]), declared: "vhd") == .backingFile(.vhd, name: nil))
        #expect(isBadHeader(refusal(vhd.patched(63, [2]), declared: "vhd")))
        #expect(refusal(vhd.patched(16, [0xFF]), declared: "vhd") == .truncated(.vhd, sizeBytes: Int64(vhd.count)))
        let fixed = try QemuImg.create("vpc", ["-o", "subformat=fixed"])
        #expect(refusal(fixed, declared: "vhd") == .formatMismatch(declared: "vhd", detected: .raw))
        let vdi = try QemuImg.create("vdi")
        for offset in [424, 440] { #expect(refusal(vdi.patched(offset, [1]), declared: "vdi") == .backingFile(.vdi, name: nil)) }
        #expect(refusal(vdi.patched(76, [4]), declared: "vdi") == .backingFile(.vdi, name: nil))
        #expect(isBadHeader(refusal(vdi.patched(76, [9]), declared: "vdi")))
        #expect(refusal(vdi.patched(68, [2]), declared: "vdi") == .unsupportedVersion(.vdi, 0x0001_0002))
    }

    @Test func vhdxWithAParentOrABrokenTable() throws {
        let vhdx = try QemuImg.create("vhdx")
        let regions = 192 << 10
        let metadata = try #require(vhdx.firstOffset(of: "metadata"))
        #expect(refusal(vhdx.patched(metadata + (64 << 10) + 4, [2]), declared: "vhdx") == .backingFile(.vhdx, name: nil))
        let locator: [UInt8] = [0x2D, 0x5F, 0xD3, 0xA8, 0x0B, 0xB3, 0x4D, 0x45, 0xAB, 0xF7, 0xD3, 0xD8, 0x48, 0x34, 0xAB, 0x0C]
        #expect(refusal(vhdx.patched(metadata + 32 + 32 * 2, locator), declared: "vhdx") == .backingFile(.vhdx, name: nil))
        for (offset, bytes) in [
            (regions, [0]), (regions + 8, [0xFF, 0xFF]), (regions + 8, [0, 0]), (regions + 48, [0]), (metadata, [0]),
            (metadata + 10, [0xFF, 0xFF]), (metadata + 10, [0, 0]), (metadata + 32, [0]),
        ] as [(Int, [UInt8])] { #expect(isBadHeader(refusal(vhdx.patched(offset, bytes), declared: "vhdx")), "byte \(offset)") }
        // A region that nobody knows counts only where it is required.
        let unknown = vhdx.patched(regions + 16, [0])
        #expect(isBadHeader(refusal(unknown.patched(regions + 44, [1]), declared: "vhdx")))
        #expect(refusal(unknown.patched(regions + 44, [0]), declared: "vhdx") == nil)
        for entry in [regions + 16, regions + 48] {
            let far = refusal(vhdx.patched(entry + 23, [0xFF]), declared: "vhdx")
            #expect(far == .truncated(.vhdx, sizeBytes: Int64(vhdx.count)) || far == nil, "the block map is not ours to follow")
        }
        #expect(refusal(vhdx.patched(metadata + 32 + 19, [0xFF]), declared: "vhdx") == .truncated(.vhdx, sizeBytes: Int64(vhdx.count)))
    }

    @Test func partitionTablesThatHideSomething() {
        for bytes in [
            HandMade.mbr(types: []), HandMade.mbr(bootFlag: 1), HandMade.gpt().patched(447, [1]), HandMade.gpt().patched(454, [2]),
            HandMade.gpt().patched(466, [0x83]), HandMade.gpt().patched(446 + 16 + 4, [0xEE, 0, 0, 0, 1]),
        ] {
            guard case .partitionTable = refusal(bytes, declared: "raw") else {
                Issue.record("\(inspect(bytes, declared: "raw"))")
                continue
            }
        }
    }

    @Test func aRefusalIsOnePrintableSentence() {
        let hostile = "a\nb\u{1B}[2J" + String(repeating: "x", count: 5000)
        for refusal in [
            Refusal.backingFile(.qcow2, name: hostile), .vmdkExtent(hostile), .declaredFormatUnsupported(hostile), .vmdkSubformat(hostile),
        ] {
            #expect(refusal.description.count < 400)
            #expect(!refusal.description.unicodeScalars.contains { $0.properties.generalCategory == .control })
        }
    }

    private func isBadHeader(_ refusal: Refusal?) -> Bool { if case .badHeader = refusal { true } else { false } }
    private func isBadDescriptor(_ refusal: Refusal?) -> Bool { if case .vmdkDescriptor = refusal { true } else { false } }
    private func isBadFooter(_ refusal: Refusal?) -> Bool { if case .vmdkFooter = refusal { true } else { false } }
}
