import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import SQLiteLedger
import Synchronization
import Testing

/// The process dies after any write to the ledger: started again on the same ledger and the same nodes, it converges and does nothing twice that was recorded.
@Suite struct CrashTests {
    @Test(arguments: 1...12) func convergesAfterACrashAtAnyWrite(writes: Int) async throws {
        let id = Samples.imageID(1)
        let real = try SQLiteLedger.inMemory()
        let first = try World(ledger: CrashingLedger(real, after: writes))
        await first.catalog.put(Samples.image(1, tags: ["golden"]))
        _ = try? await first.ledger.request([id], cause: .event, at: first.clock.now.date)
        _ = await first.reconciler.reconcile(id, cause: .event)
        let recorded = try await real.placements(of: id).filter { $0.touchedAt != nil }.map(\.host)

        let second = try World(ledger: real, hosts: first.hosts)
        await second.catalog.put(Samples.image(1, tags: ["golden"]))
        let before = await second.hosts.operations.count
        #expect(await second.reconciler.reconcile(id, cause: .resync) == .settled)
        #expect(await second.holders(of: id).count == 4)
        let repeated = await second.hosts.operations.dropFirst(before).filter { $0.hasPrefix("transfer") }
        for host in recorded { #expect(!repeated.contains("transfer \(host)")) }
    }
}

/// A ledger that fails for ever after so many writes, as a process that was killed does.
private final class CrashingLedger: Ledger {
    private let real: any Ledger
    private let left: Mutex<Int>

    init(_ real: any Ledger, after writes: Int) {
        self.real = real
        left = Mutex(writes)
    }

    private func write() throws(Failure) {
        let isDead = left.withLock { left in
            left -= 1
            return left < 0
        }
        if isDead { throw Failure(.fatal, "the process is dead") }
    }

    func request(_ images: [ImageID], cause: WorkCause, at now: Date) async throws(Failure) -> [WorkRow] {
        try write()
        return try await real.request(images, cause: cause, at: now)
    }
    func dueWork(at now: Date, excluding: [ImageID: Int64], limit: Int) async throws(Failure) -> [WorkRow] {
        try await real.dueWork(at: now, excluding: excluding, limit: limit)
    }
    func nextWorkDue() async throws(Failure) -> Date? { try await real.nextWorkDue() }
    func bringForward(_ images: [ImageID], at now: Date) async throws(Failure) {
        try write()
        try await real.bringForward(images, at: now)
    }
    func finish(_ rows: [WorkRow]) async throws(Failure) {
        try write()
        try await real.finish(rows)
    }
    func postpone(_ row: WorkRow, until dueAt: Date, reason: String, isFailure: Bool) async throws(Failure) {
        try write()
        try await real.postpone(row, until: dueAt, reason: reason, isFailure: isFailure)
    }
    func workCount() async throws(Failure) -> Int { try await real.workCount() }
    func record(_ decision: Decision, ttlSeconds: [HostName: Int], at now: Date) async throws(Failure) {
        try write()
        try await real.record(decision, ttlSeconds: ttlSeconds, at: now)
    }
    func matchesBegan(_ image: ImageID) async throws(Failure) -> [String: Date] { try await real.matchesBegan(image) }
    func recordGone(_ image: ImageID, at now: Date) async throws(Failure) {
        try write()
        try await real.recordGone(image, at: now)
    }
    func recordStarted(_ image: ImageID, on hosts: [HostName], at now: Date) async throws(Failure) {
        try write()
        try await real.recordStarted(image, on: hosts, at: now)
    }
    func recordProgress(_ image: ImageID, _ progress: [HostName: TransferProgress]) async throws(Failure) {
        try write()
        try await real.recordProgress(image, progress)
    }
    func record(_ outcomes: [Outcome], at now: Date) async throws(Failure) {
        try write()
        try await real.record(outcomes, at: now)
    }
    func record(_ survey: HostSurvey, at now: Date) async throws(Failure) -> [ImageID] {
        try write()
        return try await real.record(survey, at: now)
    }
    func recordUnreachable(_ host: HostName, reason: String, at now: Date) async throws(Failure) {
        try write()
        try await real.recordUnreachable(host, reason: reason, at: now)
    }
    func sitesInNeed(of image: ImageID, at now: Date) async throws(Failure) -> Set<SiteName> {
        try await real.sitesInNeed(of: image, at: now)
    }
    func placements(of image: ImageID) async throws(Failure) -> [PlacementRecord] { try await real.placements(of: image) }
    func images(after image: ImageID?, limit: Int) async throws(Failure) -> [LedgerImage] {
        try await real.images(after: image, limit: limit)
    }
    func placementCounts(at now: Date) async throws(Failure) -> [PlacementState: Int] { try await real.placementCounts(at: now) }
    func hostsDue(at now: Date, limit: Int) async throws(Failure) -> [DueHost] { try await real.hostsDue(at: now, limit: limit) }
    func dueRefreshes(on host: HostName, at now: Date, limit: Int) async throws(Failure) -> [DueRefresh] {
        try await real.dueRefreshes(on: host, at: now, limit: limit)
    }
    func nextRefresh() async throws(Failure) -> Date? { try await real.nextRefresh() }
    func recordTouched(_ images: [ImageID], on host: HostName, at moment: Date) async throws(Failure) {
        try write()
        try await real.recordTouched(images, on: host, at: moment)
    }
    func recordMissing(_ images: [ImageID], on host: HostName, reason: String, at now: Date) async throws(Failure) {
        try write()
        try await real.recordMissing(images, on: host, reason: reason, at: now)
    }
    func postponeRefresh(_ images: [ImageID], on host: HostName, until dueAt: Date, reason: String, at now: Date) async throws(Failure) {
        try write()
        try await real.postponeRefresh(images, on: host, until: dueAt, reason: reason, at: now)
    }
    func atRiskCount(at now: Date) async throws(Failure) -> Int { try await real.atRiskCount(at: now) }
    func keep(_ message: OddMessage) async throws(Failure) {
        try write()
        try await real.keep(message)
    }
    func oddMessages(limit: Int) async throws(Failure) -> [OddMessage] { try await real.oddMessages(limit: limit) }
}
