public import ForecacheModel
public import FoundationEssentials

/// The signature that an image's owner put into its properties.
///
/// Source: Nova's and Glance's `cursive/signature_utils.py`: the same four properties, and the same words in them.
public struct ImageSignature: Hashable, Sendable {
    /// What the signature is over: the image's bytes by this hash.
    public let hash: DigestAlgorithm
    /// UUID of the signer's certificate: a secret in Barbican.
    public let certificate: String
    let keyType: KeyType
    let bytes: [UInt8]

    /// cursive knows DSA and four more curves as well, which no current OpenSSL policy allows.
    enum KeyType: String, CaseIterable {
        case rsaPSS = "RSA-PSS"
        case eccSECP384R1 = "ECC_SECP384R1"
        case eccSECP521R1 = "ECC_SECP521R1"
    }

    /// Longer than the signature of any key that is taken.
    private static let mostCharacters = 8192
    private static let hashes: [String: DigestAlgorithm] = ["SHA-256": .sha256, "SHA-384": .sha384, "SHA-512": .sha512]

    /// Throws where a property is missing or says something that is not known.
    public init(properties: [String: String]) throws(SignatureRefusal) {
        let names = ["img_signature", "img_signature_hash_method", "img_signature_key_type", "img_signature_certificate_uuid"]
        let missing = names.filter { properties[$0]?.isEmpty ?? true }
        guard missing.isEmpty else { throw SignatureRefusal("it has no \(missing.joined(separator: ", "))") }
        let values = names.map { properties[$0] ?? "" }
        guard let hash = Self.hashes[values[1]] else {
            throw SignatureRefusal("img_signature_hash_method '\(values[1].printable)' is not SHA-256, SHA-384 or SHA-512")
        }
        guard let keyType = KeyType(rawValue: values[2]) else {
            let known = KeyType.allCases.map(\.rawValue).joined(separator: ", ")
            throw SignatureRefusal("img_signature_key_type '\(values[2].printable)' is not one of \(known)")
        }
        guard ImageID(values[3]) != nil else {
            throw SignatureRefusal("img_signature_certificate_uuid '\(values[3].printable)' is not a UUID")
        }
        let text = values[0].filter { !$0.isWhitespace }
        guard text.utf8.count <= Self.mostCharacters, let bytes = Data(base64Encoded: text), !bytes.isEmpty else {
            throw SignatureRefusal("img_signature is not base64")
        }
        self.hash = hash
        self.keyType = keyType
        self.bytes = Array(bytes)
        certificate = values[3].lowercased()
    }

    /// Throws unless the signature over `digest`, which is the image's by `hash`, is the certificate's and the certificate is valid now.
    /// - Parameter certificate: X.509, PEM or DER.
    public func verify(digest: Digest, certificate: [UInt8], now: Date) throws(SignatureRefusal) {
        precondition(digest.algorithm == hash, "the digest is made by the signature's own hash")
        let certificate = try SignerCertificate(certificate)
        try certificate.check(at: now)
        let isSigned =
            switch keyType {
            case .rsaPSS: try certificate.rsaKey().isValidPSS(bytes, of: digest)
            case .eccSECP384R1: try certificate.isValidECDSA(bytes, of: digest, on: .secp384r1)
            case .eccSECP521R1: try certificate.isValidECDSA(bytes, of: digest, on: .secp521r1)
            }
        guard isSigned else { throw SignatureRefusal("its signature is not the one of certificate \(self.certificate) over these bytes") }
    }
}

/// Why a signature is not taken; safe to print.
public struct SignatureRefusal: Error, Hashable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
