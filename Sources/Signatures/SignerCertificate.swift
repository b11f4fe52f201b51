import Crypto
import ForecacheModel
import FoundationEssentials
import SwiftASN1

/// Of an X.509 certificate what a signature needs: the time it is valid and its key. Who issued it is not asked, as in Nova without `trusted_certs`: whoever can
/// store it where certificates are taken from is trusted.
struct SignerCertificate {
    enum Curve { case secp384r1, secp521r1 }

    private let notBefore: Date
    private let notAfter: Date
    private let key: Key

    private enum Key {
        case rsa(RSAPublicKey)
        case ecc(ASN1ObjectIdentifier, point: [UInt8])
        case other(ASN1ObjectIdentifier)
    }

    /// PEM or DER; throws where it is neither.
    init(_ bytes: [UInt8]) throws(SignatureRefusal) {
        do {
            self = try Self.read(Self.der(bytes))
        } catch let refusal as SignatureRefusal {
            throw refusal
        } catch {
            throw SignatureRefusal("its certificate is not X.509 in PEM or DER")
        }
    }

    func check(at now: Date) throws(SignatureRefusal) {
        if now < notBefore { throw SignatureRefusal("its certificate is not valid before \(notBefore.ISO8601Format())") }
        if now > notAfter { throw SignatureRefusal("its certificate was valid until \(notAfter.ISO8601Format())") }
    }

    func rsaKey() throws(SignatureRefusal) -> RSAPublicKey {
        guard case .rsa(let key) = key else { throw Self.otherKey("RSA") }
        return key
    }

    func isValidECDSA(_ signature: [UInt8], of digest: ForecacheModel.Digest, on curve: Curve) throws(SignatureRefusal) -> Bool {
        switch (curve, key) {
        case (.secp384r1, .ecc(.secp384r1, let point)):
            guard let key = try? P384.Signing.PublicKey(x963Representation: point) else { throw Self.otherKey("secp384r1") }
            // A signature that is not one is not valid.
            guard let signature = try? P384.Signing.ECDSASignature(derRepresentation: signature) else { return false }
            return digest.isSigned { key.isValidSignature(signature, for: $0) }
        case (.secp521r1, .ecc(.secp521r1, let point)):
            guard let key = try? P521.Signing.PublicKey(x963Representation: point) else { throw Self.otherKey("secp521r1") }
            guard let signature = try? P521.Signing.ECDSASignature(derRepresentation: signature) else { return false }
            return digest.isSigned { key.isValidSignature(signature, for: $0) }
        case (.secp384r1, _): throw Self.otherKey("secp384r1")
        case (.secp521r1, _): throw Self.otherKey("secp521r1")
        }
    }

    private static func otherKey(_ wanted: String) -> SignatureRefusal {
        SignatureRefusal("its certificate's key is not the \(wanted) key that img_signature_key_type speaks of")
    }

    // MARK: - Reading (RFC 5280, 4.1)

    private init(notBefore: Date, notAfter: Date, key: Key) {
        self.notBefore = notBefore
        self.notAfter = notAfter
        self.key = key
    }

    /// Of PEM the first certificate, as in cursive: before it may stand what openssl tells of it, behind it its issuers'.
    private static func der(_ bytes: [UInt8]) throws -> [UInt8] {
        // A certificate's DER begins with a length that is no UTF-8.
        guard let text = String(validating: bytes, as: UTF8.self) else { return bytes }
        let documents = try PEMDocument.parseMultiple(pemString: text)
        guard let first = documents.first else { throw SignatureRefusal("its certificate is not X.509 in PEM or DER") }
        guard let certificate = documents.first(where: { $0.discriminator == "CERTIFICATE" }) else {
            throw SignatureRefusal("its certificate is a PEM '\(first.discriminator.printable)'")
        }
        return certificate.derBytes
    }

    private static func read(_ der: [UInt8]) throws -> SignerCertificate {
        try DER.sequence(DER.parse(der), identifier: .sequence) { certificate in
            guard let signed = certificate.next() else { throw SignatureRefusal("its certificate is empty") }
            // The issuer's signature.
            while certificate.next() != nil {}
            return try DER.sequence(signed, identifier: .sequence, readSigned)
        }
    }

    private static func readSigned(_ fields: inout ASN1NodeCollection.Iterator) throws -> SignerCertificate {
        _ = try DER.optionalExplicitlyTagged(&fields, tagNumber: 0, tagClass: .contextSpecific) { $0 }  // version
        for _ in ["serial number", "signature algorithm", "issuer"] { _ = fields.next() }
        guard let validity = fields.next(), fields.next() != nil, let key = fields.next() else {
            throw SignatureRefusal("its certificate ends early")
        }
        // Extensions.
        while fields.next() != nil {}
        let (notBefore, notAfter) = try DER.sequence(validity, identifier: .sequence) { (try time(&$0), try time(&$0)) }
        return SignerCertificate(notBefore: notBefore, notAfter: notAfter, key: try readKey(key))
    }

    private static func time(_ fields: inout ASN1NodeCollection.Iterator) throws -> Date {
        guard let node = fields.next() else { throw SignatureRefusal("its certificate has no time of validity") }
        let (year, month, day, hour, minute, second): (Int, Int, Int, Int, Int, Int)
        if node.identifier == .utcTime {
            let time = try UTCTime(derEncoded: node)
            (year, month, day, hour, minute, second) = (time.year, time.month, time.day, time.hours, time.minutes, time.seconds)
        } else {
            let time = try GeneralizedTime(derEncoded: node)
            (year, month, day, hour, minute, second) = (time.year, time.month, time.day, time.hours, time.minutes, time.seconds)
        }
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        let parts = DateComponents(year: year, month: month, day: day, hour: hour, minute: minute, second: second)
        guard let date = calendar.date(from: parts) else { throw SignatureRefusal("its certificate has no time of validity") }
        return date
    }

    private static func readKey(_ node: ASN1Node) throws -> Key {
        try DER.sequence(node, identifier: .sequence) { fields in
            guard let algorithm = fields.next() else { throw SignatureRefusal("its certificate has no key") }
            let (kind, curve) = try DER.sequence(algorithm, identifier: .sequence) { fields in
                let kind = try ASN1ObjectIdentifier(derEncoded: &fields)
                let parameters = fields.next()
                while fields.next() != nil {}
                return (kind, parameters.flatMap { try? ASN1ObjectIdentifier(derEncoded: $0) })
            }
            let bits = try ASN1BitString(derEncoded: &fields)
            switch kind {
            // A key that is only for PSS is an RSA key like any other here.
            case .rsaEncryption, .rsaPSS: return .rsa(try RSAPublicKey(der: Array(bits.bytes)))
            case .ecPublicKey: return .ecc(curve ?? kind, point: Array(bits.bytes))
            default: return .other(kind)
            }
        }
    }
}

extension ASN1ObjectIdentifier {
    fileprivate static let rsaEncryption: ASN1ObjectIdentifier = [1, 2, 840, 113_549, 1, 1, 1]
    fileprivate static let rsaPSS: ASN1ObjectIdentifier = [1, 2, 840, 113_549, 1, 1, 10]
    fileprivate static let ecPublicKey: ASN1ObjectIdentifier = [1, 2, 840, 10045, 2, 1]
    fileprivate static let secp384r1: ASN1ObjectIdentifier = [1, 3, 132, 0, 34]
    fileprivate static let secp521r1: ASN1ObjectIdentifier = [1, 3, 132, 0, 35]
}
