public import Engine
public import ForecacheModel
public import FoundationEssentials
public import Planning
import Synchronization

/// A ledger that ends with the process: for simulations in which SQLite's transactions would be most of the time. It keeps every `LedgerRule`.
public final class MemoryLedger: Ledger {
    private let state: Mutex<MemoryLedgerState>

    public init(refresh: RefreshSchedule = RefreshSchedule()) {
        state = Mutex(MemoryLedgerState(refresh: refresh, longestBackoffSeconds: Limits().longestBackoffSeconds))
    }

    // MARK: - Work

    @discardableResult
    public func request(_ images: [ImageID], cause: WorkCause, at now: Date) async throws(Failure) -> [WorkRow] {
        guard !images.isEmpty else { return [] }
        return state.withLock { $0.request(Set(images), cause, now) }
    }

    public func bringForward(_ images: [ImageID], at now: Date) async throws(Failure) {
        state.withLock { state in
            for image in images { if let dueAt = state.work[image]?.dueAt { state.work[image]?.dueAt = min(dueAt, now) } }
        }
    }

    public func dueWork(at now: Date, excluding: [ImageID: Int64], limit: Int) async throws(Failure) -> [WorkRow] {
        state.withLock { state in
            let due = state.work.values.filter { $0.dueAt <= now && $0.generation > excluding[$0.image] ?? .min }
            return Array(
                due.sorted {
                    ($0.attempts > 0 ? 1 : 0, $0.cause == .resync ? 1 : 0, $0.queuedAt, $0.image)
                        < ($1.attempts > 0 ? 1 : 0, $1.cause == .resync ? 1 : 0, $1.queuedAt, $1.image)
                }.prefix(max(0, limit)))
        }
    }

    public func nextWorkDue() async throws(Failure) -> Date? { state.withLock { $0.work.values.map(\.dueAt).min() } }

    public func finish(_ rows: [WorkRow]) async throws(Failure) {
        state.withLock { state in
            for row in rows { if let known = state.work[row.image], known.generation <= row.generation { state.work[row.image] = nil } }
        }
    }

    public func postpone(_ row: WorkRow, until dueAt: Date, reason: String, isFailure: Bool) async throws(Failure) {
        state.withLock { $0.postpone(row, dueAt, isFailure: isFailure) }
    }

    public func workCount() async throws(Failure) -> Int { state.withLock { $0.work.count } }

    // MARK: - Placements

    public func record(_ decision: Decision, ttlSeconds: [HostName: Int], at now: Date) async throws(Failure) {
        state.withLock { $0.record(decision, ttlSeconds, now) }
    }

    public func matchesBegan(_ image: ImageID) async throws(Failure) -> [String: Date] { state.withLock { $0.matches[image] ?? [:] } }

    public func recordGone(_ image: ImageID, at now: Date) async throws(Failure) {
        state.withLock { state in
            state.matches[image] = nil
            state.change(image, now) { row in (row.isWanted, row.refreshAt) = (false, nil) }
        }
    }

    public func recordStarted(_ image: ImageID, on hosts: [HostName], at now: Date) async throws(Failure) {
        state.withLock { state in
            state.transfers[image] = nil
            for host in hosts { state.change(image, on: host, now) { row, _ in row.isInFlight = true } }
        }
    }

    public func recordProgress(_ image: ImageID, _ progress: [HostName: TransferProgress]) async throws(Failure) {
        state.withLock { $0.transfers[image, default: [:]].merge(progress) { $1 } }
    }

    public func record(_ outcomes: [Outcome], at now: Date) async throws(Failure) {
        state.withLock { state in for outcome in outcomes { state.record(outcome, now) } }
    }

    @discardableResult
    public func record(_ survey: HostSurvey, at now: Date) async throws(Failure) -> [ImageID] {
        state.withLock { state in
            state.record(survey, now)
            return state.away.remove(survey.host) == nil ? [] : state.missing(on: survey.host, now)
        }
    }

    public func recordUnreachable(_ host: HostName, reason: String, at now: Date) async throws(Failure) {
        state.withLock { _ = $0.away.insert(host) }
    }

    public func placements(of image: ImageID) async throws(Failure) -> [PlacementRecord] { state.withLock { $0.placements(of: image) } }

    public func sitesInNeed(of image: ImageID, at now: Date) async throws(Failure) -> Set<SiteName> {
        state.withLock { $0.sitesInNeed(image, now) }
    }

    public func images(after image: ImageID?, limit: Int) async throws(Failure) -> [LedgerImage] {
        state.withLock { state in
            let ids = state.images.filter { facts in image.map { $0 < facts.id } ?? true }.sorted { $0.id < $1.id }
            return ids.prefix(max(0, limit)).map { LedgerImage(id: $0.id, name: $0.name) }
        }
    }

    public func placementCounts(at now: Date) async throws(Failure) -> [PlacementState: Int] {
        state.withLock { $0.count { $0.state(at: now) } }
    }

    // MARK: - Refresh

    public func hostsDue(at now: Date, limit: Int) async throws(Failure) -> [DueHost] {
        state.withLock { state in
            let due = state.calendar.due(at: now).compactMap { state.due($0, now) }
            return Array(due.sorted { ($0.expiresAt, $0.host) < ($1.expiresAt, $1.host) }.prefix(max(0, limit)))
        }
    }

    public func dueRefreshes(on host: HostName, at now: Date, limit: Int) async throws(Failure) -> [DueRefresh] {
        state.withLock { $0.dueRefreshes(host, now, limit) }
    }

    public func nextRefresh() async throws(Failure) -> Date? { state.withLock { $0.calendar.next } }

    public func recordTouched(_ images: [ImageID], on host: HostName, at moment: Date) async throws(Failure) {
        state.withLock { state in
            state.changeAll(images, on: host, moment) { row, schedule in
                row.touchedAt = moment
                (row.failures, row.lastError, row.lastOutcome) = (0, nil, .existing)
                row.refreshAt = row.nextRefresh(schedule)
            }
        }
    }

    public func recordMissing(_ images: [ImageID], on host: HostName, reason: String, at now: Date) async throws(Failure) {
        state.withLock { state in
            state.changeAll(images, on: host, now) { row, _ in
                (row.touchedAt, row.refreshAt, row.bytes) = (nil, nil, 0)
                row.failures += 1
                (row.lastOutcome, row.lastError) = (.failed, reason)
            }
        }
    }

    public func postponeRefresh(
        _ images: [ImageID], on host: HostName, until dueAt: Date, reason: String, at now: Date
    ) async throws(Failure) {
        state.withLock { state in
            state.changeAll(images, on: host, now) { row, _ in
                row.refreshAt = row.isWanted && row.touchedAt != nil ? dueAt : nil
                row.isInFlight = false
                row.failures += 1
                (row.lastOutcome, row.lastError) = (.failed, reason)
            }
        }
    }

    public func atRiskCount(at now: Date) async throws(Failure) -> Int {
        state.withLock { $0.count { $0.isAtRisk(at: now) }[true] ?? 0 }
    }

    // MARK: - Messages

    public func keep(_ message: OddMessage) async throws(Failure) { state.withLock { $0.messages.insert(message, at: 0) } }
    public func oddMessages(limit: Int) async throws(Failure) -> [OddMessage] { state.withLock { Array($0.messages.prefix(limit)) } }
}
