public import ForecacheModel
public import FoundationEssentials
public import Logging
import Signatures

/// `verify_signatures`: an image is handed to hosts only with a signature of its bytes that a certificate stands for.
///
/// The signature is over a digest. Where that is the one that Glance has of the image (`os_hash_algo`), no byte is read, since every host holds its bytes against
/// it. Otherwise the image is read once, in pieces, and both digests are made from the same bytes; two images at once, as that may take as long as a download.
public actor SignatureCheck {
    private struct Subject: Hashable {
        let digest: Digest
        let algorithm: DigestAlgorithm
    }

    /// Pieces in which an image is read, in bytes: what of it is in memory at once.
    private static let pieceBytes: Int64 = 8 << 20
    /// More images than a cloud has; a full table is begun anew.
    private static let mostDigests = 20_000

    private let catalog: any ImageCatalog
    private let certificates: any SignatureCertificates
    private let now: @Sendable () -> Date
    private let logger: Logger
    private var digests: [Subject: Digest] = [:]
    private let readers = Forks(2)

    public init(catalog: any ImageCatalog, certificates: any SignatureCertificates, now: @escaping @Sendable () -> Date, logger: Logger) {
        self.catalog = catalog
        self.certificates = certificates
        self.now = now
        self.logger = logger
    }

    /// Why the image must not be handed to Nova; nil for one that is signed. Throws where Glance or the certificates cannot be asked. An image that is to be read as a
    /// whole waits while two others are.
    public func refusal(
        of image: ImageFacts, inLine: @escaping InLine = { _ in }
    ) async throws(Failure) -> String? {
        let signature: ImageSignature
        do throws(SignatureRefusal) { signature = try ImageSignature(properties: image.properties) } catch { return error.description }
        guard let certificate = try await certificates.certificate(signature.certificate) else {
            return "there is no certificate \(signature.certificate), which its img_signature_certificate_uuid names"
        }
        guard let known = image.digest, let bytes = image.sizeBytes else {
            throw Failure(.retriable, "Glance has no size or digest of image \(image.id) yet, so its signature cannot be checked")
        }
        guard let digest = try await digest(signature.hash, of: image.id, bytes: bytes, known: known, inLine) else {
            return "Glance sent bytes that do not match its own \(known.algorithm.rawValue) of the image"
        }
        do throws(SignatureRefusal) {
            try signature.verify(digest: digest, certificate: certificate, now: now())
            return nil
        } catch {
            return error.description
        }
    }

    /// Nil where the bytes are not those that Glance's digest is of.
    private func digest(
        _ algorithm: DigestAlgorithm, of id: ImageID, bytes: Int64, known: Digest, _ inLine: @escaping InLine
    ) async throws(Failure) -> Digest? {
        if known.algorithm == algorithm { return known }
        if let made = digests[Subject(digest: known, algorithm: algorithm)] { return made }
        return try await readers.run(inLine: inLine) { () async throws(Failure) in
            try await read(id, bytes: bytes, known: known, algorithm)
        }
    }

    private func read(_ id: ImageID, bytes: Int64, known: Digest, _ algorithm: DigestAlgorithm) async throws(Failure) -> Digest? {
        let subject = Subject(digest: known, algorithm: algorithm)
        // Another round may have read it meanwhile.
        if let made = digests[subject] { return made }
        guard var wanted = RunningDigest(algorithm), var check = RunningDigest(known.algorithm) else {
            throw Failure(.permanent, "image \(id): its \(known.algorithm.rawValue) digest cannot be checked here; upload it anew")
        }
        let began = now()
        var offset: Int64 = 0
        while offset < bytes {
            let piece = try await catalog.bytes(of: id, in: offset..<min(offset + Self.pieceBytes, bytes))
            wanted.update(piece)
            check.update(piece)
            offset += Int64(piece.count)
        }
        logger.notice(
            "image read once for its signature",
            metadata: [
                "image": "\(id)", "bytes": "\(bytes)", "seconds": "\(Int(now().timeIntervalSince(began)))", "hash": "\(algorithm.rawValue)",
            ])
        guard check.digest == known else { return nil }
        if digests.count >= Self.mostDigests { digests = [:] }
        digests[subject] = wanted.digest
        return wanted.digest
    }
}
