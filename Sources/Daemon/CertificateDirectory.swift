import Engine
import ForecacheModel
import FoundationEssentials

/// Certificates that the operator laid down, one `<uuid>.pem` each: only their signers are trusted.
struct CertificateDirectory: SignatureCertificates {
    let path: String

    /// More than any certificate has.
    private static let mostBytes = 64 << 10

    /// Read anew each time, so that one that is taken away counts no longer. `id` is a UUID: the signature was read before.
    func certificate(_ id: String) async throws(Failure) -> [UInt8]? {
        let file = "\(path)/\(id).pem"
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        guard let data = FileManager.default.contents(atPath: file), data.count <= Self.mostBytes else {
            throw Failure(.permanent, "cannot read the certificate \(file): is it readable to us, and at most \(Self.mostBytes) bytes?")
        }
        return Array(data)
    }
}
