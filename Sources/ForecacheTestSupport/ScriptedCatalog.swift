public import Engine
public import ForecacheModel
import FoundationEssentials

/// Glance's records as a test writes them.
public actor ScriptedCatalog: ImageCatalog {
    private var records: [ImageID: ImageFacts] = [:]
    private var heads: [ImageID: [UInt8]] = [:]
    private var failure: Failure?
    private var bytesFailure: Failure?
    public private(set) var reads = 0
    public private(set) var listings = 0

    public init(_ images: [ImageFacts] = []) { for image in images { records[image.id] = image } }

    public func put(_ image: ImageFacts) { records[image.id] = image }
    public func change(_ id: ImageID, _ change: @Sendable (inout ImageFacts) -> Void) {
        guard var image = records[id] else { return }
        change(&image)
        records[id] = image
    }
    public func delete(_ id: ImageID) { records[id] = nil }
    /// Every call fails so, until it is set to nil.
    public func fail(with failure: Failure?) { self.failure = failure }
    /// Every question for an image's bytes does.
    public func failBytes(with failure: Failure?) { bytesFailure = failure }

    public func image(_ id: ImageID) async throws(Failure) -> ImageFacts? {
        reads += 1
        if let failure { throw failure }
        return records[id]
    }

    public func images(named name: String?) async throws(Failure) -> [ImageFacts] {
        listings += 1
        if let failure { throw failure }
        // As an answer in pages does.
        await Task.yield()
        return records.values.filter { name == nil || $0.name == name }.sorted { $0.id < $1.id }
    }

    /// What an image begins with, for inspection; without it an image is zeros, which are raw.
    public func put(head: [UInt8], of id: ImageID) { heads[id] = head }

    public func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8] {
        if let failure = failure ?? bytesFailure { throw failure }
        let head = heads[id] ?? []
        return range.map { $0 < head.count ? head[Int($0)] : 0 }
    }

    public func download(of id: ImageID, endpoint: String?, refused: Secret?) async throws(Failure) -> DownloadGrant {
        if let failure { throw failure }
        return DownloadGrant(url: "\(endpoint ?? "http://glance")/v2/images/\(id)/file", token: Secret("token"))
    }
}
