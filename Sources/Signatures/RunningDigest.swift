import Crypto
public import ForecacheModel
import FoundationEssentials

/// The digest of bytes as they come, in Glance's algorithms. A value: copies go their own ways.
public struct RunningDigest: Sendable {
    private let algorithm: DigestAlgorithm
    private var function: any HashFunction & Sendable

    /// Nil for sha224, which swift-crypto does not have.
    public init?(_ algorithm: DigestAlgorithm) {
        switch algorithm {
        case .md5: function = Insecure.MD5()
        case .sha1: function = Insecure.SHA1()
        case .sha224: return nil
        case .sha256: function = SHA256()
        case .sha384: function = SHA384()
        case .sha512: function = SHA512()
        }
        self.algorithm = algorithm
    }

    public mutating func update(_ bytes: [UInt8]) { function.update(data: bytes) }

    /// Of all bytes so far.
    public var digest: ForecacheModel.Digest {
        guard let digest = ForecacheModel.Digest(algorithm, hex: Hexadecimal.text(bytes)) else {
            preconditionFailure("a digest has its algorithm's length")
        }
        return digest
    }

    /// The same as bytes.
    var bytes: [UInt8] { function.finalize().withUnsafeBytes { Array($0) } }
}

extension DigestAlgorithm {
    /// Of an algorithm that signatures use.
    func hash(_ bytes: [UInt8]) -> [UInt8] {
        guard var running = RunningDigest(self) else { preconditionFailure("signatures use SHA-256, SHA-384 and SHA-512") }
        running.update(bytes)
        return running.bytes
    }
}

extension ForecacheModel.Digest {
    /// As swift-crypto's signatures want it.
    func isSigned(_ isValid: (any Crypto.Digest) -> Bool) -> Bool {
        switch algorithm {
        case .sha256: isValid(Prehashed<SHA256>(bytes: bytes))
        case .sha384: isValid(Prehashed<SHA384>(bytes: bytes))
        case .sha512: isValid(Prehashed<SHA512>(bytes: bytes))
        case .md5, .sha1, .sha224: false
        }
    }

    var bytes: [UInt8] {
        let digits = hex.utf8.map { UInt8($0 < UInt8(ascii: "a") ? $0 - UInt8(ascii: "0") : $0 - UInt8(ascii: "a") + 10) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}

/// A digest that somebody else made: swift-crypto's own can only be made by hashing.
private struct Prehashed<Function: HashFunction>: Crypto.Digest {
    static var byteCount: Int { Function.Digest.byteCount }

    let bytes: [UInt8]

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result { try bytes.withUnsafeBytes(body) }
    func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
    var description: String { Hexadecimal.text(bytes) }
}
