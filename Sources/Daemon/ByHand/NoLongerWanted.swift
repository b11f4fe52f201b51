import Engine
public import ForecacheModel
import FoundationEssentials
import Planning

/// A placement that the ledger has as wanted and that no plan wants any longer: it is left to Nova's janitor.
public struct NoLongerWanted: Encodable, Hashable, Sendable {
    public var image: ImageID
    public var name: String
    public var site: SiteName
    public var role: RoleName
    public var host: HostName
    /// The rule that wanted it.
    public var rule: String

    /// Nothing where there is no ledger; `note` says why one that is there could not be read.
    /// `images` nil: all that the ledger knows.
    static func find(_ setup: Setup, besides plans: [Plan], of images: Set<ImageID>?, note: (String) -> Void) async -> [NoLongerWanted] {
        do throws(Failure) {
            guard let ledger = try setup.serviceLedger() else { return [] }
            let wanted = Dictionary(plans.map { ($0.image.id, $0.wanted) }) { first, _ in first }
            var found: [NoLongerWanted] = []
            var last: ImageID?
            repeat {
                let page = try await ledger.images(after: last, limit: 500)
                for image in page where images?.contains(image.id) ?? true {
                    for record in try await ledger.placements(of: image.id) where record.isWanted && setup.fleet.host(record.host) != nil {
                        if wanted[image.id]?.contains(record.host) ?? false { continue }
                        found.append(
                            NoLongerWanted(
                                image: image.id, name: image.name, site: record.site, role: record.role, host: record.host,
                                rule: record.rule))
                    }
                }
                last = page.last?.id
            } while last != nil
            return found.sorted { ($0.name, $0.image, $0.site, $0.host) < ($1.name, $1.image, $1.site, $1.host) }
        } catch {
            note("what is no longer wanted is not shown: \(error)")
            return []
        }
    }
}
