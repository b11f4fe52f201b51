/// What a base file is made of.
public enum BaseFileFormat: String, Hashable, Sendable {
    /// The image's own bytes, as Glance has them.
    case original
    /// The raw file that the host makes of them, as Nova does where `force_raw_images` is true.
    case raw
}

/// `node.format`: what base files are to be.
public enum WantedFormat: String, Hashable, Sendable, CaseIterable {
    /// As each host's own nova.conf says; where it does not, Nova's default counts, which is raw.
    case auto
    case raw, original

    /// Whether the base files of a host are made raw. `forcesRawImages`: `force_raw_images` of its nova.conf, nil where it does not tell.
    public func isRaw(forcesRawImages: Bool?) -> Bool {
        switch self {
        case .auto: forcesRawImages ?? true
        case .raw: true
        case .original: false
        }
    }
}

/// What a look at an image's bytes found, before any of them is moved.
public struct InspectedImage: Hashable, Sendable {
    /// What `qemu-img -f` calls it; nil for what is raw to QEMU already, so that there is nothing to convert.
    public var qemuFormat: String?
    /// What the image takes as a raw file, were nothing of it sparse.
    public var virtualSizeBytes: Int64
    public var proof: RangeProof

    public init(qemuFormat: String?, virtualSizeBytes: Int64, proof: RangeProof) {
        self.qemuFormat = qemuFormat
        self.virtualSizeBytes = virtualSizeBytes
        self.proof = proof
    }
}

/// The bytes that were looked at: whoever has the same ones has the image that was found safe.
public struct RangeProof: Hashable, Sendable {
    /// In the order of the image; they do not overlap.
    public var ranges: [Range<Int64>]
    /// Lower-case hex of the bytes of all ranges, one after the other.
    public var sha256: String

    public init(ranges: [Range<Int64>], sha256: String) {
        self.ranges = ranges
        self.sha256 = sha256
    }
}
