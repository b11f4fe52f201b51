import Crypto
import CryptoExtras
import ForecacheModel
import Foundation

/// A key that can prove who we are: read from a file, or held by an agent.
struct Identity: Sendable {
    /// Where it came from, for messages.
    var name: String
    /// The public key as SSH sends it.
    var publicKey: [UInt8]
    var signer: any SignatureMaking

    var keyType: String { Wire.keyType(of: publicKey) ?? "" }

    /// Signature algorithms to offer, best first. A server since OpenSSH 8.8 refuses `ssh-rsa`, which is SHA-1, so it is not offered at all.
    var algorithms: [String] { keyType == "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256"] : [keyType] }

    /// libssh2 takes the algorithm's name from the type string of the blob, and knows no rsa-sha2: so the blob carries it.
    func publicKey(for algorithm: String) -> [UInt8] {
        var reader = Wire.Reader(publicKey)
        guard algorithm != keyType, let type = reader.string() else { return publicKey }
        return Wire.string(algorithm) + publicKey.dropFirst(4 + type.count)
    }
}

/// Makes signatures as SSH sends them, without the algorithm's name in front.
protocol SignatureMaking: Sendable {
    func signature(of data: [UInt8], algorithm: String) async throws(Failure) -> [UInt8]
}

/// A private key in memory.
enum PrivateKey: Sendable, SignatureMaking {
    case ed25519(Curve25519.Signing.PrivateKey)
    case p256(P256.Signing.PrivateKey)
    case p384(P384.Signing.PrivateKey)
    case p521(P521.Signing.PrivateKey)
    case rsa(_RSA.Signing.PrivateKey)

    func signature(of data: [UInt8], algorithm: String) async throws(Failure) -> [UInt8] {
        do {
            switch self {
            case .ed25519(let key): return Array(try key.signature(for: data))
            case .p256(let key): return Self.pair(try key.signature(for: data).rawRepresentation)
            case .p384(let key): return Self.pair(try key.signature(for: data).rawRepresentation)
            case .p521(let key): return Self.pair(try key.signature(for: data).rawRepresentation)
            case .rsa(let key) where algorithm == "rsa-sha2-256":
                return Array(try key.signature(for: SHA256.hash(data: data), padding: .insecurePKCS1v1_5).rawRepresentation)
            case .rsa(let key):
                return Array(try key.signature(for: SHA512.hash(data: data), padding: .insecurePKCS1v1_5).rawRepresentation)
            }
        } catch {
            throw Failure(.permanent, "a signature with a \(algorithm) key cannot be made", cause: "\(error)")
        }
    }

    /// r and s, each as a number.
    private static func pair(_ raw: Data) -> [UInt8] { Wire.positive(raw.prefix(raw.count / 2)) + Wire.positive(raw.suffix(raw.count / 2)) }

    func publicKey() throws -> [UInt8] {
        switch self {
        case .ed25519(let key): return Wire.string("ssh-ed25519") + Wire.string(key.publicKey.rawRepresentation)
        case .p256(let key): return Self.curve("nistp256", key.publicKey.x963Representation)
        case .p384(let key): return Self.curve("nistp384", key.publicKey.x963Representation)
        case .p521(let key): return Self.curve("nistp521", key.publicKey.x963Representation)
        case .rsa(let key):
            let numbers = try key.publicKey.getKeyPrimitives()
            return Wire.string("ssh-rsa") + Wire.positive(numbers.publicExponent) + Wire.positive(numbers.modulus)
        }
    }

    private static func curve(_ name: String, _ point: Data) -> [UInt8] {
        Wire.string("ecdsa-sha2-\(name)") + Wire.string(name) + Wire.string(point)
    }
}

/// What an identity file gave.
enum IdentityFile: Sendable {
    case usable(Identity)
    /// Locked or of a kind that we cannot read; an agent may hold it. With its public key where that could be read.
    case unusable(publicKey: [UInt8]?, reason: String)

    /// Reads and, with a passphrase, unlocks one private key: slow (tenths of a second) where it is encrypted, so once a process.
    static func read(_ path: String, passphrase: Secret?) -> IdentityFile {
        let path = expanded(path)
        let text: String
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            guard data.count <= 1 << 20 else { return .unusable(publicKey: nil, reason: "\(path) is too large for a private key") }
            text = String(decoding: data, as: UTF8.self)
        } catch {
            return .unusable(publicKey: nil, reason: "\(path) cannot be read (\(unreadable(path))); correct ssh.identity")
        }
        do throws(OpenSSHKey.Problem) {
            let key = try key(in: text, passphrase: passphrase)
            return .usable(Identity(name: path, publicKey: try wrapped { try key.publicKey() }, signer: key))
        } catch {
            return .unusable(publicKey: error.publicKey ?? publicKey(beside: path), reason: "\(path): \(error.reason)")
        }
    }

    private static func key(in text: String, passphrase: Secret?) throws(OpenSSHKey.Problem) -> PrivateKey {
        if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") { return try OpenSSHKey.read(text, passphrase: passphrase) }
        if text.contains("ENCRYPTED") {
            throw .init(reason: "an encrypted key in the old PEM format; rewrite it with ssh-keygen -p -f, or load it into an ssh-agent")
        }
        if text.contains("-----BEGIN RSA PRIVATE KEY-----") {
            return try wrapped { .rsa(try _RSA.Signing.PrivateKey(unsafePEMRepresentation: text)) }
        }
        if text.contains("-----BEGIN EC PRIVATE KEY-----") || text.contains("-----BEGIN PRIVATE KEY-----") {
            // PEM does not say which curve before it is read: the one that fits is it, and losing the errors of the others is right.
            if let key = try? P256.Signing.PrivateKey(pemRepresentation: text) { return .p256(key) }
            if let key = try? P384.Signing.PrivateKey(pemRepresentation: text) { return .p384(key) }
            if let key = try? P521.Signing.PrivateKey(pemRepresentation: text) { return .p521(key) }
            return try wrapped { .rsa(try _RSA.Signing.PrivateKey(unsafePEMRepresentation: text)) }
        }
        throw .init(reason: "not a private key that we can read; ed25519, ecdsa and RSA keys of ssh-keygen are supported")
    }

    private static func wrapped<Value>(_ body: () throws -> Value) throws(OpenSSHKey.Problem) -> Value {
        do { return try body() } catch { throw .init(reason: "the key cannot be read (\(error))") }
    }

    /// The `.pub` file that ssh-keygen writes beside a key tells an agent which one is meant.
    private static func publicKey(beside path: String) -> [UInt8]? {
        // Losing the error is right: without the file the key is simply not known.
        guard let text = try? String(contentsOfFile: path + ".pub", encoding: .utf8) else { return nil }
        let words = text.split(separator: " ")
        return words.count >= 2 ? Data(base64Encoded: String(words[1])).map(Array.init) : nil
    }
}

/// `~/` as a shell expands it.
func expanded(_ path: String) -> String {
    guard path.hasPrefix("~/"), let home = ProcessInfo.processInfo.environment["HOME"] else { return path }
    return home + path.dropFirst(1)
}
