public import Engine
public import ForecacheModel
public import Foundation
import Hummingbird
import HummingbirdCore
public import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Where the server's answers come from; nothing in it can change anything.
public struct StatusSource: Sendable {
    public var ledger: any Ledger
    public var counters: @Sendable () -> StatusCounters
    /// Why the service is not ready; empty when it is.
    public var notReady: @Sendable () -> [String]
    public var now: @Sendable () -> Date
    /// The live feed from now on, with a bounded buffer; it ends when its consumer goes away.
    public var events: @Sendable () -> AsyncStream<StatusEvent>

    public init(
        ledger: any Ledger, counters: @escaping @Sendable () -> StatusCounters,
        notReady: @escaping @Sendable () -> [String],
        now: @escaping @Sendable () -> Date, events: @escaping @Sendable () -> AsyncStream<StatusEvent>
    ) {
        self.ledger = ledger
        self.counters = counters
        self.notReady = notReady
        self.now = now
        self.events = events
    }
}

/// The read-only HTTP server of `status.listen`: page, status, live feed, metrics and health. It has the shape of a service: `run` ends with graceful
/// shutdown or cancellation of its task.
public struct StatusServer: Sendable {
    private let host: String
    private let port: Int
    private let responder: StatusResponder
    private let logger: Logger

    /// One thread serves an operator's browser and a scraper; the library's own choice is one a CPU. It ends with the process: the library still speaks to it
    /// after a server was stopped.
    private static let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// `host` without brackets where it is an IPv6 address; port 0 takes any free one.
    public init(
        listen: (host: String, port: Int), source: StatusSource, limits: Limits, logger: Logger
    ) {
        self.host = listen.host
        self.port = listen.port
        self.logger = logger
        self.responder = StatusResponder(
            source: source, hosts: HostCheck(listen: listen.host),
            clients: ClientCount(limit: limits.statusClients), logger: logger)
    }

    public func run() async throws { try await run { _ in } }

    /// `onListening` gets the port that was bound.
    public func run(onListening: @escaping @Sendable (_ port: Int) async -> Void) async throws {
        let isListening = Mutex(false)
        // Hummingbird tells of its own start and stop; this server does that in the service's own words.
        var quiet = Logger(label: logger.label) { _ in QuietStop(logger) }
        quiet.logLevel = max(.warning, logger.logLevel)
        let application = Application(
            responder: responder,
            server: .http1(
                configuration: HTTP1Channel.Configuration(
                    // A connection that asks for nothing, or sends its request byte by byte, is closed. An answer may take as long as it takes.
                    idleTimeout: .seconds(60),
                    httpDecoderConfiguration: .init(
                        maxHeaderFieldSize: 8192, maxHeaderListSize: 16384, maxHeaderFieldCount: 64))),
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: port),
                availableConnectionsDelegate: MaximumAvailableConnections(
                    responder.connections, logger: quiet)),
            onServerRunning: { channel in
                isListening.withLock { $0 = true }
                let bound = channel.localAddress?.port ?? port
                logger.notice(
                    "status server listens", metadata: ["address": "\(host)", "port": "\(bound)"])
                await onListening(bound)
            },
            eventLoopGroupProvider: .shared(Self.loops),
            logger: quiet)
        do {
            try await application.run()
        } catch {
            if Task.isCancelled { return }
            // The system's own words, without the name of the call inside a library.
            let cause = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
            guard isListening.withLock({ $0 }) else {
                throw Failure(
                    .fatal,
                    "cannot listen on \(host):\(port): end what uses that address, or set `status: { listen: ADDRESS:PORT }` to a free address of this machine",
                    cause: cause)
            }
            throw Failure(.fatal, "status server on \(host):\(port) ended", cause: cause)
        }
    }
}
