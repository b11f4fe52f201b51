public import Engine
public import ForecacheModel
import FoundationEssentials
import Planning

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

        public init(
            operations: any HostOperations, first: Host, second: Host, request: BaseFileRequest, grant: DownloadGrant, wrongDigest: Digest
        ) {
            self.operations = operations
            self.first = first
            self.second = second
            self.request = request
            self.grant = grant
            self.wrongDigest = wrongDigest
        }
    }

    private let bench: Bench
    private var name: BaseFileName { BaseFileName(of: bench.request.image) }

    public init(_ bench: Bench) { self.bench = bench }

    /// The whole life of a base file on two hosts.
    public func run() async throws {
        try await touchingWhatIsNotThereCreatesNothing()
        try await bytesAreNoBaseFileBeforeTheyArePublished()
        try await publishingMakesTheBaseFileOnce()
        try await aCopyBringsTheSameBytes()
        try await touchingSetsTheAgeToZero()
        try await sweepingLeavesBaseFilesAlone()
    }

    private func touchingWhatIsNotThereCreatesNothing() async throws {
        let answers = try await bench.operations.touch([name], on: bench.first)
        try require(answers[name] == .missing, "touching a base file that is not there answers 'missing'")
        try require(try await baseFile(on: bench.first) == nil, "touching creates nothing")
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

    private func baseFile(on host: Host) async throws -> BaseFile? {
        try await bench.operations.survey(host).baseFiles.first { $0.name == name }
    }

    private func require(_ holds: Bool, _ rule: String) throws {
        if !holds { throw ConformanceViolation(rule: rule) }
    }
}

/// A rule of a port that an implementation does not keep.
public struct ConformanceViolation: Error, CustomStringConvertible {
    public var rule: String

    public var description: String { "port rule not kept: \(rule)" }
}
