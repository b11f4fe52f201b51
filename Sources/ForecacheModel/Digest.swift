/// The digest algorithms that Glance uses: `os_hash_algo`, and `md5` for the old `checksum`.
public enum DigestAlgorithm: String, Hashable, Sendable, CaseIterable {
    case md5, sha1, sha224, sha256, sha384, sha512

    /// Length of the digest in hexadecimal digits.
    public var digits: Int {
        switch self {
        case .md5: 32
        case .sha1: 40
        case .sha224: 56
        case .sha256: 64
        case .sha384: 96
        case .sha512: 128
        }
    }
}

/// What the bytes of an image must hash to.
public struct Digest: Hashable, Sendable {
    public let algorithm: DigestAlgorithm
    /// Lower-case hexadecimal.
    public let hex: String

    /// Nil unless `hex` has exactly the algorithm's length in hexadecimal digits.
    public init?(_ algorithm: DigestAlgorithm, hex: String) {
        guard hex.utf8.count == algorithm.digits, hex.utf8.allSatisfy(Hexadecimal.isDigit) else { return nil }
        self.algorithm = algorithm
        self.hex = hex.lowercased()
    }

    /// md5 and sha1 can be forged: they are used only where Glance has nothing else, and that is said.
    public var isWeak: Bool { algorithm == .md5 || algorithm == .sha1 }
}

extension Digest: CustomStringConvertible {
    /// `sha512:…`, as outcomes and logs print it.
    public var description: String { "\(algorithm.rawValue):\(hex)" }
}
