public import ForecacheModel
public import Logging

/// A catalogue that is asked again where a failure may pass by itself: a worker of Glance that restarts, a Keystone that is busy. Reads only, so asking twice
/// is harmless.
public struct RetryingCatalog<C: Clock>: ImageCatalog where C.Instant == WallInstant {
    private let catalog: any ImageCatalog
    private let limits: Limits
    private let clock: C
    private let logger: Logger

    public init(_ catalog: any ImageCatalog, limits: Limits, clock: C, logger: Logger) {
        self.catalog = catalog
        self.limits = limits
        self.clock = clock
        self.logger = logger
    }

    public func image(_ id: ImageID) async throws(Failure) -> ImageFacts? {
        try await retried { () async throws(Failure) in try await catalog.image(id) }
    }

    public func images(named name: String?) async throws(Failure) -> [ImageFacts] {
        try await retried { () async throws(Failure) in try await catalog.images(named: name) }
    }

    public func download(of id: ImageID, endpoint: String?, refused: Secret?) async throws(Failure) -> DownloadGrant {
        try await retried { () async throws(Failure) in try await catalog.download(of: id, endpoint: endpoint, refused: refused) }
    }

    public func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8] {
        try await retried { () async throws(Failure) in try await catalog.bytes(of: id, in: range) }
    }

    private func retried<Answer: Sendable>(_ ask: () async throws(Failure) -> Answer) async throws(Failure) -> Answer {
        for attempt in 1..<limits.catalogTries {
            do throws(Failure) {
                return try await ask()
            } catch {
                guard error.kind == .retriable else { throw error }
                logger.info("asked again", metadata: ["attempt": "\(attempt + 1)", "reason": "\(error)"])
            }
            do {
                try await clock.sleep(
                    until: clock.now.advanced(by: .seconds(Double(attempt) * Double.random(in: 0.5...1.0))), tolerance: nil)
            } catch {
                throw Failure(.cancelled, "told to stop before Glance was asked again")
            }
        }
        return try await ask()
    }
}
