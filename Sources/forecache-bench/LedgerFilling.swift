import Engine
import ForecacheModel
import Foundation
import Planning
import SQLiteLedger

/// A ledger in which every image is on every host, written through the ledger's own methods as decisions and surveys write it.
struct LedgerFilling: Sendable {
    let path: String
    let fleet: Fleet
    let imageCount: Int

    /// Does nothing where the ledger holds as many placements already.
    func fill() async throws {
        let ledger = try SQLiteLedger(path: path, refresh: RefreshSchedule(), limits: Limits())
        let now = Date()
        let found = try await ledger.placementCounts(at: now).values.reduce(0, +)
        let wanted = imageCount * fleet.hosts.count
        if found == wanted { return say("\(path) has its \(wanted) placements") }
        guard found == 0 else {
            throw Failure(
                .permanent, "\(path) has \(found) placements instead of \(wanted): delete it, or give the numbers that it was made with")
        }
        say("filling \(path) with \(wanted) placements")
        try await decide(ledger, at: now)
        try await survey(ledger, at: now)
    }

    func image(_ index: Int) -> ImageID {
        guard let id = ImageID(String(format: "07bc2424-753b-4f65-9da5-%012x", index)) else {
            preconditionFailure("image \(index) has no id")
        }
        return id
    }

    var fileMiB: Double {
        // Without the file there was nothing to measure, which was said before.
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        return Double(attributes?[.size] as? Int ?? 0) / 1_048_576
    }

    private func decide(_ ledger: SQLiteLedger, at now: Date) async throws {
        for index in 0..<imageCount {
            let facts = ImageFacts(
                id: image(index), name: "ubuntu-24.04-build-\(index)", visibility: "public", sizeBytes: 500 << 20,
                digest: Digest(.sha512, hex: String(repeating: "5c", count: 64)))
            let placements = fleet.hosts.map {
                Placement(image: facts.id, site: $0.site, role: $0.role, host: $0.name, rule: "golden")
            }
            try await ledger.record(Decision(image: facts, placements: placements), ttlSeconds: [:], at: now)
            if index % 1000 == 999 { say("  \(index + 1) images decided") }
        }
    }

    /// Base files of ages from none to a third of the TTL: nothing falls due while it is measured.
    private func survey(_ ledger: SQLiteLedger, at now: Date) async throws {
        for (number, host) in fleet.hosts.enumerated() {
            let files = (0..<imageCount).map { index in
                BaseFile(
                    name: BaseFileName(of: image(index)), bytes: 2 << 30, allocatedBytes: 1 << 30,
                    ageSeconds: Double((index + number) % 28_800))
            }
            try await ledger.record(HostSurvey(host: host.name, surveyedAt: now, baseFiles: files), at: now)
            if number % 50 == 49 { say("  \(number + 1) hosts surveyed") }
        }
    }
}
