public import Engine
public import ForecacheModel
public import FoundationEssentials
import Planning

/// A simulated fleet through days: hosts are away at given times, log-ins to those take as long as a real time-out, some hosts are slow, and Nova's janitor removes what
/// is older than its TTL at once.
public actor OutageFleet: HostOperations {
    /// A base file that went away with age.
    public struct Expiry: Hashable, Sendable {
        public var host: HostName
        public var name: BaseFileName
        public var expiredAt: Date
        /// When it was there again; nil where it is not yet.
        public var repairedAt: Date?

        public init(host: HostName, name: BaseFileName, expiredAt: Date) {
            self.host = host
            self.name = name
            self.expiredAt = expiredAt
        }
    }

    public nonisolated let nodes: SimulatedFleet
    private nonisolated let clock: ManualClock
    private nonisolated let outages: [HostName: [Range<Date>]]
    private nonisolated let slow: [SiteName: Double]
    private nonisolated let ttlSeconds: Int
    private nonisolated let timeoutSeconds: Double
    public private(set) var expiries: [Expiry] = []
    private var openExpiries: [HostName: [BaseFileName: Int]] = [:]
    /// Touch commands that were answered, by the hour since the start.
    public private(set) var visitsByHour: [Int] = []
    public private(set) var visits = 0
    public private(set) var touches = 0
    public private(set) var timeouts = 0
    private let start: Date

    /// `slow`: seconds that each command takes at a site.
    public init(
        nodes: SimulatedFleet, clock: ManualClock, outages: [HostName: [Range<Date>]], slow: [SiteName: Double] = [:], ttlSeconds: Int,
        timeoutSeconds: Double = 10
    ) {
        (self.nodes, self.clock, self.outages, self.slow) = (nodes, clock, outages, slow)
        (self.ttlSeconds, self.timeoutSeconds, start) = (ttlSeconds, timeoutSeconds, clock.now.date)
    }

    public nonisolated func isAway(_ host: HostName, at moment: Date) -> Bool { outages[host]?.contains { $0.contains(moment) } ?? false }

    /// Whether the host could be reached for so long without a break at some time of the range.
    public nonisolated func wasReachable(_ host: HostName, forSeconds seconds: Double, during range: Range<Date>) -> Bool {
        var from = range.lowerBound
        for outage in (outages[host] ?? []).sorted(by: { $0.lowerBound < $1.lowerBound }) where outage.upperBound > from {
            if min(outage.lowerBound, range.upperBound).timeIntervalSince(from) >= seconds { return true }
            from = max(from, outage.upperBound)
        }
        return range.upperBound.timeIntervalSince(from) >= seconds
    }

    /// When the host could be reached again; outages may overlap. The moment itself where it was not away.
    public nonisolated func back(_ host: HostName, after moment: Date) -> Date {
        var back = moment
        while let outage = outages[host]?.first(where: { $0.contains(back) }) { back = outage.upperBound }
        return back
    }

    private func login(_ host: Host) async throws(Failure) {
        do {
            if isAway(host.name, at: clock.now.date) {
                timeouts += 1
                try await clock.sleep(until: clock.now.advanced(by: .seconds(timeoutSeconds)), tolerance: nil)
                throw Failure(.retriable, "host \(host.name) at \(host.address) is not reachable")
            }
            if let seconds = slow[host.site] { try await clock.sleep(until: clock.now.advanced(by: .seconds(seconds)), tolerance: nil) }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.cancelled, "told to stop")
        }
        for expired in await nodes.removeExpired(from: host.name, ttlSeconds: ttlSeconds) {
            openExpiries[host.name, default: [:]][expired.name] = expiries.count
            expiries.append(Expiry(host: host.name, name: expired.name, expiredAt: expired.expiredAt))
        }
    }

    // MARK: - HostOperations

    public func survey(_ host: Host) async throws(Failure) -> HostSurvey {
        try await login(host)
        return try await nodes.survey(host)
    }

    public func fetch(
        _ request: BaseFileRequest, with grant: DownloadGrant, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        try await login(host)
        return try await nodes.fetch(request, with: grant, on: host, progress: progress)
    }

    public func receive(
        _ request: BaseFileRequest, from source: @escaping ByteSource, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        try await login(host)
        return try await nodes.receive(request, from: source, on: host, progress: progress)
    }

    public func copy(
        _ request: BaseFileRequest, from source: Host, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        try await login(host)
        return try await nodes.copy(request, from: source, on: host, progress: progress)
    }

    public func publish(_ request: BaseFileRequest, on host: Host) async throws(Failure) -> Bool {
        try await login(host)
        let wasThere = try await nodes.publish(request, on: host)
        if let index = openExpiries[host.name]?.removeValue(forKey: BaseFileName(of: request.image)) {
            expiries[index].repairedAt = clock.now.date
        }
        return wasThere
    }

    public func release(_ request: BaseFileRequest, on host: Host) async throws(Failure) {
        try await login(host)
        try await nodes.release(request, on: host)
    }

    public func touch(_ names: [BaseFileName], on host: Host) async throws(Failure) -> [BaseFileName: Touch] {
        try await login(host)
        let answers = try await nodes.touch(names, on: host)
        let hour = Int(clock.now.date.timeIntervalSince(start) / 3600)
        while visitsByHour.count <= hour { visitsByHour.append(0) }
        visitsByHour[hour] += 1
        visits += 1
        touches += names.count
        return answers
    }

    public func read(_ ranges: [Range<Int64>], of name: BaseFileName, on host: Host) async throws(Failure) -> [[UInt8]] {
        try await login(host)
        return try await nodes.read(ranges, of: name, on: host)
    }

    public func sweep(olderThanSeconds: Int, on host: Host) async throws(Failure) -> Int64 {
        try await login(host)
        return try await nodes.sweep(olderThanSeconds: olderThanSeconds, on: host)
    }
}
