import Synchronization

/// A loop sleeps here until its next deadline, or until somebody has something for it. A wake-up that comes while nobody sleeps is kept for the next sleep.
public final class Wakeup: Sendable {
    private enum State {
        case quiet
        case woken
        case sleeping(CheckedContinuation<Void, Never>)
    }

    private let state = Mutex(State.quiet)

    public init() {}

    public func wake() { release(orKeep: true) }

    /// Returns at a wake-up, at `deadline`, or soon after cancellation. One sleeper at a time.
    public func sleep<C: Clock>(until deadline: C.Instant, clock: C) async where C.Instant: Sendable {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.untilWoken() }
            // A clock's sleep throws on cancellation only, and then there is nothing left to wait for.
            group.addTask { try? await clock.sleep(until: deadline, tolerance: nil) }
            await group.next()
            group.cancelAll()
        }
    }

    private func untilWoken() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if case .woken = state {
                        state = .quiet
                        return true
                    }
                    if Task.isCancelled { return true }
                    state = .sleeping(continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            release(orKeep: false)
        }
    }

    private func release(orKeep isKept: Bool) {
        let sleeper: CheckedContinuation<Void, Never>? = state.withLock { state in
            if case .sleeping(let sleeper) = state {
                state = .quiet
                return sleeper
            }
            if isKept { state = .woken }
            return nil
        }
        sleeper?.resume()
    }
}
