import Daemon
import Glibc
import UnixSignals

/// Runs `body` until it ends by itself or is cancelled by SIGTERM or SIGINT: transfers then end cleanly, and what is done is told. A second signal ends the
/// process at once.
func stoppable(_ body: @escaping @Sendable () async throws(Refusal) -> Void) async throws(Refusal) {
    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
    let refusal = await withTaskGroup(of: Ending.self) { group in
        group.addTask {
            do throws(Refusal) {
                try await body()
                return .ended(nil)
            } catch {
                return .ended(error)
            }
        }
        group.addTask {
            // The sequence ends when the group is cancelled.
            for await _ in signals { return .signalled }
            return .ended(nil)
        }
        while let ending = await group.next() {
            group.cancelAll()
            switch ending {
            case .ended(let refusal): return refusal
            case .signalled:
                say("stopping; once more to stop at once")
                for number in [SIGTERM, SIGINT] { signal(number, SIG_DFL) }
            }
        }
        return nil
    }
    if let refusal { throw refusal }
}

private enum Ending: Sendable {
    case ended(Refusal?)
    case signalled
}
