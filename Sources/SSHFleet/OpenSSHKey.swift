import Crypto
import CryptoExtras
import ForecacheModel
import Foundation

/// OpenSSH's own private key format (openssh-portable, PROTOCOL.key), unlocked once here: libssh2 would do it again for every session, on the loop.
enum OpenSSHKey {
    struct Problem: Error {
        var reason: String
        var publicKey: [UInt8]?
    }

    static func read(_ text: String, passphrase: Secret?) throws(Problem) -> PrivateKey {
        let body = text.split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("-----") }.joined()
        let magic = Array("openssh-key-v1\0".utf8)
        guard let data = Data(base64Encoded: body).map(Array.init) else { throw Problem(reason: "the key is not base 64") }
        var reader = Wire.Reader(data)
        guard reader.bytes(magic.count) == magic, let cipher = reader.text(), let kdf = reader.text(), let options = reader.string(),
            reader.number() == 1, let publicKey = reader.string(), let secret = reader.string()
        else { throw Problem(reason: "the key is cut short or damaged") }
        if cipher == "none" { return try keys(in: secret, publicKey, wrongPassphrase: false) }
        guard let passphrase else {
            throw Problem(
                reason:
                    "the key is encrypted and no passphrase was given: set FORECACHE_SSH_PASSPHRASE, or load it into an ssh-agent (ssh-add)",
                publicKey: publicKey)
        }
        let open = try decrypt(secret, cipher: cipher, kdf: kdf, options: options, passphrase: passphrase, publicKey)
        return try keys(in: open, publicKey, wrongPassphrase: true)
    }

    private static func decrypt(
        _ secret: [UInt8], cipher: String, kdf: String, options: [UInt8], passphrase: Secret, _ publicKey: [UInt8]
    ) throws(Problem) -> [UInt8] {
        var reader = Wire.Reader(options)
        let keyBytes = ["aes256-ctr": 32, "aes256-cbc": 32, "aes192-ctr": 24, "aes128-ctr": 16][cipher]
        guard kdf == "bcrypt", let keyBytes, let salt = reader.string(), let rounds = reader.number(), (1...4096).contains(rounds) else {
            throw Problem(
                reason:
                    "encrypted with \(cipher.prefix(40)), which is not supported; rewrite it with ssh-keygen -p -Z aes256-ctr -f, or load it into an ssh-agent",
                publicKey: publicKey)
        }
        let material = BcryptKDF.derive(Array(passphrase.reveal().utf8), salt: salt, rounds: Int(rounds), count: keyBytes + 16)
        let key = SymmetricKey(data: material.prefix(keyBytes))
        do {
            if cipher == "aes256-cbc" {
                return Array(try AES._CBC.decrypt(secret, using: key, iv: AES._CBC.IV(ivBytes: material.suffix(16)), noPadding: true))
            }
            return Array(try AES._CTR.decrypt(secret, using: key, nonce: AES._CTR.Nonce(nonceBytes: material.suffix(16))))
        } catch {
            throw Problem(reason: "the key cannot be decrypted (\(error))", publicKey: publicKey)
        }
    }

    private static func keys(in secret: [UInt8], _ publicKey: [UInt8], wrongPassphrase: Bool) throws(Problem) -> PrivateKey {
        var reader = Wire.Reader(secret)
        guard let first = reader.number(), let second = reader.number(), first == second, let type = reader.text() else {
            throw Problem(reason: wrongPassphrase ? "the passphrase is wrong" : "the key is damaged", publicKey: publicKey)
        }
        do {
            if let key = try key(type, &reader) { return key }
        } catch {
            throw Problem(reason: "the \(type) key cannot be read (\(error))", publicKey: publicKey)
        }
        throw Problem(
            reason: "a key of type \(type.prefix(60)) cannot be used from a file: load it into an ssh-agent, or use ed25519, ecdsa or RSA",
            publicKey: publicKey)
    }

    private static func key(_ type: String, _ reader: inout Wire.Reader) throws -> PrivateKey? {
        switch type {
        case "ssh-ed25519":
            guard reader.string() != nil, let pair = reader.string(), pair.count == 64 else { return nil }
            return .ed25519(try Curve25519.Signing.PrivateKey(rawRepresentation: pair.prefix(32)))
        case "ecdsa-sha2-nistp256":
            return try scalar(&reader, 32).map { .p256(try P256.Signing.PrivateKey(rawRepresentation: $0)) }
        case "ecdsa-sha2-nistp384":
            return try scalar(&reader, 48).map { .p384(try P384.Signing.PrivateKey(rawRepresentation: $0)) }
        case "ecdsa-sha2-nistp521":
            return try scalar(&reader, 66).map { .p521(try P521.Signing.PrivateKey(rawRepresentation: $0)) }
        case "ssh-rsa":
            guard let n = reader.string(), let e = reader.string(), let d = reader.string(), reader.string() != nil,
                let p = reader.string(), let q = reader.string()
            else { return nil }
            return .rsa(try _RSA.Signing.PrivateKey(n: plain(n), e: plain(e), d: plain(d), p: plain(p), q: plain(q)))
        default: return nil
        }
    }

    /// Curve name and point, then the secret number, brought to its curve's length.
    private static func scalar(_ reader: inout Wire.Reader, _ length: Int) throws -> [UInt8]? {
        guard reader.string() != nil, reader.string() != nil, let number = reader.string() else { return nil }
        let digits = plain(number)
        guard digits.count <= length else { return nil }
        return [UInt8](repeating: 0, count: length - digits.count) + digits
    }

    private static func plain(_ number: [UInt8]) -> [UInt8] { Array(number.drop { $0 == 0 }) }
}
