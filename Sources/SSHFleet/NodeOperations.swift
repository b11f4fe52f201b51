import Engine
import ForecacheModel
import FoundationEssentials
import Planning

/// Each verb of the node program as one remote command: its parameters, what its lines mean, and how long it may take.
@SSHLoop
final class NodeOperations {
    private let settings: SSHFleetSettings
    private let limits: Limits
    private let pool: ConnectionPool

    nonisolated init(settings: SSHFleetSettings, limits: Limits, pool: ConnectionPool) {
        self.settings = settings
        self.limits = limits
        self.pool = pool
    }

    func survey(_ host: Host) async throws(Failure) -> HostSurvey {
        let input = try NodeCommand.input(
            ["cache_dir": settings.cacheDirectory, "nova_conf": settings.novaConfiguration], container, host: host)
        var assembly = SurveyAssembly(host: host.name)
        let done = try await run(
            .survey, input, on: host, seconds: limits.commandSeconds,
            started: { assembly.sentAt = Date() }, handle: { assembly.take($0, at: Date()) })
        guard let survey = assembly.survey, survey.baseFiles.count == done.baseFiles ?? -1 else {
            throw Failure(.retriable, "survey on \(host.name) (\(host.address)): lines of the report are missing; try again")
        }
        return survey
    }

    func fetch(
        _ request: BaseFileRequest, with grant: DownloadGrant, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        let input = try NodeCommand.input(
            baseFile(request), room(request), patience(host),
            [
                "url": grant.url, "token": grant.token.reveal(),
                "cacert": settings.caFile, "insecure": grant.isInsecure ? "1" : "0",
                "rate_limit": request.rateLimit.map { String($0) },
                "streams": String(request.streams ?? (request.rateLimit == nil ? Self.streamsOnTrial : 1)),
                "trial": request.streams == nil ? "1" : "0",
            ], host: host)
        return try await transfer(.fetch, request, input, on: host, progress)
    }

    /// Where nobody named a number of streams: enough for most links, and few enough for any Glance. Under a limit nothing is tried: it fills no link.
    private static let streamsOnTrial = 4

    func receive(
        _ request: BaseFileRequest, from source: @escaping ByteSource, on host: Host, progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        let input = try NodeCommand.input(
            baseFile(request), room(request), ["rate_limit": request.rateLimit.map { String($0) }], host: host)
        let feed = Feed(source, end: request.bytes, for: "receive of image \(request.image) on \(host.name) (\(host.address))")
        return try await transfer(.receive, request, input, on: host, feed: feed, progress)
    }

    func copy(_ request: BaseFileRequest, from source: Host, on host: Host, progress: @escaping Progress) async throws(Failure) -> Transfer
    {
        let name = BaseFileName(of: request.image).text
        let peer = settings.peer
        let temporary = ".forecache/\(name).\(request.digest.hex.prefix(16)).part"
        let path = "\(settings.cacheDirectory)/\(request.sourceIsConverted ? temporary : name)"
        let growing = request.sourceIsReceiving ? "\(settings.cacheDirectory)/\(temporary)" : nil
        let input = try NodeCommand.input(
            baseFile(request), room(request), patience(host), container,
            [
                "peer_address": source.peerAddress ?? source.address, "peer_path": path, "peer_part": growing,
                "peer_port": peer.port.map { String($0) }, "peer_user": peer.user, "peer_identity": peer.identity,
                "peer_known_hosts": peer.knownHosts, "peer_host_key_checking": peer.hostKeyChecking.asOpenSSHHasIt,
            ], host: host)
        return try await transfer(.copy, request, input, on: host, progress)
    }

    func publish(_ request: BaseFileRequest, on host: Host) async throws(Failure) -> Bool {
        let proof = request.proof.map { $0.ranges.map { "\($0.lowerBound)+\($0.count)" }.joined(separator: ",") }
        let input = try NodeCommand.input(
            baseFile(request), room(request), container,
            [
                "convert_from": request.conversion?.qemuFormat, "proof_ranges": proof, "proof_digest": request.proof?.sha256,
                "keep_part": request.keepsOriginal ? "1" : "0",
            ], host: host)
        let done = try await run(
            .publish, input, on: host, image: request.image, silence: .seconds(limits.stallSeconds), seconds: limits.publishSeconds
        ) { _ in }
        return done.isExisting ?? false
    }

    func release(_ request: BaseFileRequest, on host: Host) async throws(Failure) {
        let input = try NodeCommand.input(baseFile(request), host: host)
        _ = try await run(.release, input, on: host, image: request.image, seconds: limits.commandSeconds) { _ in }
    }

    func touch(_ names: [BaseFileName], on host: Host) async throws(Failure) -> [BaseFileName: Touch] {
        var answers: [BaseFileName: Touch] = [:]
        var rest = names[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(max(1, limits.touchesPerCommand)))
            rest = rest.dropFirst(part.count)
            let input = try NodeCommand.input(["cache_dir": settings.cacheDirectory], names: part, host: host)
            _ = try await run(.touch, input, on: host, seconds: limits.commandSeconds, lines: part.count + 10) { event in
                switch event {
                case .touched(let name, let bytes): answers[name] = .touched(bytes: bytes)
                case .missing(let name): answers[name] = .missing
                default: break
                }
            }
            guard part.allSatisfy({ answers[$0] != nil }) else {
                throw Failure(.retriable, "touch on \(host.name) (\(host.address)): not every name was answered; try again")
            }
        }
        return answers
    }

    func sweep(olderThanSeconds: Int, on host: Host) async throws(Failure) -> Int64 {
        let input = try NodeCommand.input(
            ["cache_dir": settings.cacheDirectory, "older_than": String(max(0, olderThanSeconds))], host: host)
        var freed: Int64 = 0
        _ = try await run(.sweep, input, on: host, seconds: limits.commandSeconds) { event in
            if case .swept(let bytes) = event { freed = freed.saturating(plus: bytes) }
        }
        return freed
    }

    func read(_ ranges: [Range<Int64>], of name: BaseFileName, on host: Host) async throws(Failure) -> [[UInt8]] {
        guard !ranges.isEmpty else { return [] }
        let list = ranges.map { "\($0.lowerBound)+\($0.upperBound - $0.lowerBound)" }.joined(separator: ",")
        let input = try NodeCommand.input(["cache_dir": settings.cacheDirectory, "name": name.text, "ranges": list], host: host)
        var parts: [[UInt8]] = []
        _ = try await run(.read, input, on: host, seconds: limits.commandSeconds) { event throws(Failure) in
            switch event {
            case .range: parts.append([])
            case .data(let bytes):
                // No more than was asked for is kept, whatever the node sends.
                let last = parts.count - 1
                if ranges.indices.contains(last), parts[last].count < ranges[last].count { parts[last] += bytes }
            default: break
            }
        }
        guard parts.count == ranges.count, zip(parts, ranges).allSatisfy({ $0.count == $1.count }) else {
            let what = "read of base file \(name) on \(host.name) (\(host.address))"
            throw Failure(.retriable, "\(what): not all bytes came; did the file change meanwhile?")
        }
        return parts
    }

    // MARK: What several verbs are told

    private func baseFile(_ request: BaseFileRequest) -> KeyValuePairs<String, String?> {
        [
            "cache_dir": settings.cacheDirectory, "owner": settings.owner,
            "name": BaseFileName(of: request.image).text,
            "size": String(request.bytes), "algo": request.digest.algorithm.rawValue, "digest": request.digest.hex,
        ]
    }

    private func room(_ request: BaseFileRequest) -> KeyValuePairs<String, String?> {
        ["keep_free": String(request.keepFreeBytes), "raw_size": String(request.conversion?.rawBytes ?? 0)]
    }

    private func patience(_ host: Host) -> KeyValuePairs<String, String?> {
        [
            "connect_timeout": String(max(1, host.ssh.connectTimeoutSeconds)), "stall_timeout": String(max(1, limits.stallSeconds)),
        ]
    }

    /// Where Nova's tools run.
    private var container: KeyValuePairs<String, String?> {
        ["container": settings.container, "container_cli": settings.container.map { _ in settings.containerCLI }]
    }

    // MARK: One verb

    /// A transfer that was cancelled a moment ago lets go of the temporary in its own time; whoever else holds it will not be done so soon.
    private static let busyTries = 25

    /// One a second is eleven days. A transfer has no deadline, so nothing else bounds how much a node can say.
    private static let transferLines = 1_000_000

    private func transfer(
        _ verb: NodeVerb, _ request: BaseFileRequest, _ input: [UInt8], on host: Host, feed: Feed? = nil, _ progress: @escaping Progress
    ) async throws(Failure) -> Transfer {
        var watch = StallWatch(total: request.bytes, stallSeconds: limits.stallSeconds, digestSeconds: limits.publishSeconds)
        // A node may say what it likes; no more than the image has is believed.
        func believed(_ bytes: Int64) -> Int64 { min(bytes, request.bytes) }
        let done = try await run(
            verb, input, on: host, feed: feed, image: request.image, silence: .seconds(limits.stallSeconds), seconds: nil,
            lines: Self.transferLines, busyTries: Self.busyTries
        ) { event throws(Failure) in
            switch event {
            case .started(let offset):
                try feed?.begin(at: offset)
                watch.moved(to: offset)
                progress(believed(offset))
            case .progress(let bytes):
                if let complaint = watch.complaint(at: bytes) {
                    throw Failure(
                        .retriable, "\(verb.rawValue) of image \(request.image) on \(host.name) (\(host.address)): \(complaint)")
                }
                progress(believed(bytes))
            default: break
            }
        }
        guard let isExisting = done.isExisting, let bytes = done.bytes else {
            throw Failure(.permanent, "\(verb.rawValue) on \(host.name) (\(host.address)): the last line of the report lacks members")
        }
        return Transfer(bytes: believed(bytes), resumedFrom: believed(done.offset ?? 0), isExisting: isExisting)
    }

    /// Runs one verb and gives each event of it to `handle`; returns the last line, or throws what it says. The loop calls `handle`, so it is quick.
    private func run(
        _ verb: NodeVerb, _ input: [UInt8], on host: Host, feed: Feed? = nil, image: ImageID? = nil, silence: Duration? = nil,
        seconds: Int?, lines: Int = 200_000, busyTries: Int = 0, started: () -> Void = {}, handle: (NodeEvent) throws(Failure) -> Void
    ) async throws(Failure) -> NodeDone {
        let wording = NodeFailure(verb: verb, host: host, image: image, cacheDirectory: settings.cacheDirectory)
        let bounds = CommandLimits(
            silence: silence, time: seconds.map { .seconds($0) }, lineBytes: limits.nodeLineBytes, lines: lines)
        var last: NodeEvent?
        let end = try await pool.run(
            NodeCommand.text(verb, become: host.ssh.become), input: input, feed: feed, on: host, limits: bounds, started: started
        ) { line throws(Failure) in
            guard let event = NodeEvent(line: line) else { throw wording.garbage(line) }
            last = event
            switch event {
            case .done, .error, .unknown: break
            default: try handle(event)
            }
        }
        switch last {
        case .done(let done) where end.exitCode == 0: return done
        case .error(let error) where error.kind == "busy" && busyTries > 0:
            do { try await Task.sleep(for: .milliseconds(200)) } catch {
                throw Failure(.cancelled, "cancelled while \(host.name) was busy")
            }
            return try await run(
                verb, input, on: host, feed: feed, image: image, silence: silence, seconds: seconds, lines: lines,
                busyTries: busyTries - 1, started: started, handle: handle)
        case .error(let error): throw wording.failure(for: error)
        default: throw wording.ended(end)
        }
    }
}

/// Puts the lines of a survey together.
private struct SurveyAssembly {
    let host: HostName
    var sentAt = Date()
    private(set) var survey: HostSurvey?
    private var nodeNow: Int64 = 0

    init(host: HostName) { self.host = host }

    mutating func take(_ event: NodeEvent, at now: Date) {
        switch event {
        case .node(let facts): begin(facts, at: now)
        case .baseFile(let name, let bytes, let allocatedBytes, let modified):
            survey?.baseFiles.append(
                BaseFile(name: name, bytes: bytes, allocatedBytes: allocatedBytes, ageSeconds: Double(nodeNow) - Double(modified)))
        case .temporary(let bytes):
            if let sum = survey?.temporaryBytes { survey?.temporaryBytes = sum.saturating(plus: bytes) }
        default: break
        }
    }

    private mutating func begin(_ facts: NodeFacts, at now: Date) {
        nodeNow = facts.now
        // The node read its clock somewhere between our two readings, and cut off half a second on average.
        let middle = sentAt.addingTimeInterval(now.timeIntervalSince(sentAt) / 2)
        survey = HostSurvey(
            host: host, surveyedAt: now, clockSkewSeconds: Double(facts.now) + 0.5 - middle.timeIntervalSince1970,
            ttlSeconds: facts.ttlSeconds,
            forcesRawImages: facts.forcesRawImages, imagesType: facts.imagesType, freeBytes: facts.freeBytes, totalBytes: facts.totalBytes,
            tools: facts.hasContainer == true ? facts.tools.union(["container"]) : facts.tools,
            isContainerSilent: facts.isContainerSilent, hasCacheDirectory: facts.hasCacheDirectory)
    }
}
