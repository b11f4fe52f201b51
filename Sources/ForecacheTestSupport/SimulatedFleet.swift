public import Engine
public import ForecacheModel
import FoundationEssentials
import Planning

/// Compute nodes that exist in memory only: for faults and for time. It keeps the promises of `HostOperations` (see `HostOperationsConformance`).
public actor SimulatedFleet: HostOperations {
    /// What may go wrong on a host.
    public enum Fault: Hashable, Sendable {
        /// Log-ins fail until the fault is removed.
        case away
        /// The next transfer ends after so many bytes.
        case breaksAfter(bytes: Int64)
        /// The next transfer brings bytes that do not match the digest.
        case corrupts
        /// No room for anything.
        case full
    }

    private struct Node {
        var baseFiles: [BaseFileName: (bytes: Int64, touchedAt: Date)] = [:]
        var temporaries: [BaseFileName: (bytes: Int64, isGood: Bool, changedAt: Date)] = [:]
        var ttlSeconds: Int? = nil
        var imagesType: String? = nil
        var faults: [Fault] = []
    }

    private var nodes: [HostName: Node] = [:]
    private let clock: ManualClock
    /// Called after each operation that changed a node: crash points for tests.
    public private(set) var operations: [String] = []

    public init(clock: ManualClock) { self.clock = clock }

    // MARK: - What a test arranges and looks at

    public func inject(_ fault: Fault, on host: HostName) { nodes[host, default: Node()].faults.append(fault) }
    public func heal(_ host: HostName) { nodes[host, default: Node()].faults = [] }
    public func set(ttlSeconds: Int?, imagesType: String? = nil, on host: HostName) {
        nodes[host, default: Node()].ttlSeconds = ttlSeconds
        nodes[host, default: Node()].imagesType = imagesType
    }

    public func baseFiles(on host: HostName) -> Set<BaseFileName> { Set(nodes[host]?.baseFiles.keys.map { $0 } ?? []) }

    public func ageSeconds(of image: ImageID, on host: HostName) -> Double? {
        nodes[host]?.baseFiles[BaseFileName(of: image)].map { clock.now.date.timeIntervalSince($0.touchedAt) }
    }

    /// What Nova's janitor does: removes base files older than the TTL.
    public func runNovasJanitor(defaultTTLSeconds: Int = 86400) {
        let now = clock.now.date
        nodes = nodes.mapValues { node in
            var kept = node
            let ttl = Double(node.ttlSeconds ?? defaultTTLSeconds)
            kept.baseFiles = node.baseFiles.filter { now.timeIntervalSince($0.value.touchedAt) <= ttl }
            return kept
        }
    }

    public func remove(_ image: ImageID, from host: HostName) { nodes[host]?.baseFiles[BaseFileName(of: image)] = nil }

    // MARK: - HostOperations

    public func survey(_ host: Host) async throws(Failure) -> HostSurvey {
        let node = try reach(host)
        let now = clock.now.date
        return HostSurvey(
            host: host.name, surveyedAt: now, ttlSeconds: node.ttlSeconds, imagesType: node.imagesType, freeBytes: 1 << 40,
            totalBytes: 1 << 41,
            tools: ["curl", "sha256sum", "sha512sum", "md5sum"],
            baseFiles: node.baseFiles.map {
                BaseFile(
                    name: $0.key, bytes: $0.value.bytes, allocatedBytes: $0.value.bytes,
                    ageSeconds: now.timeIntervalSince($0.value.touchedAt))
            }, temporaryBytes: node.temporaries.values.reduce(0) { $0 + $1.bytes })
    }

    public func fetch(
        _ request: BaseFileRequest, with grant: DownloadGrant, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        try transfer(request, on: host, progress)
    }

    public func copy(
        _ request: BaseFileRequest, from source: Host, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        guard try reach(source).baseFiles[BaseFileName(of: request.image)] != nil else {
            throw Failure(.retriable, "\(source.name) has no base file of image \(request.image)")
        }
        return try transfer(request, on: host, progress)
    }

    public func publish(_ request: BaseFileRequest, on host: Host) async throws(Failure) -> Bool {
        let (node, name) = (try reach(host), BaseFileName(of: request.image))
        operations.append("publish \(host.name)")
        if node.baseFiles[name] != nil {
            nodes[host.name]?.baseFiles[name]?.touchedAt = clock.now.date
            nodes[host.name]?.temporaries[name] = nil
            return true
        }
        guard let temporary = node.temporaries[name], temporary.bytes == request.bytes else {
            throw Failure(.retriable, "host \(host.name) has not all bytes of image \(request.image)")
        }
        nodes[host.name]?.temporaries[name] = nil
        guard temporary.isGood else {
            throw Failure(
                .permanent, "bytes of image \(request.image) on host \(host.name) do not match \(request.digest.algorithm.rawValue)")
        }
        nodes[host.name]?.baseFiles[name] = (request.bytes, clock.now.date)
        return false
    }

    public func touch(_ names: [BaseFileName], on host: Host) async throws(Failure) -> [BaseFileName: Touch] {
        let node = try reach(host)
        operations.append("touch \(host.name)")
        var answers: [BaseFileName: Touch] = [:]
        for name in names {
            answers[name] = node.baseFiles[name].map { .touched(bytes: $0.bytes) } ?? .missing
            nodes[host.name]?.baseFiles[name]?.touchedAt = clock.now.date
        }
        return answers
    }

    public func sweep(olderThanSeconds: Int, on host: Host) async throws(Failure) -> Int64 {
        let stale = try reach(host).temporaries.filter { clock.now.date.timeIntervalSince($0.value.changedAt) > Double(olderThanSeconds) }
        for name in stale.keys { nodes[host.name]?.temporaries[name] = nil }
        return stale.values.reduce(0) { $0 + $1.bytes }
    }

    private func reach(_ host: Host) throws(Failure) -> Node {
        let node = nodes[host.name, default: Node()]
        nodes[host.name] = node
        if node.faults.contains(.away) { throw Failure(.retriable, "host \(host.name) at \(host.address) is not reachable") }
        return node
    }

    private func transfer(_ request: BaseFileRequest, on host: Host, _ progress: Progress) throws(Failure) -> Transfer {
        let (node, name) = (try reach(host), BaseFileName(of: request.image))
        operations.append("transfer \(host.name)")
        if node.baseFiles[name] != nil { return Transfer(bytes: 0, isExisting: true) }
        if node.faults.contains(.full) { throw Failure(.retriable, "no space on \(host.name)") }
        let before = node.temporaries[name]?.bytes ?? 0
        for (index, fault) in node.faults.enumerated() {
            switch fault {
            case .breaksAfter(let bytes):
                nodes[host.name]?.faults.remove(at: index)
                nodes[host.name]?.temporaries[name] = (min(request.bytes, before + bytes), true, clock.now.date)
                throw Failure(.retriable, "connection to \(host.name) broke")
            case .corrupts:
                nodes[host.name]?.faults.remove(at: index)
                nodes[host.name]?.temporaries[name] = (request.bytes, false, clock.now.date)
                return Transfer(bytes: request.bytes - before, resumedFrom: before)
            case .away, .full: continue
            }
        }
        nodes[host.name]?.temporaries[name] = (request.bytes, true, clock.now.date)
        progress(request.bytes)
        return Transfer(bytes: request.bytes - before, resumedFrom: before)
    }
}
