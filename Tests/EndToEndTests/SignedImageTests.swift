import Foundation
import Testing

/// `verify_signatures` with a tenant's real signature, a directory of certificates, and the lab's Glance, whose own digest is sha512.
@Suite(.serialized) struct SignedImageTests {
    private static let uuid = "07bc2424-753b-4f65-9da5-5a99d8383fe6"

    @Test(arguments: ["SHA-512", "SHA-256"]) func onlyASignedImageReachesTheNodes(hash: String) async throws {
        let lab = try Lab()
        let (glance, service) = (try await Glance(lab), try Service(lab, more: "verify_signatures: true\nsignature_certificates: signers"))
        let bytes = try Glance.random(3_000_000)
        let signer = try Signer(in: service.folder)
        let folder = service.folder.appending(path: "signers")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try signer.certificate.write(to: folder.appending(path: "\(Self.uuid).pem"))
        let properties = try signer.properties(of: bytes, hash: hash, certificate: Self.uuid)
        // Glance itself checks what claims to be signed while it is uploaded; so the properties come afterwards.
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
}
