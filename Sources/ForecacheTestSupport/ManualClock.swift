public import Engine
public import FoundationEssentials
import Synchronization

/// A wall clock that stands still until a test moves it; sleepers wake in the order of their deadlines.
public final class ManualClock: Clock, Sendable {
    private struct State {
        var now: WallInstant
        var sleepers: [Int: (deadline: WallInstant, continuation: CheckedContinuation<Void, any Error>)] = [:]
        var lastID = 0
    }

    private let state: Mutex<State>

    public init(_ start: Date = Date(timeIntervalSince1970: 1_800_000_000)) { state = Mutex(State(now: WallInstant(start))) }

    public var now: WallInstant { state.withLock { $0.now } }
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// How many wait for time to pass; tests await this before they advance.
    public var sleeperCount: Int { state.withLock { $0.sleepers.count } }

    public func advance(by duration: Duration) {
        let due = state.withLock { state in
            state.now = state.now.advanced(by: duration)
            let due = state.sleepers.filter { $0.value.deadline <= state.now }.sorted { $0.value.deadline < $1.value.deadline }
            for (id, _) in due { state.sleepers[id] = nil }
            return due.map(\.value.continuation)
        }
        for continuation in due { continuation.resume() }
    }

    /// As an administrator or chrony does. Sleepers have measured their time before: they wake after as long as they would have.
    public func setBack(by duration: Duration) {
        state.withLock { state in
            state.now = state.now.advanced(by: .zero - duration)
            state.sleepers = state.sleepers.mapValues { ($0.deadline.advanced(by: .zero - duration), $0.continuation) }
        }
    }

    /// Moves time to the earliest deadline; false where nobody sleeps or the deadline is after `end`.
    public func advanceToNextSleeper(before end: WallInstant) -> Bool {
        let next = state.withLock { state in state.sleepers.values.min { $0.deadline < $1.deadline }.map { ($0.deadline, state.now) } }
        guard let (deadline, now) = next, deadline <= end else { return false }
        advance(by: max(.zero, now.duration(to: deadline)))
        return true
    }

    public func sleep(until deadline: WallInstant, tolerance: Duration?) async throws {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let isOver = state.withLock { state in
                    if Task.isCancelled || deadline <= state.now { return true }
                    state.sleepers[id] = (deadline, continuation)
                    return false
                }
                if isOver { continuation.resume(with: Task.isCancelled ? .failure(CancellationError()) : .success(())) }
            }
        } onCancel: {
            state.withLock { $0.sleepers.removeValue(forKey: id) }?.continuation.resume(throwing: CancellationError())
        }
    }
}
