public import ForecacheModel
import FoundationEssentials

/// Values that tests of several rooms start from.
public enum Samples {
    /// A stable image id for a number: `00000000-0000-4000-8000-000000000007`.
    public static func imageID(_ number: Int) -> ImageID {
        let digits = String(number)
        let text = "00000000-0000-4000-8000-" + String(repeating: "0", count: max(0, 12 - digits.count)) + digits.suffix(12)
        guard let id = ImageID(text) else { preconditionFailure("a sample id is a UUID") }
        return id
    }

    /// An active, public raw image of 1 MiB with a sha512 digest.
    public static func image(_ number: Int, name: String? = nil, tags: [String] = [], properties: [String: String] = [:]) -> ImageFacts {
        ImageFacts(
            id: imageID(number), name: name ?? "image-\(number)", visibility: "public", owner: "owner", diskFormat: "raw",
            sizeBytes: 1 << 20,
            digest: Digest(.sha512, hex: String(repeating: "ab", count: 64)), tags: tags, properties: properties,
            createdAt: Date(timeIntervalSince1970: 1_700_000_000), updatedAt: Date(timeIntervalSince1970: 1_700_000_000))
    }

    /// `dcn1` … `dcnN`, each with hosts `dcnK-compute-0` … of role `Compute`.
    public static func fleet(sites: Int, hosts: Int, settings: SiteSettings = SiteSettings()) -> Fleet {
        Fleet(
            sites: (1...sites).map { site in
                let name = SiteName("dcn\(site)")
                return Site(
                    name: name, settings: settings,
                    hosts: (0..<hosts).map { index in
                        Host(
                            name: HostName("dcn\(site)-compute-\(index)"), site: name, role: "Compute", address: "192.0.2.\(index + 1)",
                            peerAddress: "198.51.100.\(index + 1)")
                    })
            })
    }
}
