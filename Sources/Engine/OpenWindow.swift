import ForecacheModel
import FoundationEssentials

extension Window? {
    /// Runs `body` for as long as the window is open; without a window, to its end. Nil where the window was closed or closed meanwhile: `body` has been cancelled
    /// and has ended by then, so nothing of it crosses the WAN any longer.
    func whileOpen<Result: Sendable, C: Clock>(
        _ clock: C, _ body: @escaping @Sendable () async throws(Failure) -> Result
    ) async throws(Failure) -> Result? where C.Instant == WallInstant {
        let now = clock.now.date
        let closing = self?.closing(after: now) ?? .distantFuture
        if closing == now { return nil }
        if closing == .distantFuture { return try await body() }
        let (ending, isClosed) = await withTaskGroup(of: Ending<Result>.self) { group in
            group.addTask {
                do throws(Failure) { return .ended(try await body()) } catch { return .failed(error) }
            }
            group.addTask {
                // Throws on cancellation only: the body has ended, or everything is told to stop.
                try? await clock.sleep(until: WallInstant(closing), tolerance: nil)
                return .closed
            }
            var ending = await group.next() ?? .closed
            group.cancelAll()
            var isClosed = false
            if case .closed = ending {
                isClosed = true
                // What ended in the same moment counts as it ended.
                ending = await group.next() ?? .closed
            }
            return (ending, isClosed && !Task.isCancelled)
        }
        switch ending {
        case .ended(let result): return result
        case .failed(let failure) where isClosed && failure.kind == .cancelled: return nil
        case .failed(let failure): throw failure
        case .closed: return nil
        }
    }
}

private enum Ending<Result: Sendable>: Sendable {
    case ended(Result)
    case failed(Failure)
    case closed
}
