import ForecacheModel
import FoundationEssentials
import Logging
import Planning
import Synchronization

extension PlanExecutor {
    /// A site whose hosts copy from each other while they receive: a `Relay` decides, and this obeys it. Steps that move no bytes are done beside it.
    func relay(
        _ site: SitePlan, of image: ImageFacts, fleet: Fleet, _ listener: Listener
    ) async -> [Outcome] {
        var others = site
        others.steps.removeAll(where: \.movesBytes)
        let (atSite, rest) = (await forks(ofSite: site), others)
        async let beside = execute(rest, of: image, fleet: fleet, listener)
        let works = site.steps.filter(\.movesBytes).map { StepWork(image: image, site: site, step: $0, fleet: fleet) }
        let run = RelayRun(executor: self, works: works, atSite: atSite, listener: listener)
        let outcomes = await run.run(
            Relay(
                members: site.relayMembers(fleet), bytes: image.sizeBytes ?? 0, fanOut: site.deliver.fanOut ?? Relay.defaultFanOut,
                forks: site.forks))
        await release(works, after: outcomes)
        return await beside + outcomes
    }
}

/// One relay while it goes on: tasks of the hosts on one side, the machine on the other, and between them a stream of what happened.
private struct RelayRun<C: Clock>: Sendable where C.Instant == WallInstant {
    let executor: PlanExecutor<C>
    let works: [StepWork]
    let atSite: Forks
    let listener: PlanExecutor<C>.Listener

    private var clock: C { executor.clock }

    func run(_ machine: Relay) async -> [Outcome] {
        // Unbounded: each host tells of itself once a second and at its turns, and forks bound the hosts.
        let (news, feed) = AsyncStream.makeStream(of: RelayNews.self, bufferingPolicy: .unbounded)
        return await withTaskGroup(of: Void.self) { ticking in
            ticking.addTask {
                do {
                    while true {
                        try await clock.sleep(until: clock.now.advanced(by: .milliseconds(500)), tolerance: nil)
                        feed.yield(RelayNews(.tick))
                    }
                } catch {
                    // Cancelled: the relay is over.
                }
            }
            let outcomes = await follow(machine, news, feed)
            ticking.cancelAll()
            return outcomes
        }
    }

    private func follow(
        _ machine: Relay, _ news: AsyncStream<RelayNews>, _ feed: AsyncStream<RelayNews>.Continuation
    ) async -> [Outcome] {
        let started = clock.now
        var machine = machine
        var accounts = RelayAccounts(works, startedAt: started)
        await withTaskGroup(of: Void.self) { group in
            var desks: [HostName: RelayDesk] = [:]
            func obey(_ actions: [Relay.Action]) {
                for action in actions {
                    switch action {
                    case .enter(let host):
                        guard let work = accounts.work(host) else { continue }
                        let (orders, desk) = RelayDesk.make()
                        desks[host] = desk
                        group.addTask { await sit(work, orders, feed) }
                    case .transfer(let host, let source, let isGrowing):
                        executor.logger.debug("receives", metadata: metadata(host, ["source": "\(source.text)"]))
                        accounts.begins(host, from: source)
                        desks[host]?.order(.transfer(source, isGrowing: isGrowing))
                    case .abandon(let host):
                        executor.logger.debug("leaves its source", metadata: metadata(host))
                        desks[host]?.abandon()
                    case .publish(let host): desks[host]?.order(.publish)
                    case .leave(let host): desks.removeValue(forKey: host)?.close()
                    case .giveUp(let host, let failure):
                        desks.removeValue(forKey: host)?.close()
                        if let outcome = accounts.gaveUp(host, failure, at: clock.now) { group.addTask { await listener.ended(outcome) } }
                    }
                }
            }
            obey(machine.begin(at: 0))
            while !machine.isOver, let piece = await next(of: news) {
                if let outcome = accounts.take(piece, at: clock.now) { group.addTask { await listener.ended(outcome) } }
                if case .failed(let host, let failure) = piece.input {
                    executor.logger.info("transfer failed", metadata: metadata(host, ["reason": "\(failure)"]))
                }
                obey(machine.take(piece.input, at: started.duration(to: clock.now).seconds))
            }
            for desk in desks.values { desk.close() }
            for outcome in accounts.stopped(at: clock.now) { group.addTask { await listener.ended(outcome) } }
        }
        return accounts.outcomes
    }

    /// Nil once the task is cancelled.
    private func next(of news: AsyncStream<RelayNews>) async -> RelayNews? {
        for await piece in news { return piece }
        return nil
    }

    private func metadata(_ host: HostName, _ more: Logger.Metadata = [:]) -> Logger.Metadata {
        let image: Logger.Metadata = works.first.map { ["image": "\($0.image.id)", "site": "\($0.site.site)"] } ?? [:]
        return image.merging(["host": "\(host)"]) { $1 }.merging(more) { $1 }
    }

    // MARK: - One host

    /// The host's own turn, its site's forks and the forks in all, held until the relay lets go of the host.
    private func sit(_ work: StepWork, _ orders: AsyncStream<RelayDesk.Order>, _ feed: AsyncStream<RelayNews>.Continuation) async {
        let (name, priority) = (work.step.host, work.step.priority)
        do throws(Failure) {
            let host = try work.host
            try await executor.transfers.forks(of: name, count: 1).run(priority: priority) { () async throws(Failure) in
                try await atSite.run(priority: priority) { () async throws(Failure) in
                    try await executor.forks.run(priority: priority) { () async throws(Failure) in
                        listener.report(.started(image: work.image.id, host: name))
                        feed.yield(RelayNews(.entered(name)))
                        for await order in orders {
                            switch order {
                            case .publish: feed.yield(await publish(work, host))
                            case .transfer(let source, let isGrowing, let abandoned):
                                feed.yield(await transfer(work, host, source, isGrowing, until: abandoned, feed))
                            }
                        }
                    }
                }
            }
        } catch {
            feed.yield(RelayNews(.failed(name, error)))
        }
    }

    private func publish(_ work: StepWork, _ host: Host) async -> RelayNews {
        do throws(Failure) {
            return RelayNews(.published(host.name), try await executor.publish(work, try work.request(), on: host))
        } catch {
            return RelayNews(.failed(host.name, error))
        }
    }

    /// The transfer against the wish to end it: whichever comes first.
    private func transfer(
        _ work: StepWork, _ host: Host, _ source: Relay.Source, _ isGrowing: Bool, until abandoned: AsyncStream<Never>,
        _ feed: AsyncStream<RelayNews>.Continuation
    ) async -> RelayNews {
        await withTaskGroup(of: RelayNews?.self) { group in
            group.addTask { await move(work, host, source, isGrowing, feed) }
            group.addTask {
                for await _ in abandoned {}
                return nil
            }
            var (ended, wasAbandoned) = (RelayNews?.none, false)
            for await end in group {
                if let end { ended = end } else if ended == nil { wasAbandoned = !Task.isCancelled }
                group.cancelAll()
            }
            if wasAbandoned, case .failed = ended?.input { return RelayNews(.abandoned(host.name)) }
            return ended ?? RelayNews(.abandoned(host.name))
        }
    }

    private func move(
        _ work: StepWork, _ host: Host, _ source: Relay.Source, _ isGrowing: Bool, _ feed: AsyncStream<RelayNews>.Continuation
    ) async -> RelayNews {
        let hasBegun = Mutex(false)
        let tell = work.progress(from: source.text, listener.report)
        let progress: Progress = { [name = host.name] bytes in
            let isFirst = hasBegun.withLock { known in
                defer { known = true }
                return !known
            }
            feed.yield(RelayNews(isFirst ? .began(name, bytes: bytes) : .progressed(name, bytes: bytes)))
            tell(bytes)
        }
        do throws(Failure) {
            var request = try work.request()
            let transfer: Transfer?
            switch source {
            case .glance:
                transfer = try await executor.download(
                    work, request, on: host, progress: progress,
                    inLine: { [name = host.name] waits in feed.yield(RelayNews(waits ? .waits(name) : .proceeds(name))) })
            case .host(let peer):
                request.sourceIsReceiving = isGrowing
                request.sourceIsConverted = work.isConverted(on: peer)
                transfer = try await executor.hosts.copy(request, from: try work.fleet.listed(peer), on: host, progress: progress)
            }
            guard let transfer else {
                return RelayNews(.closed(host.name, Failure(.retriable, "the window of site \(work.site.site) closed")))
            }
            if transfer.isExisting { return RelayNews(.found(host.name), try await executor.touch(work, on: host)) }
            return RelayNews(.received(host.name))
        } catch {
            return RelayNews(.failed(host.name, error))
        }
    }
}

/// Where a host gets its orders from, one after the other; the one that runs can be abandoned.
private struct RelayDesk {
    enum Order: Sendable {
        case transfer(Relay.Source, isGrowing: Bool, abandoned: AsyncStream<Never>)
        case publish
    }

    /// An order as it is given: what can end it is the desk's own.
    enum Job {
        case transfer(Relay.Source, isGrowing: Bool)
        case publish
    }

    private let orders: AsyncStream<Order>.Continuation
    private var running: AsyncStream<Never>.Continuation?

    static func make() -> (AsyncStream<Order>, RelayDesk) {
        // Unbounded: there is one order at a time.
        let (stream, continuation) = AsyncStream.makeStream(of: Order.self, bufferingPolicy: .unbounded)
        return (stream, RelayDesk(orders: continuation))
    }

    private init(orders: AsyncStream<Order>.Continuation) { self.orders = orders }

    mutating func order(_ job: Job) {
        switch job {
        case .publish: orders.yield(.publish)
        case .transfer(let source, let isGrowing):
            let (abandoned, running) = AsyncStream.makeStream(of: Never.self, bufferingPolicy: .unbounded)
            self.running = running
            orders.yield(.transfer(source, isGrowing: isGrowing, abandoned: abandoned))
        }
    }

    func abandon() { running?.finish() }

    func close() {
        orders.finish()
        running?.finish()
    }
}
