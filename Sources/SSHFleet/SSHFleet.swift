import CSSH2
public import Engine
public import ForecacheModel
public import Logging

/// The compute nodes, over SSH: every operation is the node program, run as one remote command.
///
/// Safe to use from any task: everything with libssh2 runs on one thread of its own, for all fleets of the process. An operation has a connection for itself;
/// it is kept for 60 s for the next operation on that host. A cancelled operation ends its remote command and throws `.cancelled`.
public final class SSHFleet: HostOperations {
    private let pool: ConnectionPool
    private let operations: NodeOperations

    public init(settings: SSHFleetSettings, limits: Limits, logger: Logger) {
        Self.giveMemoryBack()
        let credentials = Credentials(
            passphrase: settings.passphrase, agent: settings.agentSocket.map { Agent(socket: $0) }, logger: logger)
        pool = ConnectionPool(credentials: credentials, idleLimit: limits.forks * 4, logger: logger)
        operations = NodeOperations(settings: settings, limits: limits, pool: pool)
    }

    /// For the whole process: what large surveys took is given back to the system once they are gone.
    public static func giveMemoryBack() { cssh2_keep_large_blocks_apart() }

    /// Closes idle connections. Operations in flight end by themselves or by cancellation, and new ones are refused.
    public func close() async { await pool.close() }

    public func survey(_ host: Host) async throws(Failure) -> HostSurvey { try await operations.survey(host) }

    public func fetch(
        _ request: BaseFileRequest, with grant: DownloadGrant, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        try await operations.fetch(request, with: grant, on: host, progress: progress)
    }

    public func receive(
        _ request: BaseFileRequest, from source: @escaping ByteSource, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        try await operations.receive(request, from: source, on: host, progress: progress)
    }

    public func copy(_ request: BaseFileRequest, from source: Host, on host: Host, progress: @escaping Progress) async throws(Failure)
        -> Transfer
    {
        try await operations.copy(request, from: source, on: host, progress: progress)
    }

    public func publish(_ request: BaseFileRequest, on host: Host) async throws(Failure) -> Bool {
        try await operations.publish(request, on: host)
    }

    public func release(_ request: BaseFileRequest, on host: Host) async throws(Failure) {
        try await operations.release(request, on: host)
    }

    public func touch(_ names: [BaseFileName], on host: Host) async throws(Failure) -> [BaseFileName: Touch] {
        try await operations.touch(names, on: host)
    }

    public func sweep(olderThanSeconds: Int, on host: Host) async throws(Failure) -> Int64 {
        try await operations.sweep(olderThanSeconds: olderThanSeconds, on: host)
    }

    public func read(_ ranges: [Range<Int64>], of name: BaseFileName, on host: Host) async throws(Failure) -> [[UInt8]] {
        try await operations.read(ranges, of: name, on: host)
    }
}
