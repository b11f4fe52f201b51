public import FoundationEssentials

/// The life of a Glance image, in Glance's words (glance/domain/__init__.py).
public enum ImageStatus: String, Hashable, Sendable, Encodable {
    case queued, saving, uploading, importing, active, deactivated, killed, deleted
    case pendingDelete = "pending_delete"
    /// A word that this version does not know; treated as "not active".
    case unknown

    public init(glance text: String) { self = ImageStatus(rawValue: text) ?? .unknown }
}

/// What Glance itself says about an image, and what only leads to bytes or secrets: never custom properties, whatever they are called.
public enum ImageAttribute {
    private static let names: Set<String> = [
        "id", "name", "status", "visibility", "protected", "os_hidden", "checksum", "os_hash_algo", "os_hash_value", "owner", "size",
        "virtual_size", "container_format", "disk_format", "created_at", "updated_at", "deleted_at", "deleted", "tags", "min_ram",
        "min_disk",
        "self", "file", "schema", "locations", "direct_url", "stores",
    ]
    /// Glance's own book-keeping of imports, which comes and goes while one runs.
    private static let prefix = "os_glance_"

    public static func has(_ name: String) -> Bool { names.contains(name) || name.hasPrefix(prefix) }
}

/// A Glance image's record as last read from Glance. Decisions are made from this and never from an event's payload.
public struct ImageFacts: Hashable, Sendable {
    public var id: ImageID
    /// Chosen by a tenant: may hold anything but is never nil here (Glance's null is "").
    public var name: String
    public var status: ImageStatus
    /// `public`, `private`, `shared` or `community`.
    public var visibility: String
    /// Project id; nil for an image without owner.
    public var owner: String?
    public var diskFormat: String?
    public var containerFormat: String?
    public var sizeBytes: Int64?
    public var virtualSizeBytes: Int64?
    public var minDiskGiB: Int64
    public var minRAMMiB: Int64
    /// `os_hash_algo`/`os_hash_value`, else md5 `checksum`, else nil.
    public var digest: Digest?
    public var isHidden: Bool
    public var isProtected: Bool
    /// Sorted; Glance returns them in no fixed order.
    public var tags: [String]
    /// Custom properties; Glance has strings only.
    public var properties: [String: String]
    public var createdAt: Date
    public var updatedAt: Date

    public init(
        id: ImageID, name: String = "", status: ImageStatus = .active, visibility: String = "private", owner: String? = nil,
        diskFormat: String? = "qcow2", containerFormat: String? = "bare", sizeBytes: Int64? = nil, virtualSizeBytes: Int64? = nil,
        minDiskGiB: Int64 = 0, minRAMMiB: Int64 = 0, digest: Digest? = nil, isHidden: Bool = false, isProtected: Bool = false,
        tags: [String] = [], properties: [String: String] = [:], createdAt: Date = .distantPast, updatedAt: Date = .distantPast
    ) {
        self.id = id
        self.name = name
        self.status = status
        self.visibility = visibility
        self.owner = owner
        self.diskFormat = diskFormat
        self.containerFormat = containerFormat
        self.sizeBytes = sizeBytes
        self.virtualSizeBytes = virtualSizeBytes
        self.minDiskGiB = minDiskGiB
        self.minRAMMiB = minRAMMiB
        self.digest = digest
        self.isHidden = isHidden
        self.isProtected = isProtected
        self.tags = tags.sorted()
        self.properties = properties
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}

extension ImageFacts {
    /// The values of `disk_format` that declare a raw disk. An Amazon image is one, too: QEMU is told so.
    public static let rawDiskFormats: Set<String> = ["raw", "ami", "aki", "ari"]

    /// Whether its bytes are a raw disk to QEMU, which Nova never converts (nova/virt/images.py, `fetch_to_raw`; an ISO is raw there too).
    public var isRaw: Bool { diskFormat.map { Self.rawDiskFormats.contains($0) || ["iso", "gpt"].contains($0) } ?? false }
}
