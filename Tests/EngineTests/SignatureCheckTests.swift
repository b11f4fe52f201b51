import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import Logging
import Signatures
import Synchronization
import Testing

/// What is asked of whom; the signatures themselves are tried in `SignaturesTests`.
@Suite struct SignatureCheckTests {
    private static let uuid = "07bc2424-753b-4f65-9da5-5a99d8383fe6"

    private struct Certificates: SignatureCertificates {
        var known: [String: [UInt8]] = [:]
        var failure: Failure?

        func certificate(_ id: String) async throws(Failure) -> [UInt8]? {
            if let failure { throw failure }
            return known[id]
        }
    }

    private func check(_ certificates: Certificates, _ catalog: ScriptedCatalog) -> SignatureCheck {
        SignatureCheck(
            catalog: catalog, certificates: certificates, now: { Date() }, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func image(hash: String, signature: Data, digest: ForecacheModel.Digest?, bytes: Int) -> ImageFacts {
        var image = Samples.image(
            1,
            properties: [
                "img_signature": signature.base64EncodedString(), "img_signature_hash_method": hash, "img_signature_key_type": "RSA-PSS",
                "img_signature_certificate_uuid": Self.uuid,
            ])
        (image.digest, image.sizeBytes) = (digest, Int64(bytes))
        return image
    }

    /// What `openssl` signs, and the certificate of whoever signed it.
    private func signed(_ bytes: [UInt8], hash: String) throws -> (image: ImageFacts, certificate: [UInt8]) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "forecache-signed-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // A temporary folder that stays does no harm.
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(bytes).write(to: folder.appending(path: "image"))
        let name = hash.replacingOccurrences(of: "-", with: "").lowercased()
        let commands = [
            "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -days 2 -subj /CN=signer -out cert.pem",
            "dgst -\(name) -sign key.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-3 -out signature image",
        ]
        for command in commands {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/openssl")
            process.arguments = command.split(separator: " ").map(String.init)
            process.currentDirectoryURL = folder
            process.standardError = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
        }
        var known = try #require(RunningDigest(.sha512))
        known.update(bytes)
        let signature = try Data(contentsOf: folder.appending(path: "signature"))
        return (
            image(hash: hash, signature: signature, digest: known.digest, bytes: bytes.count),
            Array(try Data(contentsOf: folder.appending(path: "cert.pem")))
        )
    }

    @Test(arguments: ["SHA-512", "SHA-256"]) func aSignedImagePassesAndIsReadAtMostOnce(hash: String) async throws {
        let bytes = (0..<(9 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let (signed, certificate) = try signed(bytes, hash: hash)
        let catalog = ScriptedCatalog([signed])
        await catalog.put(head: bytes, of: signed.id)
        let check = check(Certificates(known: [Self.uuid: certificate]), catalog)
        #expect(try await check.refusal(of: signed) == nil)
        // Where Glance has the same digest nothing is read, and what was made is kept: a Glance that has gone changes nothing.
        await catalog.fail(with: Failure(.retriable, "away"))
        #expect(try await check.refusal(of: signed) == nil)
        await catalog.fail(with: nil)

        // Bytes that are others than Glance's digest says are not vouched for by any signature.
        var other = signed
        other.digest = ForecacheModel.Digest(.sha512, hex: String(repeating: "ab", count: 64))
        let said = try await check.refusal(of: other) ?? ""
        #expect(said.contains(hash == "SHA-512" ? "not the one of certificate" : "do not match its own sha512"))
    }

    @Test func whatIsMissingIsSaidBeforeAnythingIsRead() async throws {
        let catalog = ScriptedCatalog()
        await catalog.fail(with: Failure(.retriable, "must not be asked"))
        let unsigned = Samples.image(1)
        #expect(try await check(Certificates(), catalog).refusal(of: unsigned)?.contains("it has no img_signature") == true)
        let signed = image(
            hash: "SHA-256", signature: Data([1]), digest: unsigned.digest, bytes: 10)
        #expect(try await check(Certificates(), catalog).refusal(of: signed)?.contains("there is no certificate \(Self.uuid)") == true)
        await #expect(throws: Failure.self) {
            try await check(Certificates(failure: Failure(.retriable, "Barbican is away")), catalog).refusal(of: signed)
        }
    }

    @Test func anUnsignedImageReachesNoHost() async throws {
        let world = try World(sites: 1, hostsPerSite: 2, certificates: Certificates())
        await world.catalog.put(Samples.image(1, tags: ["golden"]))
        guard case .again(let reason, isPermanent: true, _) = await world.reconciler.reconcile(Samples.imageID(1), cause: .event) else {
            Issue.record("an image without a signature is refused for good")
            return
        }
        #expect(reason.contains("is refused: it has no img_signature"))
        #expect(await world.holders(of: Samples.imageID(1)).isEmpty)
    }

    /// Of images that are to be read as a whole two are, and whoever waits says so.
    @Test func theThirdThatIsToBeReadWaits() async throws {
        let images = ["a", "b", "c"].map { letter in
            let digest = ForecacheModel.Digest(.sha512, hex: String(repeating: letter, count: 128))
            return image(hash: "SHA-256", signature: Data([1]), digest: digest, bytes: 10)
        }
        let certificates = Certificates(known: [Self.uuid: [1]])
        let check = SignatureCheck(
            catalog: StuckCatalog(), certificates: certificates, now: { Date() },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let (lines, tell) = AsyncStream.makeStream(of: Bool.self, bufferingPolicy: .unbounded)
        await withTaskGroup(of: Void.self) { group in
            for image in images {
                // Ends with the group, told to stop.
                group.addTask { _ = try? await check.refusal(of: image) { tell.yield($0) } }
            }
            var heard = lines.makeAsyncIterator()
            #expect(await heard.next() == true)
            group.cancelAll()
            await group.waitForAll()
            tell.finish()
            #expect(await heard.next() == false)
            #expect(await heard.next() == nil)
        }
    }

    /// Its bytes never come.
    private struct StuckCatalog: ImageCatalog {
        func image(_ id: ImageID) async throws(Failure) -> ImageFacts? { nil }
        func images(named name: String?) async throws(Failure) -> [ImageFacts] { [] }
        func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8] {
            // Ends when it is cancelled.
            try? await Task.sleep(for: .seconds(3600))
            throw Failure(.cancelled, "told to stop")
        }
        func download(of id: ImageID, endpoint: String?, refused: Secret?) async throws(Failure) -> DownloadGrant {
            throw Failure(.cancelled, "not asked for")
        }
    }

    /// Its certificate takes its time to come, and much happens meanwhile.
    private final class SlowCertificates: SignatureCertificates {
        let certificate: [UInt8]
        let meanwhile = Mutex<(@Sendable () async -> Void)?>(nil)

        init(_ certificate: [UInt8]) { self.certificate = certificate }

        func certificate(_ id: String) async throws(Failure) -> [UInt8]? {
            await meanwhile.withLock { work in
                defer { work = nil }
                return work
            }?()
            return certificate
        }
    }

    @Test func whatWasSeenBeforeALongLookAtTheSignatureIsLookedAtAgain() async throws {
        var (image, certificate) = try signed([UInt8](repeating: 7, count: 4096), hash: "SHA-512")
        image.tags = ["golden"]
        let certificates = SlowCertificates(certificate)
        let world = try World(sites: 1, hostsPerSite: 2, certificates: certificates)
        await world.catalog.put(image)
        let (clock, catalog, id) = (world.clock, world.catalog, image.id)
        certificates.meanwhile.withLock {
            $0 = {
                clock.advance(by: .seconds(600))
                await catalog.change(id) { $0.tags = [] }
            }
        }
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        #expect(await world.hosts.operations.isEmpty, "no rule wants it any longer")
        await catalog.change(id) { $0.tags = ["golden"] }
        #expect(await world.reconciler.reconcile(id, cause: .event) == .settled)
        #expect(await world.holders(of: id).count == 2)
    }
}
