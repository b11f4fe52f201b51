import ForecacheModel
import Foundation
import Testing

@testable import Signatures

/// Against signatures that openssl made, as OpenStack's documentation has a tenant make them.
@Suite(.timeLimit(.minutes(2))) struct SignatureTests {
    private static let uuid = "07bc2424-753b-4f65-9da5-5a99d8383fe6"

    private func properties(_ signature: Data, hash: String = "SHA-256", key: String = "RSA-PSS") -> [String: String] {
        [
            "img_signature": signature.base64EncodedString(), "img_signature_hash_method": hash, "img_signature_key_type": key,
            "img_signature_certificate_uuid": Self.uuid.uppercased(),
        ]
    }

    /// Nil where it is taken.
    private func refusal(_ properties: [String: String], _ certificate: [UInt8], of bytes: [UInt8], now: Date = Date()) throws -> String? {
        do {
            let signature = try ImageSignature(properties: properties)
            #expect(signature.certificate == Self.uuid)
            var running = try #require(RunningDigest(signature.hash))
            // In pieces, as an image comes.
            for start in stride(from: 0, to: bytes.count, by: 1000) { running.update(Array(bytes[start..<min(start + 1000, bytes.count)])) }
            try signature.verify(digest: running.digest, certificate: certificate, now: now)
            return nil
        } catch let refusal as SignatureRefusal {
            return refusal.description
        }
    }

    @Test(arguments: [("SHA-256", 2048), ("SHA-384", 3072), ("SHA-512", 4096), ("SHA-256", 2049), ("SHA-512", 2055)])
    func anRSASignatureWithTheLongestSaltIsTaken(hash: String, bits: Int) throws {
        let signer = try Signer(key: "rsa -pkeyopt rsa_keygen_bits:\(bits)")
        let properties = properties(try signer.pss(hash), hash: hash)
        #expect(try refusal(properties, signer.pem, of: signer.bytes) == nil)
        #expect(try refusal(properties, signer.der, of: signer.bytes) == nil)
        // One byte of the image, one bit of the signature, another's certificate.
        #expect(try refusal(properties, signer.pem, of: [1] + signer.bytes.dropFirst())?.contains("not the one of certificate") == true)
        var flipped = try signer.pss(hash)
        flipped[flipped.count - 1] ^= 1
        #expect(try refusal(self.properties(flipped, hash: hash), signer.pem, of: signer.bytes)?.contains("not the one") == true)
        let other = try Signer(key: "rsa -pkeyopt rsa_keygen_bits:\(bits)")
        #expect(try refusal(properties, other.pem, of: signer.bytes)?.contains("not the one") == true)
    }

    /// As in cursive: the salt is as long as the key has room for, and nothing else is a signature.
    @Test(arguments: ["digest", "0", "-3"]) func othersSaltsAndPaddingsAreNotTaken(salt: String) throws {
        let signer = try Signer(key: "rsa -pkeyopt rsa_keygen_bits:2048")
        let signature = try signer.pss("SHA-256", salt: salt)
        let said = try refusal(properties(signature), signer.pem, of: signer.bytes)
        #expect(said == (salt == "-3" ? nil : "its signature is not the one of certificate \(Self.uuid) over these bytes"))
        let plain = try signer.openssl("dgst -sha256 -sign key.pem image")
        #expect(try refusal(properties(plain), signer.pem, of: signer.bytes)?.contains("not the one") == true)
        for odd in [Data(), Data([0]), Data(repeating: 0, count: 256), Data(repeating: 0xFF, count: 256), Data(repeating: 1, count: 4096)] {
            #expect(try refusal(properties(odd), signer.pem, of: signer.bytes) != nil)
        }
    }

    @Test(arguments: [("P-384", "ECC_SECP384R1", "SHA-384"), ("P-521", "ECC_SECP521R1", "SHA-512"), ("P-384", "ECC_SECP384R1", "SHA-256")])
    func anEllipticCurvesSignatureIsTaken(curve: String, key: String, hash: String) throws {
        let signer = try Signer(key: "ec -pkeyopt ec_paramgen_curve:\(curve)")
        let signature = try signer.openssl("dgst -\(hash.replacingOccurrences(of: "-", with: "").lowercased()) -sign key.pem image")
        let whole = properties(signature, hash: hash, key: key)
        #expect(try refusal(whole, signer.pem, of: signer.bytes) == nil)
        #expect(try refusal(whole, signer.pem, of: [1] + signer.bytes.dropFirst())?.contains("not the one") == true)
        let asRSA = properties(signature, hash: hash)
        #expect(try refusal(asRSA, signer.pem, of: signer.bytes)?.contains("not the RSA key") == true)
        let other = properties(signature, hash: hash, key: key == "ECC_SECP384R1" ? "ECC_SECP521R1" : "ECC_SECP384R1")
        #expect(try refusal(other, signer.pem, of: signer.bytes)?.contains("that img_signature_key_type speaks of") == true)
        let odd = properties(Data("no DER".utf8), hash: hash, key: key)
        #expect(try refusal(odd, signer.pem, of: signer.bytes)?.contains("not the one") == true)
    }

    /// cursive takes the first certificate of a PEM file, whatever stands around it.
    @Test func aPEMFileMayTellMoreThanTheCertificate() throws {
        let (signer, issuer) = (try Signer(key: "rsa -pkeyopt rsa_keygen_bits:2048"), try Signer(key: "ed25519"))
        let properties = properties(try signer.pss("SHA-256"))
        let told = Array(try signer.openssl("x509 -in cert.pem -text"))
        #expect(told.count > signer.pem.count + 1000)
        let lines = String(decoding: signer.pem, as: UTF8.self).replacing("\n", with: "\r\n")
        let key = Array(try signer.openssl("pkey -in key.pem"))
        for file in [told, [10] + signer.pem + [10], signer.pem + issuer.pem, Array(lines.utf8), key + signer.pem] {
            #expect(try refusal(properties, file, of: signer.bytes) == nil, "\(String(decoding: file.prefix(40), as: UTF8.self))")
        }
        #expect(try refusal(properties, issuer.pem + signer.pem, of: signer.bytes)?.contains("not the RSA key") == true)
        #expect(try refusal(properties, key, of: signer.bytes) == "its certificate is a PEM 'PRIVATE KEY'")
        #expect(try refusal(properties, Array("no PEM".utf8), of: signer.bytes) == "its certificate is not X.509 in PEM or DER")
    }

    @Test func aCertificateIsTakenWhileItIsValid() throws {
        let signer = try Signer(key: "rsa -pkeyopt rsa_keygen_bits:2048")
        let properties = properties(try signer.pss("SHA-256"))
        let day = 86400.0
        #expect(try refusal(properties, signer.pem, of: signer.bytes, now: Date() - day)?.contains("not valid before") == true)
        #expect(try refusal(properties, signer.pem, of: signer.bytes, now: Date() + 3 * day)?.contains("was valid until") == true)
        // Years from 2050 on are written in another form.
        let long = try Signer(key: "rsa -pkeyopt rsa_keygen_bits:2048", days: 20_000)
        #expect(try refusal(self.properties(try long.pss("SHA-256")), long.pem, of: long.bytes, now: Date() + 15_000 * day) == nil)
    }

    @Test(arguments: [
        (["img_signature": ""], "it has no img_signature"), (["img_signature_key_type": ""], "it has no img_signature_key_type"),
        (["img_signature_hash_method": "MD5"], "is not SHA-256, SHA-384 or SHA-512"),
        (["img_signature_key_type": "DSA"], "'DSA' is not one of RSA-PSS"),
        (["img_signature_certificate_uuid": "../../etc/passwd"], "is not a UUID"), (["img_signature": "%%%"], "is not base64"),
        (["img_signature": String(repeating: "A", count: 9000)], "is not base64"),
    ])
    func propertiesThatCannotBeUsed(change: [String: String], reason: String) throws {
        let whole = properties(Data([1, 2, 3])).merging(change) { $1 }
        #expect { try ImageSignature(properties: whole) } throws: { ($0 as? SignatureRefusal)?.description.contains(reason) == true }
    }

    @Test func anImageWithoutSignatureSaysWhatItLacks() {
        #expect { try ImageSignature(properties: ["img_signature": "AAAA"]) } throws: {
            ($0 as? SignatureRefusal)?.description
                == "it has no img_signature_hash_method, img_signature_key_type, img_signature_certificate_uuid"
        }
    }

    /// Whatever lies in Barbican or in the directory: no certificate, a key that is too short or of another kind, and any damage of a good one.
    @Test func certificatesThatAreNone() throws {
        let signer = try Signer(key: "rsa -pkeyopt rsa_keygen_bits:2048")
        let properties = properties(try signer.pss("SHA-256"))
        let keyFile = Array(try Data(contentsOf: signer.folder.appending(path: "key.pem")))
        let cut = Array(signer.der.dropLast(700))
        for odd in [[], [0x30], [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], Array("-----BEGIN CERTIFICATE-----\n".utf8), keyFile, cut] {
            #expect(try refusal(properties, odd, of: signer.bytes)?.contains("certificate") == true)
        }
        let short = try Signer(key: "rsa -pkeyopt rsa_keygen_bits:1024")
        #expect(try refusal(self.properties(try short.pss("SHA-256")), short.pem, of: short.bytes)?.contains("1024 bits") == true)
        let edwards = try Signer(key: "ed25519")
        #expect(try refusal(properties, edwards.pem, of: signer.bytes)?.contains("not the RSA key") == true)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var damaged = signer.der
            damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            if Bool.random(using: &random) { damaged.removeLast(Int.random(in: 0..<damaged.count, using: &random)) }
            // Fields that are not looked at may be damaged; it must never trap.
            if let certificate = try? SignerCertificate(damaged) { _ = try? certificate.check(at: Date()) }
        }
    }

    @Test(arguments: [("md5", 32), ("sha1", 40), ("sha256", 64), ("sha384", 96), ("sha512", 128)])
    func digestsAreThoseOfTheTools(name: String, digits: Int) throws {
        let signer = try Signer(key: "ed25519")
        let algorithm = try #require(DigestAlgorithm(rawValue: name))
        var running = try #require(RunningDigest(algorithm))
        running.update(signer.bytes)
        let said = String(decoding: try signer.run("/usr/bin/\(name)sum", ["image"]), as: UTF8.self)
        #expect(running.digest.hex == String(said.prefix(digits)))
        #expect(RunningDigest(.sha224) == nil)
    }
}

/// A key with its certificate, made by openssl, and a file to sign, in a folder that ends with this object.
private final class Signer {
    let folder: URL
    let bytes: [UInt8]
    let pem: [UInt8]
    let der: [UInt8]

    init(key: String, days: Int = 2) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "forecache-signer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        bytes = (0..<100_003).map { _ in UInt8.random(in: 2...255) }
        try Data(bytes).write(to: folder.appending(path: "image"))
        let run = { [folder] (arguments: String) in
            try Self.run("/usr/bin/openssl", arguments.split(separator: " ").map(String.init), in: folder)
        }
        _ = try run("genpkey -algorithm \(key) -out key.pem")
        _ = try run("req -x509 -new -key key.pem -days \(days) -subj /CN=signer -out cert.pem")
        _ = try run("x509 -in cert.pem -outform DER -out cert.der")
        pem = Array(try Data(contentsOf: folder.appending(path: "cert.pem")))
        der = Array(try Data(contentsOf: folder.appending(path: "cert.der")))
    }

    deinit {
        // A temporary folder that stays does no harm.
        try? FileManager.default.removeItem(at: folder)
    }

    /// `salt` as openssl has it: -3 is the longest.
    func pss(_ hash: String, salt: String = "-3") throws -> Data {
        let name = hash.replacingOccurrences(of: "-", with: "").lowercased()
        return try openssl("dgst -\(name) -sign key.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:\(salt) image")
    }

    func openssl(_ arguments: String) throws -> Data { try run("/usr/bin/openssl", arguments.split(separator: " ").map(String.init)) }

    func run(_ program: String, _ arguments: [String]) throws -> Data { try Self.run(program, arguments, in: folder) }

    struct Failed: Error { var command: [String] }

    private static func run(_ program: String, _ arguments: [String], in folder: URL) throws -> Data {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.currentDirectoryURL = folder
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let said = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failed(command: [program] + arguments) }
        return said
    }
}
