import Daemon
import Glibc
import UnixSignals

/// From the first line of the program until its service listens itself: a stop has nothing to end then but what the kernel and SQLite put right when a process
/// goes, so the answer is that of a service that was told to stop. Earlier than this, in the dynamic loader, SIGTERM ends any program as it always does, and
/// systemd counts that as a clean end, too.
func endAtOnceWhenToldToStop() {
    for number in [SIGTERM, SIGINT] { signal(number) { @Sendable _ in _exit(0) } }
}

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
