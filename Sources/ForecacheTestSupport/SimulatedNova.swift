public import Engine
public import ForecacheModel
import Synchronization

/// Nova's pre-caching and its notifications, as a test writes them: aggregates with hosts that report, fail, or say nothing.
public actor SimulatedNova: ImagePreCaching {
    public enum Behaviour: Sendable {
        case caches
        /// Down, or with an error: `images_failed`.
        case refuses
        /// Its nova-compute does not answer Nova; `end` comes all the same.
        case silent
    }

    public nonisolated let broker = SimulatedBroker()
    private var aggregates: [HostAggregate] = []
    private var behaviours: [String: Behaviour] = [:]
    private var failure: Failure?
    private var endsRequests = true
    private var isLostAfterRequests = false
    /// Image and aggregate of each request.
    public private(set) var requests: [String] = []
    /// Images on each host, by Nova's names.
    public private(set) var cached: [String: Set<ImageID>] = [:]

    public init() {}

    public func put(_ name: String, hosts: [String]) {
        aggregates.append(
            HostAggregate(id: Int64(aggregates.count + 1), uuid: "uuid-of-\(name)", name: name, hosts: hosts))
    }
    public func set(_ behaviour: Behaviour, on host: String) { behaviours[host] = behaviour }
    /// Every request fails so, until it is set to nil.
    public func fail(with failure: Failure?) { self.failure = failure }
    /// Whoever listens loses the broker with the last report of a request.
    public func loseBrokerAfterRequests() { isLostAfterRequests = true }
    /// Without it a request with a silent host has no end.
    public func set(endsRequests isTold: Bool) { endsRequests = isTold }

    public func aggregate(named name: String) async throws(Failure) -> HostAggregate {
        guard let found = aggregates.first(where: { $0.name == name }) else { throw Failure(.permanent, "no aggregate '\(name)'") }
        return found
    }

    public func cache(_ image: ImageID, in aggregate: HostAggregate) async throws(Failure) -> String? {
        if let failure { throw failure }
        requests.append("\(image) \(aggregate.name)")
        let request = "req-\(requests.count)"
        // What others ask of the same aggregate is heard as well.
        broker.publish(Self.report("end", aggregate, "req-of-somebody-else", ""))
        for host in aggregate.hosts {
            switch behaviours[host] ?? .caches {
            case .caches:
                cached[host, default: []].insert(image)
                broker.publish(Self.report("progress", aggregate, request, Self.progress(host, cached: [image], failed: [])))
            case .refuses: broker.publish(Self.report("progress", aggregate, request, Self.progress(host, cached: [], failed: [image])))
            case .silent: continue
            }
        }
        if endsRequests { broker.publish(Self.report("end", aggregate, request, "")) }
        if isLostAfterRequests { broker.lose(Failure(.retriable, "connection reset")) }
        return request
    }

    private static func progress(_ host: String, cached: [ImageID], failed: [ImageID]) -> String {
        let list = { (images: [ImageID]) in images.map { "\"\($0)\"" }.joined(separator: ",") }
        return #", "host": "\#(host)", "images_cached": [\#(list(cached))], "images_failed": [\#(list(failed))]"#
    }

    private static func report(_ phase: String, _ aggregate: HostAggregate, _ request: String, _ more: String) -> [UInt8] {
        let data = #"{"uuid": "\#(aggregate.uuid)", "name": "\#(aggregate.name)"\#(more)}"#
        let text =
            #"{"event_type": "aggregate.cache_images.\#(phase)", "_context_request_id": "\#(request)", "payload": {"nova_object.data": \#(data)}}"#
        return Array(text.utf8)
    }
}

/// A topic without a broker: what is published while a source runs is delivered to it, and lost otherwise.
public final class SimulatedBroker: NotificationSource {
    private struct State {
        var listeners: [Int: AsyncStream<NotificationSourceEvent>.Continuation] = [:]
        var lastID = 0
        var refusal: Failure?
        var subscriptions = 0
    }

    private let state = Mutex(State())

    public init() {}

    /// Subscriptions so far.
    public var subscriptions: Int { state.withLock { $0.subscriptions } }
    public var listenerCount: Int { state.withLock { $0.listeners.count } }

    /// Subscribing fails so, until it is set to nil.
    public func refuse(with failure: Failure?) { state.withLock { $0.refusal = failure } }

    public func publish(_ body: [UInt8]) {
        tell(.deliveries([Delivery(body: body, exchange: "nova", routingKey: "versioned_notifications.info")]))
    }

    public func lose(_ failure: Failure) { tell(.lost(failure)) }

    public func run(handle: @escaping @Sendable (NotificationSourceEvent) async throws(Failure) -> Void) async throws(Failure) {
        let (events, continuation) = AsyncStream.makeStream(of: NotificationSourceEvent.self, bufferingPolicy: .unbounded)
        let (id, refusal) = state.withLock { state in
            state.lastID += 1
            state.subscriptions += 1
            if state.refusal == nil { state.listeners[state.lastID] = continuation }
            return (state.lastID, state.refusal)
        }
        if let refusal { throw refusal }
        defer { state.withLock { $0.listeners[id] = nil } }
        try await handle(.subscribed)
        for await event in events { try await handle(event) }
    }

    private func tell(_ event: NotificationSourceEvent) {
        for listener in state.withLock({ Array($0.listeners.values) }) { listener.yield(event) }
    }
}
