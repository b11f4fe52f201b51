public import Engine
public import ForecacheModel
import FoundationEssentials
import Rules

/// Which images a command is about: those that are named, those that rules want, or all. Speaks to the catalogue and the ledger, never to a host.
public struct ImageChoice: Sendable {
    let policy: Policy
    let catalog: any ImageCatalog
    private let catalogFile: String?
    /// Who knows since when rules with `for:` match. Nil: each match counts from now.
    private let matchTimes: (any Ledger)?

    /// `catalogFile` is what `catalog` was read from where that is not Glance: for messages.
    public init(policy: Policy, catalog: any ImageCatalog, catalogFile: String? = nil, matchTimes: (any Ledger)? = nil) {
        self.policy = policy
        self.catalog = catalog
        self.catalogFile = catalogFile
        self.matchTimes = matchTimes
    }

    /// The images of these ids or unique names, each once; all problems at once. Throws `.failed` for an unknown or ambiguous one.
    public func images(_ selectors: [String]) async throws(Refusal) -> [ImageFacts] {
        var images: [ImageFacts] = []
        var complaints: [String] = []
        for selector in selectors {
            switch try await found(selector) {
            case .success(let image): if !images.contains(where: { $0.id == image.id }) { images.append(image) }
            case .failure(let complaint): complaints.append(complaint.description)
            }
        }
        guard complaints.isEmpty else { throw .failed(Failure(.permanent, complaints.joined(separator: "\n"))) }
        return images
    }

    /// The one of this id or unique name. Throws as `images` does.
    func image(_ selector: String) async throws(Refusal) -> ImageFacts {
        switch try await found(selector) {
        case .success(let image): return image
        case .failure(let complaint): throw .failed(complaint)
        }
    }

    /// Throws where the catalogue cannot be asked.
    private func found(_ selector: String) async throws(Refusal) -> Result<ImageFacts, Failure> {
        let found: [ImageFacts]
        do throws(Failure) {
            if let id = ImageID(selector) {
                found = try await catalog.image(id).map { [$0] } ?? []
            } else {
                found = try await catalog.images(named: selector)
            }
        } catch {
            throw Refusal(error)
        }
        guard let image = found.first else {
            let place = catalogFile?.printable ?? "Glance (as this project sees it)"
            return .failure(Failure(.permanent, "no image '\(selector.printable)' in \(place)"))
        }
        guard found.count == 1 else {
            let ids = found.map(\.id.text).joined(separator: ", ")
            return .failure(Failure(.permanent, "image name '\(selector.printable)' is not unique; name one of the ids \(ids)"))
        }
        return .success(image)
    }

    /// All images that at least one rule wants somewhere.
    public func imagesOfRules() async throws(Refusal) -> [ImageFacts] {
        do throws(Failure) {
            let now = Date()
            let (images, rivals) = try await RivalBook(catalog: catalog).list(for: policy.rules, at: now)
            let began = try await began(images)
            return images.filter { image in
                let decision = policy.rules.decide(image, fleet: policy.fleet, now: now, among: rivals, since: began[image.id] ?? [:])
                return !decision.placements.isEmpty
            }
        } catch {
            throw Refusal(error)
        }
    }

    /// All that the catalogue has.
    func all() async throws(Refusal) -> [ImageFacts] {
        do throws(Failure) { return try await catalog.images(named: nil) } catch { throw Refusal(error) }
    }

    /// All images of the catalogue where a rule takes only the newest of them; else none is asked for.
    func rivals() async throws(Refusal) -> Rivals? {
        guard policy.rules.selects else { return nil }
        do throws(Failure) {
            return try await RivalBook(catalog: catalog).list(for: policy.rules, at: Date()).rivals
        } catch {
            throw Refusal(error)
        }
    }

    /// The rules' word on each of these images.
    func decisions(on images: [ImageFacts]) async throws(Refusal) -> [Decision] {
        let (rivals, now) = (try await rivals(), Date())
        let began: [ImageID: [String: Date]]
        do throws(Failure) { began = try await self.began(images) } catch { throw Refusal(error) }
        return images.map { policy.rules.decide($0, fleet: policy.fleet, now: now, among: rivals, since: began[$0.id] ?? [:]) }
    }

    private func began(_ images: [ImageFacts]) async throws(Failure) -> [ImageID: [String: Date]] {
        try await matchTimes?.matchesBegan(images.lazy.map(\.id), by: [policy.rules]) ?? [:]
    }
}
