public import Engine
public import ForecacheModel
import FoundationEssentials
import Planning
import Synchronization

/// What must hold of every `HostOperations`, simulated or real: each rule throws a described violation.
public struct HostOperationsConformance: Sendable {
    /// A place to run the suite in: two hosts of one site that have neither base file nor temporary of the image, and a grant for its bytes.
    public struct Bench: Sendable {
        public var operations: any HostOperations
        public var first: Host
        public var second: Host
        public var request: BaseFileRequest
        public var grant: DownloadGrant
        /// The same image, whose bytes cannot match: another digest.
        public var wrongDigest: Digest
        /// Another image, to be converted: its disk is larger than the hosts' own, and holds next to nothing.
        public var sparse: BaseFileRequest
        public var sparseGrant: DownloadGrant

        public init(
            operations: any HostOperations, first: Host, second: Host, request: BaseFileRequest, grant: DownloadGrant, wrongDigest: Digest,
            sparse: BaseFileRequest, sparseGrant: DownloadGrant
        ) {
            self.operations = operations
            self.first = first
            self.second = second
            self.request = request
            self.grant = grant
            self.wrongDigest = wrongDigest
            self.sparse = sparse
            self.sparseGrant = sparseGrant
        }
    }

    private let bench: Bench
    private var name: BaseFileName { BaseFileName(of: bench.request.image) }

    public init(_ bench: Bench) { self.bench = bench }

    /// The whole life of a base file on two hosts.
    public func run() async throws {
        try await touchingWhatIsNotThereCreatesNothing()
        try await whatIsNotThereIsNeitherCopiedNorPublished()
        try await whereThereIsNoRoomNothingIsMoved()
        try await bytesThatDoNotMatchAreNeverPublished()
        try await sweepingRemovesWhatNobodyPublished()
        try await bytesAreNoBaseFileBeforeTheyArePublished()
        try await publishingMakesTheBaseFileOnce()
        try await aCopyBringsTheSameBytes()
        try await touchingSetsTheAgeToZero()
        try await sweepingLeavesBaseFilesAlone()
        try await readingGivesTheBytesAndChangesNothing()
        try await releasingLeavesBaseFilesAlone()
        try await aRawFileNeedsRoomForWhatItHolds()
    }

    private func touchingWhatIsNotThereCreatesNothing() async throws {
        let answers = try await bench.operations.touch([name], on: bench.first)
        try require(answers[name] == .missing, "touching a base file that is not there answers 'missing'")
        try require(try await baseFile(on: bench.first) == nil, "touching creates nothing")
    }

    private func whatIsNotThereIsNeitherCopiedNorPublished() async throws {
        let copied = await failure { () throws(Failure) in
            _ = try await bench.operations.copy(bench.request, from: bench.second, on: bench.first) { _ in }
        }
        try require(copied?.kind == .retriable, "a copy of nothing fails, and may be tried again: \(copied?.description ?? "it did not")")
        let published = await failure { () throws(Failure) in _ = try await bench.operations.publish(bench.request, on: bench.first) }
        try require(published != nil, "publishing bytes that are not there fails")
        try require(try await baseFile(on: bench.first) == nil, "neither makes a base file")
    }

    private func whereThereIsNoRoomNothingIsMoved() async throws {
        var request = bench.request
        request.keepFreeBytes = 1 << 59
        let refused = await failure { () throws(Failure) in
            _ = try await bench.operations.fetch(request, with: bench.grant, on: bench.first) { _ in }
        }
        try require(refused?.kind == .retriable, "without room a fetch fails for now: \(refused?.description ?? "it did not")")
        try require(try await bench.operations.survey(bench.first).temporaryBytes == 0, "and it moves nothing")
    }

    private func bytesThatDoNotMatchAreNeverPublished() async throws {
        var request = bench.request
        request.digest = bench.wrongDigest
        let seen = Seen()
        _ = try await bench.operations.fetch(request, with: bench.grant, on: bench.first) { seen.note($0) }
        try require(seen.isRising && seen.last ?? 0 <= request.bytes, "progress rises to the image's size at most")
        let refused = await failure { () throws(Failure) in _ = try await bench.operations.publish(request, on: bench.first) }
        try require(refused?.kind == .permanent, "bytes that do not match are refused for good: \(refused?.description ?? "they were not")")
        try require(try await baseFile(on: bench.first) == nil, "and are no base file")
    }

    private func sweepingRemovesWhatNobodyPublished() async throws {
        _ = try await bench.operations.fetch(bench.request, with: bench.grant, on: bench.first) { _ in }
        let lying = try await bench.operations.survey(bench.first).temporaryBytes
        try require(lying >= bench.request.bytes, "fetched bytes lie in a temporary, not \(lying) of them")
        _ = try await bench.operations.sweep(olderThanSeconds: 3600, on: bench.first)
        try require(try await bench.operations.survey(bench.first).temporaryBytes == lying, "a young temporary is not swept")
        let freed = try await bench.operations.sweep(olderThanSeconds: 0, on: bench.first)
        try require(freed >= bench.request.bytes, "an old one is, and its bytes are counted, not \(freed)")
        try require(try await bench.operations.survey(bench.first).temporaryBytes == 0, "nothing is left of it")
    }

    private func bytesAreNoBaseFileBeforeTheyArePublished() async throws {
        let transfer = try await bench.operations.fetch(bench.request, with: bench.grant, on: bench.first) { _ in }
        try require(!transfer.isExisting && transfer.bytes == bench.request.bytes, "a fetch moves all bytes, not \(transfer)")
        try require(try await baseFile(on: bench.first) == nil, "fetched bytes are no base file before they are published")
        let again = try await bench.operations.fetch(bench.request, with: bench.grant, on: bench.first) { _ in }
        try require(
            again.bytes == 0 && again.resumedFrom == bench.request.bytes, "a finished fetch moves nothing when repeated, not \(again)")
    }

    private func publishingMakesTheBaseFileOnce() async throws {
        try require(try await bench.operations.publish(bench.request, on: bench.first) == false, "the first publish finds no base file")
        let file = try await baseFile(on: bench.first)
        try require(file?.bytes == bench.request.bytes, "the published base file has the image's size")
        let transfer = try await bench.operations.fetch(bench.request, with: bench.grant, on: bench.first) { _ in }
        try require(transfer.isExisting && transfer.bytes == 0, "nothing is fetched over a base file that exists")
    }

    private func aCopyBringsTheSameBytes() async throws {
        let transfer = try await bench.operations.copy(bench.request, from: bench.first, on: bench.second) { _ in }
        try require(!transfer.isExisting && transfer.bytes == bench.request.bytes, "a copy moves all bytes, not \(transfer)")
        try require(try await bench.operations.publish(bench.request, on: bench.second) == false, "the copy is published")
        try require(try await baseFile(on: bench.second)?.bytes == bench.request.bytes, "the copy has the image's size")
    }

    private func touchingSetsTheAgeToZero() async throws {
        let answers = try await bench.operations.touch([name], on: bench.second)
        try require(answers[name] == .touched(bytes: bench.request.bytes), "touching answers with the size")
        let age = try await baseFile(on: bench.second)?.ageSeconds ?? .infinity
        try require(age < 5, "the age is 0 after a touch, not \(age)")
    }

    private func sweepingLeavesBaseFilesAlone() async throws {
        _ = try await bench.operations.sweep(olderThanSeconds: 0, on: bench.first)
        try require(try await baseFile(on: bench.first) != nil, "sweeping never removes a base file")
    }

    private func releasingLeavesBaseFilesAlone() async throws {
        try await bench.operations.release(bench.request, on: bench.second)
        try require(try await baseFile(on: bench.second) != nil, "releasing never removes a base file")
    }

    private func aRawFileNeedsRoomForWhatItHolds() async throws {
        let (request, operations) = (bench.sparse, bench.operations)
        let rawBytes = request.conversion?.rawBytes ?? 0
        try require(rawBytes > (try await operations.survey(bench.first).freeBytes), "the bench's sparse disk is larger than the host's")
        _ = try await operations.fetch(request, with: bench.sparseGrant, on: bench.first) { _ in }
        var tight = request
        tight.keepFreeBytes = 1 << 59
        let refused = await failure { () throws(Failure) in _ = try await operations.publish(tight, on: bench.first) }
        try require(refused?.kind == .retriable, "without room a conversion fails for now: \(refused?.description ?? "it did not")")
        try require(try await operations.survey(bench.first).temporaryBytes >= request.bytes, "and the image's own bytes are kept")
        try require(try await operations.publish(request, on: bench.first) == false, "a disk with next to nothing in it has room")
        let file = try await operations.survey(bench.first).baseFiles.first { $0.name == BaseFileName(of: request.image) }
        try require(file?.bytes == rawBytes, "its raw file has the disk's length, not \(file?.bytes ?? 0)")
    }

    private func failure(_ body: () async throws(Failure) -> Void) async -> Failure? {
        do throws(Failure) {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    private func readingGivesTheBytesAndChangesNothing() async throws {
        let before = try await baseFile(on: bench.first)
        let size = bench.request.bytes
        let ranges = [0..<min(size, 20_000), (size - 1)..<size]
        let parts = try await bench.operations.read(ranges, of: name, on: bench.first)
        try require(parts.map(\.count) == ranges.map(\.count), "reading gives as many bytes as were asked for")
        try require(try await baseFile(on: bench.first)?.bytes == before?.bytes, "reading changes nothing")
        do throws(Failure) {
            _ = try await bench.operations.read([0..<(size + 1)], of: name, on: bench.first)
        } catch {
            return
        }
        try require(false, "a range beyond the end is a failure")
    }

    private func baseFile(on host: Host) async throws -> BaseFile? {
        try await bench.operations.survey(host).baseFiles.first { $0.name == name }
    }

    private func require(_ holds: Bool, _ rule: String) throws {
        if !holds { throw ConformanceViolation(rule: rule) }
    }
}

/// What a progress closure was told.
private final class Seen: Sendable {
    private let bytes = Mutex<[Int64]>([])

    func note(_ count: Int64) { bytes.withLock { $0.append(count) } }
    var last: Int64? { bytes.withLock { $0.last } }
    var isRising: Bool { bytes.withLock { $0 == $0.sorted() } }
}

/// A rule of a port that an implementation does not keep.
public struct ConformanceViolation: Error, CustomStringConvertible {
    public var rule: String

    public var description: String { "port rule not kept: \(rule)" }
}
