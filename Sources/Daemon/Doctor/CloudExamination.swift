import Engine
import ForecacheModel
import FoundationEssentials
import Logging

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
        return findings + (await download(of: images, from: catalog))
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
}
