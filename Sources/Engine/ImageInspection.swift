public import ForecacheModel
import FoundationEssentials
import Inspection

/// Looks at an image's own bytes once, before any host gets them: what Glance declares must be what it is, and nothing in it may point anywhere else
/// (OSSA-2024-001, OSSA-2024-002). Some ranges of at most 4 MiB in all come to the controller; the verdict is kept for as long as the bytes are the same.
public actor ImageInspection {
    private struct Subject: Hashable {
        let digest: Digest?
        let format: String?
        let bytes: Int64
    }

    /// More verdicts than a cloud has images that are wanted anywhere; a full table is begun anew.
    private static let mostVerdicts = 20_000

    private let catalog: any ImageCatalog
    private var verdicts: [Subject: Verdict] = [:]

    public init(catalog: any ImageCatalog) { self.catalog = catalog }

    /// Why the image must not be handed to Nova; nil for one that is what it says it is. Throws where Glance does not give the bytes.
    public func refusal(of image: ImageFacts) async throws(Failure) -> String? {
        let subject = Subject(digest: image.digest, format: image.diskFormat, bytes: image.sizeBytes ?? 0)
        let verdict: Verdict
        if let known = verdicts[subject] {
            verdict = known
        } else {
            verdict = try await inspect(image)
            if verdicts.count >= Self.mostVerdicts { verdicts = [:] }
            // Without a digest nobody knows whether the bytes are still the same.
            if image.digest != nil { verdicts[subject] = verdict }
        }
        switch verdict {
        case .safe: return nil
        case .refused(let refusal): return "image \(image.id) is refused: \(refusal)"
        }
    }

    private func inspect(_ image: ImageFacts) async throws(Failure) -> Verdict {
        var inspector = Inspector(declaredFormat: image.diskFormat, sizeBytes: image.sizeBytes ?? 0)
        while true {
            switch inspector.next() {
            case .done(let verdict): return verdict
            case .need(let ranges):
                for range in ranges { inspector.received(try await catalog.bytes(of: image.id, in: range), at: range) }
            }
        }
    }
}
