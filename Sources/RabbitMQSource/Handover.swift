import CRabbitMQ
import Engine
import ForecacheModel
import Foundation
import Synchronization

/// What the thread of the connection and the task that runs the source tell each other.
///
/// One event at a time goes up through `events`; `markHandled` comes back for it before the next one is posted. So the buffer never holds more than one, and
/// nothing is acknowledged early.
final class Handover: Sendable {
    private struct State {
        var isHandled = false
        var isStopped = false
        /// The thread is in a call that may block for longer than a cancelled task may wait.
        var isInCall = false
        var isEnded = false
        /// Waits for the thread's end.
        var waiter: CheckedContinuation<Void, Never>?
    }

    let events: AsyncStream<NotificationSourceEvent>
    private let continuation: AsyncStream<NotificationSourceEvent>.Continuation
    private let state = Mutex(State())
    /// An eventfd that wakes the thread out of `poll`. Closed in `deinit`: both sides hold the handover for as long as they use it.
    let wakeup: Int32

    init() throws(Failure) {
        wakeup = crabbitmq_eventfd()
        (events, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1))
        guard wakeup >= 0 else { throw Failure(.fatal, "no file descriptor left to consume notifications with: raise LimitNOFILE") }
    }

    deinit {
        if wakeup >= 0 { close(wakeup) }
    }

    // MARK: - The task's side

    /// The event that came last has been dealt with.
    func markHandled() {
        state.withLock { $0.isHandled = true }
        wake()
    }

    /// Tells the thread to end and waits for it, unless it is in a call: then it ends by itself at the call's deadline and touches nothing more of ours.
    func stop() async {
        await withCheckedContinuation { (waiter: CheckedContinuation<Void, Never>) in
            let isFree = state.withLock { state in
                state.isStopped = true
                if state.isEnded || state.isInCall { return true }
                state.waiter = waiter
                return false
            }
            if isFree { waiter.resume() }
            wake()
        }
    }

    private func wake() {
        var one: UInt64 = 1
        // It can only fail when the counter is full, and then the thread is awake.
        _ = write(wakeup, &one, 8)
    }

    // MARK: - The thread's side

    var isStopped: Bool { state.withLock { $0.isStopped } }

    /// True once for every `markHandled`.
    func takeHandled() -> Bool {
        var count: UInt64 = 0
        // Empties the eventfd before the flag is read, so that a later mark wakes the thread again.
        _ = read(wakeup, &count, 8)
        return state.withLock { state in
            defer { state.isHandled = false }
            return state.isHandled
        }
    }

    func post(_ event: NotificationSourceEvent) { continuation.yield(event) }

    /// Sleeps until the task said something or the time is over; negative: for ever.
    func wait(milliseconds: Int32) {
        crabbitmq_wait(-1, wakeup, milliseconds)
    }

    /// Announces a call that may block; false where the thread has been told to end.
    func beginCall() -> Bool {
        state.withLock { state in
            state.isInCall = !state.isStopped
            return state.isInCall
        }
    }

    func endCall() { state.withLock { $0.isInCall = false } }

    /// The thread's last word.
    func end() {
        let waiter = state.withLock { state in
            state.isEnded = true
            defer { state.waiter = nil }
            return state.waiter
        }
        continuation.finish()
        waiter?.resume()
    }
}
