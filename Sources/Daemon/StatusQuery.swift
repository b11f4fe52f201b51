import Engine
public import ForecacheModel
import FoundationEssentials
import Glibc
import SQLiteLedger

/// The ledger as `status` prints it, read from the file beside a running service or without one.
public struct StatusQuery: Sendable {
    private let setup: Setup

    public init(setup: Setup) { self.setup = setup }

    /// Placements of the sites and roles that the call selects. Hosts that left the inventory are shown as well: their base files may still lie there.
    public func report() async throws(Refusal) -> StatusReport {
        let path = setup.configuration.state
        guard FileManager.default.fileExists(atPath: path) else {
            // A directory that may not be entered hides the ledger that is in it.
            if access(path, F_OK) != 0, errno == EACCES {
                throw .failed(
                    Failure(.permanent, "cannot look for ledger \(path): run as the user that owns its directory: permission denied"))
            }
            throw .failed(Failure(.permanent, "no ledger at \(path): 'forecache watch' makes it; check 'state' in the configuration"))
        }
        do throws(Failure) {
            let (ledger, now) = (try SQLiteLedger.reading(path: path), Date())
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

    private func isSelected(_ record: PlacementRecord) -> Bool {
        let (sites, roles) = (setup.selection.sites, setup.selection.roles)
        return (sites.isEmpty || sites.contains(record.site)) && (roles.isEmpty || roles.contains(record.role))
    }
}
