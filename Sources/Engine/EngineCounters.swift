public import ForecacheModel
public import FoundationEssentials
import Synchronization

/// Counts what happens and tells those who listen. Listeners that are slow miss events; nobody waits for them.
public final class EngineCounters: Sendable {
    private struct State {
        var counters = StatusCounters()
        var listeners: [Int: AsyncStream<StatusEvent>.Continuation] = [:]
        var lastListener = 0
    }

    private let state = Mutex(State())
    private let now: @Sendable () -> Date

    public init(now: @escaping @Sendable () -> Date) {
        self.now = now
        resynced()
    }

    public var snapshot: StatusCounters { state.withLock { $0.counters } }

    /// The live feed from now on; ends when the consumer goes away.
    public func events() -> AsyncStream<StatusEvent> {
        let (stream, continuation) = AsyncStream.makeStream(of: StatusEvent.self, bufferingPolicy: .bufferingNewest(256))
        let id = state.withLock { state in
            state.lastListener += 1
            state.listeners[state.lastListener] = continuation
            return state.lastListener
        }
        continuation.onTermination = { [weak self] _ in self?.state.withLock { $0.listeners[id] = nil } }
        return stream
    }

    func subscribed(_ isSubscribed: Bool) { state.withLock { $0.counters.isSubscribed = isSubscribed } }

    func resynced() { state.withLock { $0.counters.resyncedAt = now() } }
    func resyncs(every seconds: Int) { state.withLock { $0.counters.resyncSeconds = seconds } }

    func received(_ what: StatusCounters.Received, at moment: Date) {
        state.withLock {
            $0.counters.received[what, default: 0] += 1
            $0.counters.lastEventAt = moment
        }
    }

    func count(_ outcome: Outcome) {
        state.withLock {
            $0.counters.outcomes[outcome.kind, default: 0] += 1
            $0.counters.bytesMoved = $0.counters.bytesMoved.saturating(plus: outcome.bytes)
        }
    }

    func count(refreshed images: [ImageID], on host: HostName) {
        tellRefreshed(images, on: host, .existing, reason: nil) { $0.refreshed += images.count }
    }

    func count(refreshFailures images: [ImageID], on host: HostName, reason: String) {
        tellRefreshed(images, on: host, .failed, reason: reason) { $0.refreshFailures += images.count }
    }

    /// Touches come by the hundred and mostly nobody listens.
    private func tellRefreshed(
        _ images: [ImageID], on host: HostName, _ outcome: OutcomeKind, reason: String?, _ count: (inout StatusCounters) -> Void
    ) {
        let isHeard = state.withLock { state in
            count(&state.counters)
            return !state.listeners.isEmpty
        }
        guard isHeard else { return }
        for image in images { tell(StatusEvent(at: now(), kind: .refreshed, image: image, host: host, outcome: outcome, reason: reason)) }
    }

    /// `isChange`: counted; else it is only what is shown from now on.
    public func record(_ reload: ReloadReport, isChange: Bool) {
        state.withLock { state in
            state.counters.reload = reload
            guard isChange else { return }
            switch reload.state {
            case .applied: state.counters.reloads += 1
            case .refused: state.counters.reloadFailures += 1
            case .held: state.counters.reloadsHeld += 1
            case .waiting: break
            }
        }
    }

    func report(_ report: ExecutionReport) {
        switch report {
        case .started(let image, let host): tell(StatusEvent(at: now(), kind: .started, image: image, host: host))
        case .progress(let image, let host, let source, let bytes, let total):
            tell(StatusEvent(at: now(), kind: .progress, image: image, host: host, source: source, bytes: bytes, totalBytes: total))
        case .ended(let outcome):
            tell(
                StatusEvent(
                    at: now(), kind: .ended, image: outcome.image, host: outcome.host, outcome: outcome.kind, source: outcome.source,
                    bytes: outcome.bytes, reason: outcome.reason))
        }
    }

    private func tell(_ event: StatusEvent) {
        for listener in state.withLock({ Array($0.listeners.values) }) { listener.yield(event) }
    }
}
