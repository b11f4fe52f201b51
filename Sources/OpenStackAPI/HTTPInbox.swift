import CCurl
import ForecacheModel
import Synchronization

/// One request on its way to the loop, with the place for its answer.
struct HTTPOrder: Sendable {
    var id: UInt64
    var request: HTTPRequest
    var answer: CheckedContinuation<Result<HTTPResponse, Failure>, Never>
}

/// The one way to the loop's thread. Whoever posts also wakes the loop.
final class HTTPInbox: Sendable {
    struct Letters {
        var orders: [HTTPOrder] = []
        var cancelled: [UInt64] = []
        var isStopping = false
    }

    private struct State {
        var letters = Letters()
        /// Announced and not cancelled: closes the gap in which a cancellation could overtake its own order.
        var announced: Set<UInt64> = []
        /// The loop's; borrowed here for `curl_multi_wakeup` only, which libcurl allows from any thread. Taken back, under the lock, before it is freed.
        var multi: UnsafeMutableRawPointer?

        func wake() { if let multi { curl_multi_wakeup(multi) } }
    }

    private let state = Mutex(State())

    func announce(_ id: UInt64) { state.withLock { _ = $0.announced.insert(id) } }

    func post(_ order: HTTPOrder) {
        let isWanted = state.withLock { state in
            guard state.announced.remove(order.id) != nil else { return false }
            state.letters.orders.append(order)
            state.wake()
            return true
        }
        if !isWanted { order.answer.resume(returning: .failure(HTTPTransfer.cancelled(order.request))) }
    }

    func cancel(_ id: UInt64) {
        state.withLock { state in
            if state.announced.remove(id) != nil { return }
            state.letters.cancelled.append(id)
            state.wake()
        }
    }

    func stop() {
        state.withLock { state in
            state.letters.isStopping = true
            state.wake()
        }
    }

    /// Everything that came since the last time. For the loop.
    func take() -> Letters {
        state.withLock { state in
            let letters = state.letters
            state.letters.orders = []
            state.letters.cancelled = []
            return letters
        }
    }

    /// The loop lends its handle for wake-ups, and takes it back with nil. The address travels as a number, for pointers may not cross into the lock.
    func lend(_ address: UInt) { state.withLock { $0.multi = UnsafeMutableRawPointer(bitPattern: address) } }
}
