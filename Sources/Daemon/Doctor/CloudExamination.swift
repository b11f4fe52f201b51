import Engine
import ForecacheModel
import FoundationEssentials
import Logging
import Signatures

/// Keystone and Glance, with the credentials that the service will have.
struct CloudExamination: Sendable {
    let setup: Setup
    let environment: [String: String]
    let logger: Logger

    func findings() async -> [DoctorReport.Finding] {
        let catalog: any ImageCatalog
        do throws(Refusal) {
            catalog = try Shells.catalog(setup, environment: environment, logger: logger)
        } catch {
            return [.fail("keystone", error.message ?? "no credentials", "set the OS_* variables of an overcloudrc, or `cloud:`")]
        }
        let images: [ImageFacts]
        do throws(Failure) {
            images = try await catalog.images(named: nil)
        } catch {
            return [.fail("glance", error.description, "check OS_AUTH_URL, user, project and the way to Keystone and Glance")]
        }
        var findings: [DoctorReport.Finding] = [.ok("keystone", "signed in"), .ok("glance", "lists \(images.count) images")]
        if images.isEmpty {
            findings.append(.warn("glance", "this project sees no image", "check project and user; rules can only name what it sees"))
        } else if Set(images.map(\.owner)).count == 1, !images.contains(where: { $0.visibility == "public" }) {
            findings.append(
                .warn(
                    "glance", "only images of one project are seen, and none is public",
                    "give the user a role that sees every image that rules may name"))
        }
        return findings + (await download(of: images, from: catalog)) + (await signers(of: images))
    }

    /// The right to download, and whether ranges are answered: one byte of one image tells both.
    private func download(of images: [ImageFacts], from catalog: any ImageCatalog) async -> [DoctorReport.Finding] {
        guard let image = images.first(where: { $0.status == .active && ($0.sizeBytes ?? 0) > 0 }) else { return [] }
        do throws(Failure) {
            _ = try await catalog.bytes(of: image.id, in: 0..<1)
            return [.ok("glance", "image bytes can be downloaded")]
        } catch {
            return [
                .fail(
                    "glance", "the bytes of image \(image.id) cannot be had: \(error)",
                    "give the user the right to download (policy download_image); the store must answer range requests")
            ]
        }
    }

    /// Certificates that are asked for here; a cloud has few signers.
    private static let mostCertificates = 50

    /// With `verify_signatures`: how many images could be handed to hosts, and whether the certificates that they name can be had.
    private func signers(of images: [ImageFacts]) async -> [DoctorReport.Finding] {
        guard setup.configuration.verifiesSignatures else { return [] }
        let active = images.filter { $0.status == .active }
        // Without a whole signature an image is refused whatever the certificates are.
        let signed = active.compactMap { try? ImageSignature(properties: $0.properties).certificate }
        let certificates = Set(signed).sorted().prefix(Self.mostCertificates)
        let count = "\(signed.count) of \(CountText.of(active.count, "active image")) \(signed.count == 1 ? "is" : "are") signed"
        if certificates.isEmpty {
            return [.warn("signatures", "\(count), so none is handed to hosts", "sign images, or do without `verify_signatures`")]
        }
        do throws(Refusal) {
            let complaints = await complaints(about: certificates, try Shells.certificates(setup, environment: environment, logger: logger))
            guard complaints.isEmpty else { return complaints }
            return [.ok("signatures", "\(count); \(CountText.of(certificates.count, "certificate")) can be read")]
        } catch {
            return [.fail("signatures", error.message ?? "no credentials", "set the OS_* variables of an overcloudrc, or `cloud:`")]
        }
    }

    private func complaints(
        about certificates: some Sequence<String>, _ known: any SignatureCertificates
    ) async -> [DoctorReport.Finding] {
        var findings: [DoctorReport.Finding] = []
        for certificate in certificates {
            do throws(Failure) {
                guard try await known.certificate(certificate) == nil else { continue }
                let place = setup.configuration.signatureCertificates.map { "lay it down in \($0)" } ?? "store it in Barbican"
                findings.append(
                    .fail("signatures", "there is no certificate \(certificate), which images name", "\(place), or sign those images anew"))
            } catch {
                findings.append(.fail("signatures", error.description, "images that it stands for are refused until it can be read"))
                // The others would only be told the same.
                if error.kind == .retriable { break }
            }
        }
        return findings
    }
}
