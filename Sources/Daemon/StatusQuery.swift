import Engine
public import ForecacheModel
import FoundationEssentials
import SQLiteLedger

/// The ledger as `status` prints it, read from the file beside a running service or without one.
public struct StatusQuery: Sendable {
    private let setup: Setup

    public init(setup: Setup) { self.setup = setup }

    /// Placements of the sites and roles that the call selects. Hosts that left the inventory are shown as well: their base files may still lie there.
    public func report() async throws(Refusal) -> StatusReport {
        do throws(Failure) {
            let (ledger, now) = (try SQLiteLedger.reading(path: setup.configuration.state), Date())
            var images: [StatusImage] = []
            var last: ImageID?
            repeat {
                let page = try await ledger.images(after: last, limit: 500)
                for image in page {
                    let rows = try await ledger.placements(of: image.id).filter(isSelected).map { StatusPlacement($0, at: now) }
                    if !rows.isEmpty { images.append(StatusImage(id: image.id, name: image.name, placements: rows)) }
                }
                last = page.last?.id
            } while last != nil
            let queue = StatusQueue(length: try await ledger.workCount(), nextDueAt: try await ledger.nextWorkDue())
            return StatusReport(
                images: images, queue: queue, notifications: StatusNotifications(), policy: StatusPolicy(try await ledger.reloadReport()))
        } catch {
            throw .failed(error)
        }
    }

    /// What was done last on the selected sites.
    public func history(limit: Int) async throws(Refusal) -> HistoryReport {
        do throws(Failure) {
            let ledger = try SQLiteLedger.reading(path: setup.configuration.state)
            let outcomes = try await ledger.outcomes(of: Set(setup.selection.sites), limit: limit)
            return HistoryReport(
                history: outcomes.map { HistoryReport.Entry(at: $0.at, name: $0.name, row: OutcomeReport.Row($0.outcome)) })
        } catch {
            throw .failed(error)
        }
    }

    private func isSelected(_ record: PlacementRecord) -> Bool {
        let (sites, roles) = (setup.selection.sites, setup.selection.roles)
        return (sites.isEmpty || sites.contains(record.site)) && (roles.isEmpty || roles.contains(record.role))
    }
}
