import Foundation
import Testing

/// `verify_signatures` with a tenant's real signature, a directory of certificates, and the lab's Glance, whose own digest is sha512.
@Suite(.serialized) struct SignedImageTests {
    private static let uuid = "07bc2424-753b-4f65-9da5-5a99d8383fe6"

    @Test(arguments: ["SHA-512", "SHA-256"]) func onlyASignedImageReachesTheNodes(hash: String) async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab, more: "verify_signatures: true\nsignature_certificates: signers"))
        let bytes = Data([0] + (1..<3_000_000).map { _ in UInt8.random(in: 0...255) })
        try FileManager.default.createDirectory(at: service.folder.appending(path: "signers"), withIntermediateDirectories: true)
        let file = { (name: String) in service.folder.appending(path: name).path }
        try bytes.write(to: URL(filePath: file("image")))
        try openssl(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=signer",
            ["-keyout", file("key.pem"), "-out", file("signers/\(Self.uuid).pem")])
        let name = hash.replacingOccurrences(of: "-", with: "").lowercased()
        let padding = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-3"
        try openssl("dgst -\(name) \(padding)", ["-sign", file("key.pem"), "-out", file("signature"), file("image")])
        let properties = [
            "img_signature": try Data(contentsOf: URL(filePath: file("signature"))).base64EncodedString(),
            "img_signature_hash_method": hash,
            "img_signature_key_type": "RSA-PSS", "img_signature_certificate_uuid": Self.uuid,
        ]
        // Glance itself checks what claims to be signed while it is uploaded, where it has Barbican; so the properties come afterwards.
        let signed = try await glance.upload("e2e signed", content: bytes)
        try await glance.set(properties, on: signed)
        let forged = try await glance.upload("e2e forged", content: bytes.dropLast() + [7])
        try await glance.set(properties, on: forged)
        let unsigned = try await glance.upload("e2e unsigned", content: bytes)

        let said = try service.command(["cache", signed, forged, unsigned, "--site", "dcn1"])
        #expect(said.contains("2 cached, 0 existing, 0 unsupported, 4 failed"))
        #expect(try lab.holders(of: signed) == ["dcn1-compute-0", "dcn1-compute-1"])
        #expect(try lab.holders(of: forged).isEmpty && lab.holders(of: unsigned).isEmpty)
        #expect(said.contains("its signature is not the one of certificate"))
        #expect(said.contains("it has no img_signature"))
    }

    private func openssl(_ words: String, _ more: [String]) throws {
        try run("/usr/bin/openssl", words.split(separator: " ").map(String.init) + more)
    }
}
