import Engine
import ForecacheModel
import FoundationEssentials
public import Logging
import Planning
import RabbitMQSource
import Rules
import SQLiteLedger
import SSHFleet
import ServiceLifecycle
import StatusServer
import UnixSignals

/// The service: composes the shells and the engine, and runs them until it is told to stop.
public struct Watch: Sendable {
    private let setup: Setup
    private let environment: [String: String]
    private let logger: Logger

    public init(setup: Setup, environment: [String: String], logger: Logger) {
        self.setup = setup
        self.environment = environment
        self.logger = logger
    }

    /// Returns after a graceful stop. Throws `.misconfigured` or `.failed` where it could not start, and what ended it otherwise.
    public func run() async throws(Refusal) {
        let (configuration, limits) = (setup.configuration, setup.configuration.limits)
        let shells = try Shells.open(setup, environment: environment, logger: logger)
        let source = try Shells.source(setup, logger: logger)
        let clock = WallClock()
        let ledger: SQLiteLedger
        do throws(Failure) {
            ledger = try SQLiteLedger(
                path: configuration.state, refresh: RefreshSchedule(atFraction: configuration.refreshFraction), limits: limits)
        } catch {
            throw .failed(error)
        }
        let policy = CurrentPolicy(setup.policy)
        let counters = EngineCounters(now: { clock.now.date })
        // Surveys, touches and sweeps take seconds: they must not stand in line behind transfers that take hours.
        let (transfers, errands) = (Forks(limits.forks), Forks(limits.forks))
        let work = Wakeup()
        let surveyor = Surveyor(
            hosts: shells.hosts, ledger: ledger, limits: limits, forks: errands, clock: clock, logger: logger, workWakeup: work)
        let executor = PlanExecutor(
            hosts: shells.hosts, catalog: shells.catalog, nova: shells.nova, forks: transfers, imagesPerSite: limits.imagesPerSite,
            clock: clock,
            logger: logger)
        let rivals = RivalBook(catalog: shells.catalog)
        let reconciler = Reconciler(
            catalog: shells.catalog, ledger: ledger, policy: policy, surveyor: surveyor, executor: executor, counters: counters,
            looks: Forks(limits.imagesAtOnce), rivals: rivals, signatures: shells.signatures, clock: clock, logger: logger)
        let loop = WorkLoop(ledger: ledger, reconciler: reconciler, limits: limits, clock: clock, logger: logger, wakeup: work)
        let resync = Resync(
            catalog: shells.catalog, ledger: ledger, policy: policy, counters: counters, intervalSeconds: configuration.resyncSeconds,
            rivals: rivals, clock: clock, logger: logger, workWakeup: work)
        let refresher = Refresher(
            hosts: shells.hosts, ledger: ledger, policy: policy, surveyor: surveyor, counters: counters, limits: limits, clock: clock,
            logger: logger, workWakeup: work)
        let intake = Intake(
            source: source, ledger: ledger, resync: resync, counters: counters, limits: limits, clock: clock, logger: logger
        ) { await loop.take($0) }
        let sweeper = Sweeper(hosts: shells.hosts, policy: policy, forks: errands, limits: limits, clock: clock, logger: logger)
        let reload = Reload(
            setup, policy: policy, catalog: shells.catalog, ledger: ledger, counters: counters, clock: clock, logger: logger
        ) { moved in
            for host in moved { await surveyor.forget(host) }
            await resync.policyChanged()
        }
        // From here on, so that a SIGHUP at the start does not end the service.
        let hangups = await UnixSignalsSequence(trapping: .sighup)
        let status = StatusServer(
            listen: (configuration.status.host, configuration.status.port),
            source: StatusSource(
                ledger: ledger, counters: { counters.snapshot },
                notReady: { counters.snapshot.isSubscribed ? [] : ["not subscribed to notifications"] }, now: { clock.now.date },
                events: { counters.events() }), limits: limits, logger: logger)
        let drain = Duration.seconds(limits.drainSeconds)
        let (ready, readiness) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        // Stopped in reverse order: systemd hears of it, then the intake stops, and the page that shows it all is last.
        try await runServices([
            StoppingService { try await status.run { _ in readiness.yield() } },
            DrainingService(drain: { await loop.drain() }, deadline: drain) { try await loop.run() },
            StoppingService { try await refresher.run() },
            StoppingService { await sweeper.run() },
            StoppingService { await resync.run() },
            StoppingService { try await reload.run() },
            StoppingService { for await _ in hangups { try await reload.look(isAsked: true) } },
            StoppingService { try await intake.run() },
            StoppingService { await ServiceNotifier(environment: environment).run(ready: ready) },
        ])
        await shells.hosts.close()
    }

    private func runServices(_ services: [any Service]) async throws(Refusal) {
        let group = ServiceGroup(
            configuration: .init(
                services: services.map {
                    .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup, failureTerminationBehavior: .cancelGroup)
                }, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        do {
            logger.notice(
                "watching",
                metadata: [
                    "sites": "\(setup.fleet.sites.count)", "hosts": "\(setup.fleet.hosts.count)", "rules": "\(setup.rules.rules.count)",
                ])
            try await group.run()
            logger.notice("stopped")
        } catch let failure as Failure where failure.kind == .cancelled {
            logger.notice("stopped")
        } catch let failure as Failure {
            throw .failed(failure)
        } catch {
            throw .failed(Failure(.fatal, "the service ended", cause: "\(error)"))
        }
    }
}

/// A loop that is cancelled on graceful shutdown: what it does can be begun again at any time.
private struct StoppingService: Service {
    let body: @Sendable () async throws -> Void

    init(_ body: @escaping @Sendable () async throws -> Void) { self.body = body }

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown(body)
        } catch let failure as Failure where failure.kind == .cancelled {
            return
        } catch is CancellationError {
            return
        }
    }
}

/// A loop that ends its work under a deadline on graceful shutdown, and is cancelled after it.
private struct DrainingService: Service {
    let drain: @Sendable () async -> Void
    let deadline: Duration
    let body: @Sendable () async throws -> Void

    init(drain: @escaping @Sendable () async -> Void, deadline: Duration, _ body: @escaping @Sendable () async throws -> Void) {
        self.drain = drain
        self.deadline = deadline
        self.body = body
    }

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask(operation: body)
            group.addTask {
                // Throws on cancellation, which is how the group ends when the body has.
                try? await gracefulShutdown()
                try Task.checkCancellation()
                await drain()
                try await Task.sleep(for: deadline)
            }
            // Whichever is first: the work has ended, or its time is over.
            _ = try await group.next()
            group.cancelAll()
        }
    }
}
