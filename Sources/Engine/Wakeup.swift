/// A loop sleeps here until its next deadline, or until somebody has something for it. A wake-up that comes while nobody sleeps is kept for the next sleep.
public actor Wakeup {
    private var isPending = false
    private var sleeper: CheckedContinuation<Void, Never>?

    public init() {}

    public func wake() {
        if let sleeper {
            self.sleeper = nil
            sleeper.resume()
        } else {
            isPending = true
        }
    }

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
        if isPending {
            isPending = false
            return
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { continuation.resume() } else { sleeper = continuation }
            }
        } onCancel: {
            // Lives until the sleeper is released: a few microseconds.
            Task { await self.release() }
        }
    }

    private func release() {
        sleeper?.resume()
        sleeper = nil
    }
}
