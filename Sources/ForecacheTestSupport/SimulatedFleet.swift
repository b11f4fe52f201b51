public import Engine
public import ForecacheModel
public import FoundationEssentials
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
        /// qemu-img fails on every image.
        case cannotConvert
        /// What others copy from it while copies take time is not what lies there.
        case servesWrongBytes
        /// Of a copy that takes time it tells lengths that cannot be.
        case liesAboutLengths
    }

    private struct Node {
        var isContainerSilent = false
        var baseFiles = NodeFiles()
        var temporaries: [BaseFileName: (bytes: Int64, isGood: Bool, changedAt: Date)] = [:]
        var ttlSeconds: Int? = nil
        var imagesType: String? = nil
        var forcesRawImages: Bool? = nil
        var faults: [Fault] = []
    }

    private var nodes: [HostName: Node] = [:]
    private let clock: ManualClock
    private var digests: [ImageID: Digest] = [:]
    private var heldBytes: [ImageID: Int64] = [:]
    private var novaFirst: [HostName: [BaseFileName: Int64]] = [:]
    private var wanBytesPerSecond: Int64?
    private var lanBytesPerSecond: Int64?
    /// Who copied from whom, one entry a copy.
    public private(set) var copies: [(host: HostName, from: HostName)] = []
    /// What crossed the WAN, second by second; empty while the WAN takes no time.
    public private(set) var wanTraffic: [(at: Date, host: HostName, bytes: Int64)] = []
    /// Hosts that got bytes through the controller.
    public private(set) var received: [HostName] = []
    /// Called after each operation that changed a node: crash points for tests.
    public private(set) var operations: [String] = []

    private static let freeBytes: Int64 = 1 << 40

    public init(clock: ManualClock) { self.clock = clock }

    // MARK: - What a test arranges and looks at

    public func inject(_ fault: Fault, on host: HostName) { nodes[host, default: Node()].faults.append(fault) }
    /// What Glance's bytes of an image really are; without it they are what a request says.
    public func serve(_ digest: Digest, of image: ImageID) { digests[image] = digest }
    /// What the disk in an image holds, and so its raw file takes; without it that is the disk's whole size.
    public func hold(_ bytes: Int64, of image: ImageID) { heldBytes[image] = bytes }
    /// Fetches take time from now on, each at this rate or at its own limit where that is lower; nil: none.
    public func setWAN(bytesPerSecond: Int64?) { wanBytesPerSecond = bytesPerSecond }
    /// Copies take time from now on, and follow a source that is still receiving; nil: they do not.
    public func setLAN(bytesPerSecond: Int64?) { lanBytesPerSecond = bytesPerSecond }
    public func heal(_ host: HostName) { nodes[host, default: Node()].faults = [] }
    public func set(ttlSeconds: Int?, imagesType: String? = nil, on host: HostName) {
        nodes[host, default: Node()].ttlSeconds = ttlSeconds
        nodes[host, default: Node()].imagesType = imagesType
    }

    /// Nil, as it is from the start: nova.conf does not say, so Nova's default counts.
    public func set(forcesRawImages: Bool?, on host: HostName) { nodes[host, default: Node()].forcesRawImages = forcesRawImages }

    public func bytes(of image: ImageID, on host: HostName) -> Int64? { nodes[host]?.baseFiles[BaseFileName(of: image)]?.bytes }
    public func isReceiving(_ image: ImageID, on host: HostName) -> Bool { nodes[host]?.temporaries[BaseFileName(of: image)] != nil }
    /// What lies in temporaries of the host.
    public func temporaryBytes(on host: HostName) -> Int64 { nodes[host]?.temporaries.values.reduce(0) { $0 + $1.bytes } ?? 0 }

    public func baseFiles(on host: HostName) -> Set<BaseFileName> { Set(nodes[host]?.baseFiles.files.map(\.name) ?? []) }

    public func ageSeconds(of image: ImageID, on host: HostName) -> Double? {
        nodes[host]?.baseFiles[BaseFileName(of: image)].map { clock.now.date.timeIntervalSince($0.touchedAt) }
    }

    /// What Nova's janitor does: removes base files older than the TTL.
    public func runNovasJanitor(defaultTTLSeconds: Int = 86400) {
        let now = clock.now.date
        nodes = nodes.mapValues { node in
            var kept = node
            let ttl = Double(node.ttlSeconds ?? defaultTTLSeconds)
            _ = kept.baseFiles.remove { now.timeIntervalSince($0.touchedAt) > ttl }
            return kept
        }
    }

    /// The same on one host; what was removed, and when it expired.
    public func removeExpired(from host: HostName, ttlSeconds: Int) -> [(name: BaseFileName, expiredAt: Date)] {
        let oldest = clock.now.date.addingTimeInterval(-Double(ttlSeconds))
        let expired = nodes[host]?.baseFiles.remove { $0.touchedAt < oldest } ?? []
        return expired.map { ($0.name, $0.touchedAt.addingTimeInterval(Double(ttlSeconds))) }
    }

    /// Base files that lie on a host, with age 0 now.
    public func place(_ names: [BaseFileName], bytes: Int64, on host: HostName) {
        let now = clock.now.date
        for name in names { nodes[host, default: Node()].baseFiles.put(name, bytes: bytes, at: now) }
    }

    /// Nova makes the base file while we publish ours.
    public func makeNovaFirst(_ image: ImageID, bytes: Int64, on host: HostName) {
        novaFirst[host, default: [:]][BaseFileName(of: image)] = bytes
    }

    /// Nova's container restarts, or is back.
    public func silenceContainer(_ isSilent: Bool, on host: HostName) { nodes[host, default: Node()].isContainerSilent = isSilent }

    public func remove(_ image: ImageID, from host: HostName) {
        let name = BaseFileName(of: image)
        _ = nodes[host]?.baseFiles.remove { $0.name == name }
    }

    // MARK: - HostOperations

    public func survey(_ host: Host) async throws(Failure) -> HostSurvey {
        let node = try reach(host)
        let now = clock.now.date
        return HostSurvey(
            host: host.name, surveyedAt: now, ttlSeconds: node.ttlSeconds, forcesRawImages: node.forcesRawImages,
            imagesType: node.imagesType, freeBytes: Self.freeBytes, totalBytes: 2 * Self.freeBytes,
            tools: Set(["curl", "sha256sum", "sha512sum", "md5sum"] + (node.isContainerSilent ? [] : ["qemu-img", "sftp"])),
            isContainerSilent: node.isContainerSilent,
            baseFiles: node.baseFiles.files.map {
                BaseFile(name: $0.name, bytes: $0.bytes, allocatedBytes: $0.bytes, ageSeconds: now.timeIntervalSince($0.touchedAt))
            }, temporaryBytes: node.temporaries.values.reduce(0) { $0 + $1.bytes })
    }

    public func fetch(
        _ request: BaseFileRequest, with grant: DownloadGrant, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        let before = try reach(host).temporaries[BaseFileName(of: request.image)]?.bytes ?? 0
        if let rate = wanBytesPerSecond { try await trickle(request, min(rate, request.rateLimit ?? rate), on: host, progress) }
        var ended = try transfer(request, on: host, progress)
        if wanBytesPerSecond != nil, !ended.isExisting { ended = Transfer(bytes: request.bytes - before, resumedFrom: before) }
        return ended
    }

    public func receive(
        _ request: BaseFileRequest, from source: @escaping ByteSource, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        let name = BaseFileName(of: request.image)
        let before = try reach(host).temporaries[name]?.bytes ?? 0
        if try reach(host).baseFiles[name] == nil, before < request.bytes { _ = try await source(before..<request.bytes) }
        received.append(host.name)
        return try transfer(request, on: host, progress)
    }

    /// All bytes of a fetch, a second's worth at a time; a cancelled one keeps what has come.
    private func trickle(_ request: BaseFileRequest, _ rate: Int64, on host: Host, _ progress: Progress) async throws(Failure) {
        let name = BaseFileName(of: request.image)
        // Others may follow it from here on.
        let before = nodes[host.name]?.temporaries[name] ?? (0, true, clock.now.date)
        if nodes[host.name]?.baseFiles[name] == nil { nodes[host.name]?.temporaries[name] = before }
        progress(before.bytes)
        while true {
            let node = try reach(host)
            let have = node.temporaries[name]?.bytes ?? 0
            guard node.baseFiles[name] == nil, have < request.bytes else { return }
            let start = clock.now
            do {
                try await clock.sleep(until: start.advanced(by: .seconds(1)), tolerance: nil)
            } catch {
                throw Failure(.cancelled, "fetch on \(host.name) was cancelled")
            }
            let came = min(rate, request.bytes - have)
            nodes[host.name]?.temporaries[name] = (have + came, true, clock.now.date)
            wanTraffic.append((start.date, host.name, came))
            progress(have + came)
        }
    }

    public func copy(
        _ request: BaseFileRequest, from source: Host, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        copies.append((host.name, source.name))
        if let rate = lanBytesPerSecond { return try await follow(request, from: source, rate, on: host, progress) }
        guard try given(request, by: source)?.bytes == request.bytes else {
            throw Failure(.retriable, "\(source.name) has not the bytes of image \(request.image)")
        }
        return try transfer(request, on: host, progress)
    }

    /// What others can copy from a host: its base file, or its temporary where that is what they are to look at.
    private func given(_ request: BaseFileRequest, by source: Host) throws(Failure) -> (bytes: Int64, isGood: Bool)? {
        let (peer, name) = (try reach(source), BaseFileName(of: request.image))
        let (base, part) = (peer.baseFiles[name], peer.temporaries[name].map { ($0.bytes, $0.isGood) })
        if request.sourceIsConverted { return part }
        return base.map { ($0.bytes, true) } ?? (request.sourceIsReceiving ? part : nil)
    }

    /// All bytes of a copy, half a second's worth at a time, as far as the source has them by then.
    private func follow(
        _ request: BaseFileRequest, from source: Host, _ rate: Int64, on host: Host, _ progress: Progress
    ) async throws(Failure) -> Transfer {
        let name = BaseFileName(of: request.image)
        let before = try reach(host).temporaries[name]?.bytes ?? 0
        if nodes[host.name]?.temporaries[name] == nil, nodes[host.name]?.baseFiles[name] == nil {
            nodes[host.name]?.temporaries[name] = (0, true, clock.now.date)
        }
        progress(before)
        while true {
            let node = try reach(host)
            if node.baseFiles[name] != nil { return Transfer(bytes: 0, isExisting: true) }
            guard let given = try given(request, by: source) else {
                throw Failure(.retriable, "\(source.name) has nothing of image \(request.image)")
            }
            let (have, wasGood) = node.temporaries[name].map { ($0.bytes, $0.isGood) } ?? (0, true)
            let came = max(0, min(rate / 2, given.bytes - have))
            let isWrong = came > 0 && (!given.isGood || nodes[source.name]?.faults.contains(.servesWrongBytes) == true)
            nodes[host.name]?.temporaries[name] = (have + came, wasGood && !isWrong, clock.now.date)
            if node.faults.contains(.liesAboutLengths) { for length: Int64 in [0, .max, 0, .max] { progress(length) } }
            progress(have + came)
            if have + came == request.bytes { return Transfer(bytes: request.bytes - before, resumedFrom: before) }
            do {
                try await clock.sleep(until: clock.now.advanced(by: .milliseconds(500)), tolerance: nil)
            } catch {
                throw Failure(.cancelled, "copy on \(host.name) was cancelled")
            }
        }
    }

    public func publish(_ request: BaseFileRequest, on host: Host) async throws(Failure) -> Bool {
        let name = BaseFileName(of: request.image)
        _ = try reach(host)
        operations.append("publish \(host.name)")
        if let bytes = novaFirst[host.name]?[name] { place([name], bytes: bytes, on: host.name) }
        let node = try reach(host)
        if node.baseFiles[name] != nil {
            _ = nodes[host.name]?.baseFiles.touch([name], at: clock.now.date)
            if request.conversion == nil || !request.keepsOriginal { nodes[host.name]?.temporaries[name] = nil }
            return true
        }
        guard let temporary = node.temporaries[name], temporary.bytes == request.bytes else {
            throw Failure(.retriable, "host \(host.name) has not all bytes of image \(request.image)")
        }
        nodes[host.name]?.temporaries[name] = nil
        guard temporary.isGood, digests[request.image].map({ $0 == request.digest }) ?? true else {
            throw Failure(
                .permanent, "bytes of image \(request.image) on host \(host.name) do not match \(request.digest.algorithm.rawValue)",
                about: .bytes)
        }
        if let conversion = request.conversion {
            guard request.proof != nil else { throw Failure(.permanent, "no proof of image \(request.image) for \(host.name)") }
            nodes[host.name]?.temporaries[name] = temporary
            try require(heldBytes[request.image] ?? conversion.rawBytes, for: request, on: host)
            if node.faults.contains(.cannotConvert) {
                throw Failure(.permanent, "qemu-img cannot convert image \(request.image) on \(host.name)")
            }
            if !request.keepsOriginal { nodes[host.name]?.temporaries[name] = nil }
            nodes[host.name]?.baseFiles.put(name, bytes: conversion.rawBytes, at: clock.now.date)
        } else {
            nodes[host.name]?.baseFiles.put(name, bytes: request.bytes, at: clock.now.date)
        }
        return false
    }

    public func release(_ request: BaseFileRequest, on host: Host) async throws(Failure) {
        _ = try reach(host)
        operations.append("release \(host.name)")
        nodes[host.name]?.temporaries[BaseFileName(of: request.image)] = nil
    }

    public func touch(_ names: [BaseFileName], on host: Host) async throws(Failure) -> [BaseFileName: Touch] {
        _ = try reach(host)
        operations.append("touch \(host.name)")
        return nodes[host.name]?.baseFiles.touch(names, at: clock.now.date) ?? [:]
    }

    public func sweep(olderThanSeconds: Int, on host: Host) async throws(Failure) -> Int64 {
        let stale = try reach(host).temporaries.filter { clock.now.date.timeIntervalSince($0.value.changedAt) >= Double(olderThanSeconds) }
        for name in stale.keys { nodes[host.name]?.temporaries[name] = nil }
        return stale.values.reduce(0) { $0 + $1.bytes }
    }

    /// What a base file holds is not simulated: zeros, as many as there are.
    public func read(_ ranges: [Range<Int64>], of name: BaseFileName, on host: Host) async throws(Failure) -> [[UInt8]] {
        guard let file = try reach(host).baseFiles[name] else {
            throw Failure(.permanent, "there is no base file \(name) on \(host.name)")
        }
        guard ranges.allSatisfy({ $0.upperBound <= file.bytes }) else {
            throw Failure(.permanent, "base file \(name) on \(host.name) has only \(file.bytes) bytes")
        }
        return ranges.map { [UInt8](repeating: 0, count: $0.count) }
    }

    private func reach(_ host: Host) throws(Failure) -> Node {
        let node = nodes[host.name, default: Node()]
        nodes[host.name] = node
        if node.faults.contains(.away) { throw Failure(.retriable, "host \(host.name) at \(host.address) is not reachable") }
        return node
    }

    private func require(_ bytes: Int64, for request: BaseFileRequest, on host: Host) throws(Failure) {
        if nodes[host.name]?.faults.contains(.full) == true || bytes > Self.freeBytes - request.keepFreeBytes {
            throw Failure(.retriable, "no space on \(host.name) for \(bytes) bytes of image \(request.image)")
        }
    }

    private func transfer(_ request: BaseFileRequest, on host: Host, _ progress: Progress) throws(Failure) -> Transfer {
        let (node, name) = (try reach(host), BaseFileName(of: request.image))
        operations.append("transfer \(host.name)")
        if node.baseFiles[name] != nil { return Transfer(bytes: 0, isExisting: true) }
        // As the node does it: how much of its disk an image holds is not known yet; it seldom is less than the image takes.
        try require(request.bytes + min(request.bytes, request.conversion?.rawBytes ?? 0), for: request, on: host)
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
            case .away, .full, .cannotConvert, .servesWrongBytes, .liesAboutLengths: continue
            }
        }
        nodes[host.name]?.temporaries[name] = (request.bytes, true, clock.now.date)
        progress(request.bytes)
        return Transfer(bytes: request.bytes - before, resumedFrom: before)
    }
}
