/// What an image's bytes are. Names are Glance's `disk_format` where Glance has one; `gpt` stands for MBR too, as in oslo.utils.
public enum DetectedFormat: String, Hashable, Sendable, CaseIterable {
    case raw, qcow2, qed, vmdk, vhd, vhdx, vdi, iso, gpt, luks
    /// QEMU opens these by their first bytes; Nova takes them from nobody.
    case parallels, bochs, cloop
}

extension DetectedFormat {
    /// Raw is what remains when nothing else matches.
    func matches(_ head: Bytes) -> Bool {
        switch self {
        case .raw: false
        case .qcow2: Qcow2.matches(head)
        case .vmdk: VMDK.matches(head)
        case .vhd: VHD.matches(head)
        case .vhdx: VHDX.matches(head)
        case .vdi: VDI.matches(head)
        case .iso: ISO.matches(head)
        case .gpt: PartitionTable.matches(head)
        case .luks: LUKS.matches(head)
        case .qed: head.has("QED\0", at: 0)
        case .parallels: head.has("WithoutFreeSpace", at: 0) || head.has("WithouFreSpacExt", at: 0)
        case .bochs: head.has("Bochs Virtual HD Image", at: 0)
        case .cloop: head.has("#!/bin/sh\n#V2.0 Format\nmodprobe cloop", at: 0)
        }
    }

    /// What `qemu-img -f` calls it; nil for what is raw to QEMU.
    var qemuName: String? {
        switch self {
        case .raw, .iso, .gpt: nil
        case .vhd: "vpc"
        case .qcow2, .qed, .vmdk, .vhdx, .vdi, .luks, .parallels, .bochs, .cloop: rawValue
        }
    }

    /// The virtual size in bytes of an image that is safe.
    func check(_ image: ImageBytes) throws(Halt) -> Int64? {
        switch self {
        case .qcow2: try Qcow2.check(image)
        case .vmdk: try VMDK.check(image)
        case .vhd: try VHD.check(image)
        case .vhdx: try VHDX.check(image)
        case .vdi: try VDI.check(image)
        case .gpt: try PartitionTable.check(image)
        case .luks: try LUKS.check(image)
        // To QEMU an ISO is raw, so it takes what it has and not what its volume descriptor claims.
        case .raw, .iso: image.sizeBytes
        case .qed, .parallels, .bochs, .cloop: throw .refused(.formatUnsupported(self))
        }
    }
}
