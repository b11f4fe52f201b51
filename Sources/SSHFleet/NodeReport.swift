import ForecacheModel
import Foundation

/// One line of the node program, understood. The head of `Node/common.sh` lists them.
enum NodeEvent: Hashable, Sendable {
    case started(offset: Int64)
    case progress(bytes: Int64)
    case node(NodeFacts)
    case baseFile(name: BaseFileName, bytes: Int64, allocatedBytes: Int64, modified: Int64)
    case temporary(bytes: Int64)
    case touched(BaseFileName, bytes: Int64)
    case missing(BaseFileName)
    case swept(bytes: Int64)
    case range(offset: Int64, bytes: Int64)
    case data([UInt8])
    case done(NodeDone)
    case error(NodeError)
    /// From a newer node program.
    case unknown

    /// Nil for anything that our node program cannot have sent.
    init?(line: [UInt8]) {
        // Losing the error is right: where in the garbage the parser stopped helps nobody, and the caller shows the line.
        guard let line = try? JSONDecoder().decode(NodeLine.self, from: Data(line)), let event = line.understood else { return nil }
        self = event
    }
}

/// What a survey says of the node itself.
struct NodeFacts: Hashable, Sendable {
    /// The node's clock in whole seconds of Unix time, cut off.
    var now: Int64
    var ttlSeconds: Int?
    var forcesRawImages: Bool?
    var imagesType: String?
    var freeBytes: Int64
    var totalBytes: Int64
    var tools: Set<String>
    /// Nil where no container was asked for.
    var hasContainer: Bool?
    /// It exists and did not answer.
    var isContainerSilent: Bool
    var hasCacheDirectory: Bool
}

/// The members of a last line that went well; which are there depends on the verb.
struct NodeDone: Hashable, Sendable {
    var isExisting: Bool?
    var bytes: Int64?
    var offset: Int64?
    var baseFiles: Int?
}

/// The last line of a node program that failed.
struct NodeError: Hashable, Sendable {
    var kind: String
    var detail: String
    /// HTTP status.
    var status: Int?
    /// The digest that was found instead.
    var digest: String?
}

/// All members of all lines.
private struct NodeLine: Decodable {
    var event: String
    var name: String?
    var offset: Int64?
    var bytes: Int64?
    var allocated: Int64?
    var mtime: Int64?
    var now: Int64?
    var ttl: Int?
    var forceRawImages: Bool?
    var imagesType: String?
    var freeBytes: Int64?
    var totalBytes: Int64?
    var container: Bool?
    var silent: Bool?
    var cacheDir: Bool?
    var tools: [String: Bool]?
    var existing: Bool?
    var baseFiles: Int?
    var kind: String?
    var detail: String?
    var status: Int?
    var digest: String?
    var data: String?

    private enum CodingKeys: String, CodingKey {
        case event, name, data
        case offset, bytes, allocated, mtime, now, ttl, container, silent, tools, existing, kind, detail, status, digest
        case forceRawImages = "force_raw_images"
        case imagesType = "images_type"
        case freeBytes = "free_bytes"
        case totalBytes = "total_bytes"
        case cacheDir = "cache_dir"
        case baseFiles = "base_files"
    }

    /// A length or a number of bytes: never negative, and far from where sums overflow.
    private func size(_ value: Int64?) -> Int64? { value.flatMap { (0...(1 << 56)).contains($0) ? $0 : nil } }

    /// Seconds of Unix time: a clock may be wrong, but not by 30,000 years.
    private func time(_ value: Int64?) -> Int64? { value.flatMap { (-(1 << 40)...(1 << 40)).contains($0) ? $0 : nil } }

    private var baseFileName: BaseFileName? { name.flatMap { BaseFileName($0) } }

    var understood: NodeEvent? {
        switch event {
        case "started": size(offset).map { .started(offset: $0) }
        case "progress": size(bytes).map { .progress(bytes: $0) }
        case "node": facts.map { .node($0) }
        case "base_file": baseFile
        case "temporary": size(bytes).map { .temporary(bytes: $0) }
        case "touched": if let baseFileName, let bytes = size(bytes) { .touched(baseFileName, bytes: bytes) } else { nil }
        case "missing": baseFileName.map { .missing($0) }
        case "swept": size(bytes).map { .swept(bytes: $0) }
        case "range": if let offset = size(offset), let bytes = size(bytes) { .range(offset: offset, bytes: bytes) } else { nil }
        case "data": data.flatMap { Data(base64Encoded: $0) }.map { .data([UInt8]($0)) }
        case "done":
            .done(
                NodeDone(isExisting: existing, bytes: size(bytes), offset: size(offset), baseFiles: baseFiles))
        case "error":
            kind.map {
                .error(
                    NodeError(
                        kind: printable($0, limit: 40), detail: printable(detail ?? "", limit: 300), status: status,
                        digest: digest.map { printable($0, limit: 128) }))
            }
        default: .unknown
        }
    }

    private var baseFile: NodeEvent? {
        guard let baseFileName, let bytes = size(bytes), let allocated = size(allocated), let mtime = time(mtime) else { return nil }
        return .baseFile(name: baseFileName, bytes: bytes, allocatedBytes: allocated, modified: mtime)
    }

    private var facts: NodeFacts? {
        guard let now = time(now), let free = size(freeBytes), let total = size(totalBytes), let hasCacheDirectory = cacheDir,
            let tools, tools.count <= 100, ttl ?? 0 >= 0
        else { return nil }
        return NodeFacts(
            now: now, ttlSeconds: ttl, forcesRawImages: forceRawImages, imagesType: imagesType.map { printable($0, limit: 100) },
            freeBytes: free, totalBytes: total, tools: Set(tools.filter(\.value).keys), hasContainer: container,
            isContainerSilent: silent ?? false, hasCacheDirectory: hasCacheDirectory)
    }
}
