import ForecacheTestSupport
import Foundation
import Testing

/// `verify_signatures` with certificates in the lab's Barbican, which its Glance asks as well.
@Suite(.serialized) struct BarbicanTests {
    private static let site = ["dcn1-compute-0", "dcn1-compute-1"]
    private let lab: Lab
    private let glance: Glance
    private let session: Session
    private let service: Service

    init() async throws {
        lab = try Lab()
        try #require(!lab["BARBICAN_URL"].isEmpty, "the lab runs without its part barbican")
        glance = try await Glance(lab)
        session = try await Session(lab)
        service = try Service(lab, more: "verify_signatures: true", limits: ["backoff_max_seconds": 2])
    }

    @Test func whatGlanceTookAsSignedReachesTheNodes() async throws {
        var images: [String: Data] = [:]
        for (key, hash) in [(Signer.Key.rsa, "SHA-256"), (.secp384r1, "SHA-384")] {
            let bytes = try Glance.random(2_000_000)
            let signer = try Signer(key, in: service.folder)
            let properties = try signer.properties(of: bytes, hash: hash, certificate: try await store(try signer.certificate, session))
            // With the properties there beforehand, Glance holds the bytes against them, by the same certificate.
            images[try await glance.upload("e2e \(key.type)", content: bytes, properties: properties)] = bytes
            if key != .rsa { continue }
            await #expect(throws: CommandFailed.self) {
                try await glance.upload("e2e forged", content: bytes.dropLast() + [7], properties: properties)
            }
        }
        let said = try service.ended(["cache"] + images.keys + ["--site", "dcn1"])
        #expect(said.code == 0, "\(said)")
        #expect(said.output.contains("4 cached, 0 existing, 0 unsupported, 0 failed"))
        for (image, bytes) in images {
            #expect(try lab.holders(of: image) == Self.site)
            for node in Self.site { #expect(try Data(contentsOf: lab.baseFile(image, on: node)) == bytes) }
        }
        #expect(try signatures().contains { $0.hasPrefix("ok 2 of ") && $0.hasSuffix(" are signed; 2 certificates can be read") })
    }

    @Test func whatIsNotSignedIsRefusedWithItsReason() async throws {
        let bytes = try Glance.random(1_000_000)
        let (signer, other) = (try Signer(in: service.folder), try Signer(.secp384r1, in: service.folder))
        let certificate = try await store(try signer.certificate, session)
        let (properties, unknown) = (
            try signer.properties(of: bytes, hash: "SHA-256", certificate: certificate), UUID().uuidString.lowercased()
        )
        let good = try await image("good", bytes, properties)
        let forged = try await image("forged", bytes.dropLast() + [7], properties)
        let nowhere = try await image("nowhere", bytes, properties.merging(["img_signature_certificate_uuid": unknown]) { $1 })
        let others = try await store(try other.certificate, session)
        let othersKey = try await image("others", bytes, properties.merging(["img_signature_certificate_uuid": others]) { $1 })
        let unsigned = try await image("unsigned", bytes, [:])
        let reasons = [
            forged: "its signature is not the one of certificate \(certificate)", nowhere: "there is no certificate \(unknown)",
            othersKey: "its certificate's key is not the RSA key", unsigned: "it has no img_signature",
        ]

        let said = try service.ended(["cache", good] + reasons.keys + ["--site", "dcn1"])
        #expect(said.code == 2 && said.output.contains("2 cached, 0 existing, 0 unsupported, 8 failed"), "\(said)")
        #expect(try lab.holders(of: good) == Self.site)
        for (image, reason) in reasons {
            #expect(said.output.components(separatedBy: "image \(image) is refused: \(reason)").count == 3, "\(reason): \(said)")
            #expect(try lab.holders(of: image).isEmpty)
        }
        #expect(try signatures().contains("fail there is no certificate \(unknown), which images name"))
        // A certificate that is taken away takes its images with it.
        _ = try await session.call("DELETE", secret(certificate))
        let without = try service.ended(["cache", good, "--site", "dcn2"])
        #expect(without.code == 1 && without.output.contains("there is no certificate \(certificate)"), "\(without)")
        #expect(try lab.holders(of: good) == Self.site)
    }

    @Test func aCertificateOfAnotherProjectIsReadWhenItsOwnerAllowsIt() async throws {
        let tenant = try await Session(lab, project: try await session.makeProject("e2e-\(UUID().uuidString)"))
        let bytes = try Glance.random(1_000_000)
        let signer = try Signer(in: service.folder)
        let (ours, theirs) = (try await store(try signer.certificate, session), try await store(try signer.certificate, tenant))
        let signed = try await image("ours", bytes, try signer.properties(of: bytes, hash: "SHA-512", certificate: ours))
        let foreign = try await image("theirs", bytes, try signer.properties(of: bytes, hash: "SHA-512", certificate: theirs))
        // One tenant's certificate keeps nobody else's image away.
        let said = try service.ended(["cache", foreign, signed, "--site", "dcn1"])
        #expect(said.code == 2 && said.output.contains("2 cached, 0 existing, 0 unsupported, 2 failed"), "\(said)")
        #expect(said.output.contains("to read certificate \(theirs); another project's is ours to read once its owner allows it"))
        #expect(try lab.holders(of: signed) == Self.site && lab.holders(of: foreign).isEmpty)

        let allowed = try JSONSerialization.data(withJSONObject: ["read": ["users": [session.user]]])
        _ = try await tenant.call("PUT", secret(theirs) + "/acl", body: allowed)
        #expect(try service.ended(["cache", foreign, "--site", "dcn1"]).code == 0)
        #expect(try lab.holders(of: foreign) == Self.site)
    }

    @Test func withoutBarbicanNothingMovesUntilItIsBack() async throws {
        let bytes = try Glance.random(1_000_000)
        let signer = try Signer(in: service.folder)
        let certificate = try await store(try signer.certificate, session)
        let image = try await image("away", bytes, try signer.properties(of: bytes, hash: "SHA-256", certificate: certificate))
        try await service.start()
        try lab.lab("barbican", "stop")
        defer { try? lab.lab("barbican", "start") }  // started below already where the test succeeds
        let said = try service.ended(["cache", image])
        #expect(said.code == 69 && said.errors.contains("Barbican at \(lab["BARBICAN_URL"]) is not reachable"), "\(said)")
        try await glance.addTag("e2e-everywhere", to: image)
        try await eventually("the service asks Barbican; log: \(service.log)") { service.log.contains("Barbican at") }
        #expect(try lab.holders(of: image).isEmpty)
        try lab.lab("barbican", "start")
        try await eventually("base files on all nodes; log: \(service.log)") { try lab.holders(of: image) == lab.nodes }
        #expect(try await service.stop(SIGTERM) == 0)
        try service.removeQueue()
    }

    // MARK: -

    /// Its properties come after its bytes: Glance lets no other image be signed so.
    private func image(_ name: String, _ bytes: Data, _ properties: [String: String]) async throws -> String {
        let id = try await glance.upload("e2e \(name)", content: bytes)
        try await glance.set(properties, on: id)
        return id
    }

    /// As OpenStack's documentation stores a signer's certificate; its UUID.
    private func store(_ certificate: Data, _ session: Session) async throws -> String {
        let record = [
            "name": "e2e signer", "secret_type": "certificate", "payload": certificate.base64EncodedString(),
            "payload_content_type": "application/octet-stream", "payload_content_encoding": "base64",
        ]
        let stored = try await session.call(
            "POST", lab["BARBICAN_URL"] + "/v1/secrets", body: try JSONSerialization.data(withJSONObject: record))
        return String(try #require((stored["secret_ref"] as? String)?.split(separator: "/").last))
    }

    private func secret(_ uuid: String) -> String { lab["BARBICAN_URL"] + "/v1/secrets/" + uuid }

    /// What `doctor` says of signatures, as `LEVEL TEXT`.
    private func signatures() throws -> [String] {
        let findings = try service.json(["doctor"])["findings"] as? [[String: Any]] ?? []
        return findings.filter { $0["check"] as? String == "signatures" }.map { "\($0["level"] ?? "") \($0["text"] ?? "")" }
    }
}
