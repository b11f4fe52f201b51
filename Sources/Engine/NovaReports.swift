public import ForecacheModel
public import Logging
import Notifications
import Synchronization

/// What Nova tells in its notifications while it caches, for whoever waits for it. It listens only while somebody waits: on a large cloud this topic carries the
/// life of every instance.
public actor NovaReports {
    private let source: any NotificationSource
    private let limits: Limits
    private let logger: Logger
    private var inboxes: [Int: NovaInbox] = [:]
    private var lastID = 0
    private var isSubscribed = false
    /// Owned by this actor: begins with the first inbox and is cancelled with the last.
    private var subscription: Task<Void, Never>?

    /// `source`: a temporary queue bound to Nova's topic of versioned notifications.
    public init(source: any NotificationSource, limits: Limits, logger: Logger) {
        self.source = source
        self.limits = limits
        self.logger = logger
    }

    /// Runs `body` with an inbox that gets `.listening`, and from then on all that Nova tells about the aggregate.
    func listening(to aggregate: String, _ body: @Sendable (NovaInbox) async throws(Failure) -> Void) async throws(Failure) {
        let inbox = NovaInbox(aggregate: aggregate)
        lastID += 1
        let id = lastID
        inboxes[id] = inbox
        defer { leave(id) }
        if isSubscribed { inbox.put(.listening) }
        // Owned by this actor, and cancelled as the last listener leaves.
        if subscription == nil { subscription = Task { await self.listen() } }
        try await body(inbox)
    }

    private func leave(_ id: Int) {
        inboxes[id] = nil
        guard inboxes.isEmpty else { return }
        subscription?.cancel()
        subscription = nil
        isSubscribed = false
    }

    private func listen() async {
        do throws(Failure) {
            try await source.run { event throws(Failure) in await self.handle(event) }
        } catch {
            // Cancelled: nobody waits any more, or somebody who came since listens anew.
            if error.kind != .cancelled { lost(error) }
        }
        if !Task.isCancelled { subscription = nil }
    }

    private func handle(_ event: NotificationSourceEvent) {
        // The last that a cancelled subscription has to say must not be taken for the next one's.
        guard !Task.isCancelled else { return }
        switch event {
        case .subscribed:
            isSubscribed = true
            tell(.listening)
        case .lost(let failure): lost(failure)
        case .deliveries(let deliveries):
            for delivery in deliveries {
                guard let report = CachingReport.decode(delivery.body, limits: limits) else { continue }
                for inbox in inboxes.values where inbox.aggregate == report.aggregate { inbox.put(.report(report)) }
            }
        }
    }

    private func lost(_ failure: Failure) {
        isSubscribed = false
        logger.warning("Nova's notifications are not heard", metadata: ["reason": "\(failure)"])
        tell(.deaf(failure))
    }

    private func tell(_ news: NovaInbox.News) {
        for inbox in inboxes.values { inbox.put(news) }
    }
}

/// What came in about one aggregate and was not read yet.
final class NovaInbox: Sendable {
    enum News: Sendable {
        /// From now on nothing is missed.
        case listening
        case report(CachingReport)
        /// What Nova says from now on is not heard.
        case deaf(Failure)
    }

    /// More hosts than an aggregate has; a publisher gone wild must not fill our memory.
    private static let most = 100_000

    let aggregate: String
    let wakeup = Wakeup()
    private let news = Mutex<[News]>([])

    init(aggregate: String) { self.aggregate = aggregate }

    func put(_ item: News) {
        news.withLock { if $0.count < Self.most { $0.append(item) } }
        wakeup.wake()
    }

    func take() -> [News] {
        news.withLock { news in
            defer { news = [] }
            return news
        }
    }
}
