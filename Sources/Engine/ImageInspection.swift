public import ForecacheModel
import FoundationEssentials
import Inspection
public import Planning

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
    /// Each holds up to 4 MiB.
    private let looks: Forks
    private var findings: [Subject: Finding] = [:]

    /// Nil where signatures are not asked for.
    private let signatures: SignatureCheck?

    public init(catalog: any ImageCatalog, signatures: SignatureCheck? = nil, looks: Forks) {
        self.catalog = catalog
        self.signatures = signatures
        self.looks = looks
    }

    private enum Finding: Hashable, Sendable {
        case safe(InspectedImage)
        /// Why the image must not be handed to Nova.
        case refused(String)
    }

    /// The plan with what was found put into it: sizes for conversions, the proof that hosts are held to, or the refusal of every transfer, also where Glance
    /// will not give the bytes. Throws where another try may get them. An image that is to be read as a whole for its signature waits for others.
    public func inspected(_ plan: Plan, inLine: @escaping InLine = { _ in }) async throws(Failure) -> Plan {
        guard plan.movesBytes else { return plan }
        do throws(Failure) {
            switch try await finding(on: plan.image) {
            case .safe(let image):
                let plan = plan.inspected(image)
                guard plan.movesBytes, let refusal = try await signatures?.refusal(of: plan.image, inLine: inLine) else { return plan }
                return plan.refusing("image \(plan.image.id) is refused: \(refusal)")
            case .refused(let reason): return plan.refusing("image \(plan.image.id) is refused: \(reason)")
            }
        } catch  where error.kind == .permanent {
            return plan.refusing(error.description)
        } catch {
            throw error
        }
    }

    private func finding(on image: ImageFacts) async throws(Failure) -> Finding {
        let subject = Subject(digest: image.digest, format: image.diskFormat, bytes: image.sizeBytes ?? 0)
        if let known = findings[subject] { return known }
        let finding = try await looks.run { () async throws(Failure) in try await inspect(image) }
        if findings.count >= Self.mostVerdicts { findings = [:] }
        // Without a digest nobody knows whether the bytes are still the same.
        if image.digest != nil { findings[subject] = finding }
        return finding
    }

    private func inspect(_ image: ImageFacts) async throws(Failure) -> Finding {
        var inspector = Inspector(declaredFormat: image.diskFormat, sizeBytes: image.sizeBytes ?? 0)
        while true {
            switch inspector.next() {
            case .done(.refused(let refusal)): return .refused("\(refusal)")
            case .done(.safe):
                guard let inspected = inspector.inspected else { preconditionFailure("a safe image has been inspected") }
                return .safe(inspected)
            case .need(let ranges):
                for range in ranges { inspector.received(try await catalog.bytes(of: image.id, in: range), at: range) }
            }
        }
    }
}
