import ForecacheModel
import FoundationEssentials
import Logging
import Planning

/// One step with all that it needs to be done.
struct StepWork: Sendable {
    let image: ImageFacts
    let site: SitePlan
    let step: Step
    let fleet: Fleet

    var host: Host { get throws(Failure) { try fleet.listed(step.host) } }

    func request() throws(Failure) -> BaseFileRequest {
        guard let bytes = image.sizeBytes, let digest = image.digest else {
            throw Failure(.retriable, "Glance has no size or digest of image \(image.id) yet, so its bytes cannot be verified")
        }
        var request = BaseFileRequest(
            image: image.id, bytes: bytes, digest: digest, keepFreeBytes: site.keepFreeBytes, rateLimit: site.deliver.rateLimit)
        request.streams = site.deliver.streams
        request.proof = site.inspected?.proof
        request.conversion = site.conversion(on: step)
        request.keepsOriginal = keepsOriginal
        if case .copy(let source, _) = step.action { request.sourceIsConverted = isConverted(on: source) }
        return request
    }

    /// Whether the plan makes another base file there than the image's own bytes.
    func isConverted(on host: HostName) -> Bool { site.steps.contains { $0.host == host && site.conversion(on: $0) != nil } }

    /// Others copy the image's own bytes from here, which the base file will not be.
    var keepsOriginal: Bool {
        site.conversion(on: step) != nil
            && (site.isRelayed || site.steps.contains { if case .copy(step.host, _) = $0.action { true } else { false } })
    }

    func outcome(
        _ kind: OutcomeKind, seconds: Double = 0, reason: String? = nil, failure: Failure.Kind? = nil, touchedAt: Date? = nil,
        againAt: Date? = nil
    ) -> Outcome {
        Outcome(
            image: image.id, site: site.site, host: step.host, kind: kind, via: site.via, seconds: seconds, reason: reason,
            failure: failure, touchedAt: touchedAt, againAt: againAt)
    }

    func outcome(at rest: Step.Rest) -> Outcome {
        switch rest {
        case .fresh(let since): outcome(.existing, touchedAt: since)
        case .dryRun: outcome(.skipped, reason: "rule \(step.rule) is in dry-run mode")
        case .unsupported(let reason): outcome(.unsupported, reason: reason)
        case .refused(let reason): outcome(.failed, reason: reason, failure: .permanent)
        case .unreachable(let reason): outcome(.failed, reason: reason, failure: .retriable)
        case .waiting(let opening): outcome(.skipped, reason: site.waitReason(opening), againAt: opening)
        case .arriving(let lookAgain): outcome(.skipped, reason: SitePlan.arrivalReason(site.site), againAt: lookAgain)
        }
    }

    /// Bytes that could not cross the WAN before the window closed; those that did stay on the host for the next opening.
    func outcome(waitingFrom now: Date) -> Outcome { outcome(at: .waiting(until: site.deliver.window?.opening(after: now) ?? now)) }

    func progress(from source: String, _ report: @escaping @Sendable (ExecutionReport) -> Void) -> Progress {
        let (id, host, total) = (image.id, step.host, image.sizeBytes ?? 0)
        return { bytes in report(.progress(image: id, host: host, source: source, bytes: bytes, of: total)) }
    }

    func metadata(reason: Failure) -> Logger.Metadata {
        ["image": "\(image.id)", "site": "\(site.site)", "host": "\(step.host)", "reason": "\(reason)"]
    }
}

extension Fleet {
    /// A plan, or a refresh, may name a host that a reload has taken out since.
    func listed(_ name: HostName) throws(Failure) -> Host {
        guard let host = host(name) else {
            throw Failure(
                .permanent, "host \(name) is not in the inventory any longer; it is asked for no more once the image is looked at again")
        }
        return host
    }
}

extension SitePlan {
    fileprivate func conversion(on step: Step) -> BaseFileRequest.Conversion? {
        guard step.movesBytes, step.format == .raw, let inspected, let format = inspected.qemuFormat else { return nil }
        return .init(qemuFormat: format, rawBytes: inspected.virtualSizeBytes)
    }
}

extension Plan {
    /// Without the steps that change nothing, and without sites where nothing is left then.
    var sitesAtWork: [SitePlan] {
        sites.compactMap { site in
            var site = site
            site.steps.removeAll(where: \.isAtRest)
            return site.steps.isEmpty ? nil : site
        }
    }

    /// Of the steps that change nothing.
    func outcomesAtRest(_ fleet: Fleet) -> [Outcome] {
        sites.flatMap { site in
            site.steps.compactMap { step in
                guard case .none(let rest) = step.action else { return nil }
                return StepWork(image: image, site: site, step: step, fleet: fleet).outcome(at: rest)
            }
        }
    }

    /// Of the base file that this plan makes on the host.
    func baseFileBytes(on host: HostName) -> Int64? {
        for site in sites {
            if let step = site.steps.first(where: { $0.host == host }) { return site.conversion(on: step)?.rawBytes ?? image.sizeBytes }
        }
        return nil
    }
}
