import Foundation

/// A tenant's key and its certificate, made by openssl as OpenStack's documentation has it; both in a folder.
struct Signer {
    /// As openssl's `req -newkey` names it, and what `img_signature_key_type` says of such a key.
    enum Key: String {
        case rsa = "rsa:2048"
        case secp384r1 = "ec -pkeyopt ec_paramgen_curve:P-384"

        var type: String {
            switch self {
            case .rsa: "RSA-PSS"
            case .secp384r1: "ECC_SECP384R1"
            }
        }
    }

    private let key: Key
    private let folder: URL

    init(_ key: Key = .rsa, in folder: URL) throws {
        self.key = key
        self.folder = folder.appending(path: "signer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        try openssl(
            "req -x509 -newkey \(key.rawValue) -nodes -days 2 -subj /CN=signer", ["-keyout", path("key"), "-out", path("certificate")])
    }

    /// PEM.
    var certificate: Data { get throws { try Data(contentsOf: folder.appending(path: "certificate")) } }

    /// An image's four properties, signed over these bytes.
    func properties(of bytes: Data, hash: String, certificate uuid: String) throws -> [String: String] {
        try bytes.write(to: folder.appending(path: "image"))
        let padding = key == .rsa ? "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-3" : ""
        let name = hash.replacingOccurrences(of: "-", with: "").lowercased()
        try openssl("dgst -\(name) \(padding)", ["-sign", path("key"), "-out", path("signature"), path("image")])
        return [
            "img_signature": try Data(contentsOf: folder.appending(path: "signature")).base64EncodedString(),
            "img_signature_hash_method": hash, "img_signature_key_type": key.type, "img_signature_certificate_uuid": uuid,
        ]
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    private func openssl(_ words: String, _ more: [String]) throws {
        try run("/usr/bin/openssl", words.split(separator: " ").map(String.init) + more)
    }
}
