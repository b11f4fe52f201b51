public import Engine
public import ForecacheModel
import Foundation
public import Logging
import Synchronization

/// Glance's records, asked through Keystone's catalog. Any number of callers may ask at once; each call ends soon after its task is cancelled.
///
/// Source: Glance's api-ref v2, "List images", "Show image", "Download binary image data".
public final class OpenStackCatalog: ImageCatalog {
    let glance: ServiceClient
    private let pageSize: Int
    /// What was complained of: each image is asked for many times.
    private let told = Mutex<Set<String>>([])

    /// A token for a download lasts at least this long, in seconds: hosts may wait for a free fork before they start.
    static let downloadTokenSeconds = 600.0
    /// Images of one listing: far more than any cloud has, and it bounds what a Glance gone wrong can make us keep.
    static let mostImages = 200_000
    static let mostPages = 10_000
    /// The longest record of one image, in bytes: what `ImageRecord` takes, with each byte as `\u0001`, and as much again for what Glance adds.
    static let mostRecordBytes = 4 << 20
    /// The longest page of one image, in bytes: longer than Glance's own quota lets a record be (128 properties of 64 KiB, each byte as `\u0001`). Such a
    /// record is not taken, but the way to the next page stands behind it.
    static let mostLonePageBytes = 64 << 20

    /// Throws only where the process cannot have a thread.
    public convenience init(credentials: Credentials, limits: Limits, logger: Logger) throws(Failure) {
        // An API answers sooner than a transfer moves, so half of the transfers' patience is enough.
        let deadlines = HTTPDeadlines(stallSeconds: max(1, limits.stallSeconds / 2))
        try self.init(credentials: credentials, logger: logger, deadlines: deadlines, pageSize: 200)
    }

    init(
        credentials: Credentials, logger: Logger, deadlines: HTTPDeadlines, pageSize: Int,
        now: @escaping @Sendable () -> Date = { WallClock().now.date }
    ) throws(Failure) {
        let tls = TLSOptions(
            caFile: credentials.caFile, certificateFile: credentials.certificateFile, keyFile: credentials.keyFile,
            isInsecure: credentials.isInsecure)
        let http = try HTTPClient(tls: tls, deadlines: deadlines)
        glance = ServiceClient(
            name: "Glance",
            root: { token throws(Failure) in
                if let endpoint = credentials.imageEndpoint { return ServiceURL.glanceV2(endpoint) }
                return ServiceURL.glanceV2(try token.catalog.imageEndpoint(credentials))
            },
            credentials: credentials, http: http, keystone: Keystone(credentials: credentials, http: http, now: now), logger: logger)
        self.pageSize = pageSize
        if credentials.isInsecure { logger.warning("certificates are not checked", metadata: ["source": "\(credentials.source)"]) }
    }

    public func image(_ id: ImageID) async throws(Failure) -> ImageFacts? {
        let (request, response): (HTTPRequest, HTTPResponse)
        do throws(Failure) { (request, response) = try await get("/images/\(id)", .most(Self.mostRecordBytes)) } catch {
            guard error.about == .answer else { throw error }
            throw error.wrapped("Glance's record of image \(id) is too long to be used; delete properties of the image")
        }
        if response.status == 404 { return nil }
        try accept(request, response)
        let record: ImageRecord
        do throws(ImageRecord.Refusal) { record = try ImageRecord.read(response.body) } catch {
            let what = "\(request.name): Glance's record of image \(id) cannot be used; mend the image"
            throw Failure(.permanent, what, cause: error.description)
        }
        guard record.facts.id == id else {
            throw Failure(.permanent, "\(request.name): Glance answered with image \(record.facts.id); is something between us and Glance?")
        }
        if let problem = record.digestProblem, isNew("\(id) \(problem)") {
            let metadata: Logger.Metadata = [
                "image": "\(id)", "reason": "\(problem)", "instead": "\(record.facts.digest == nil ? "none" : "md5")",
            ]
            glance.logger.warning("Glance's digest of the image cannot be checked", metadata: metadata)
        }
        return record.facts
    }

    public func images(named name: String?) async throws(Failure) -> [ImageFacts] {
        var found: [ImageID: ImageFacts] = [:]
        // Glance lists either hidden images or the others, never both; and without a visibility, of other projects' community images none. A name means none of
        // those either: else anybody could take it away from the image that is meant.
        for isHidden in [false, true] {
            var query = "os_hidden=\(isHidden)\(name == nil ? "&visibility=all" : "")"
            // With the operator spelled out, Glance takes everything behind the first colon as the name: colons, commas and quotes included.
            if let name { query += "&name=eq:\(ServiceURL.queryValue(name))" }
            for facts in try await pages(query) where name == nil || facts.name == name { found[facts.id] = facts }
        }
        return found.values.sorted { $0.id < $1.id }
    }

    public func download(of id: ImageID, endpoint: String?, refused: Secret?) async throws(Failure) -> DownloadGrant {
        let token = try await glance.keystone.token(lastingSeconds: Self.downloadTokenSeconds, refused: refused)
        let root = if let endpoint { ServiceURL.glanceV2(endpoint) } else { try glance.root(token) }
        guard ServiceURL.origin(of: root) != nil else {
            let shown = Printable.text(Array(ServiceURL.withoutQuery(root).utf8), limit: 200)
            throw Failure(.permanent, "image \(id): Glance's address '\(shown)' is not an http or https URL; check `glance:` of the site")
        }
        let url = "\(root)/images/\(id)/file"
        return DownloadGrant(url: url, token: token.text, isInsecure: glance.credentials.isInsecure)
    }

    public func bytes(of id: ImageID, in range: Range<Int64>) async throws(Failure) -> [UInt8] {
        // The last position counts (RFC 9110, 14.1.2). A byte too many is enough to know that it is not the range; of an error's page, what is shown.
        let (request, response) = try await glance.send(
            .get, "/images/\(id)/file", headers: [.init("Range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)")],
            bound: .beginning(max(4096, range.count + 1)))
        // A server that does not know ranges sends everything: useful only where everything was asked for.
        let isWhole = response.status == 200 && range.lowerBound == 0 && response.body.count <= range.count
        guard response.status == 206 || isWhole else {
            try accept(request, response)
            throw Failure(
                .permanent,
                "\(request.name): Glance's store does not answer ranges, so the image can be neither inspected nor sent through the controller"
            )
        }
        guard response.body.count == range.count else {
            // Of a longer answer only the beginning was kept.
            let came = response.body.count > range.count ? "more" : "\(response.body.count)"
            throw Failure(.retriable, "\(request.name): \(came) bytes came where \(range.count) were asked for")
        }
        return response.body
    }

    // MARK: - Pages

    private func pages(_ firstQuery: String) async throws(Failure) -> [ImageFacts] {
        var found: [ImageFacts] = []
        var query: String? = firstQuery
        var seen: Set<String> = []
        var limit = pageSize
        while let current = query {
            guard seen.insert(current).inserted, seen.count <= Self.mostPages, found.count <= Self.mostImages else {
                let what = "\(glance.credentials.source): Glance's list of images does not end (\(found.count) so far)"
                throw Failure(.permanent, "\(what); check Glance and any proxy before it")
            }
            let (request, response) = try await page(current, &limit)
            if seen.count > 1, response.status == 400 || response.status == 404 {
                // The image that the page begins after was deleted meanwhile.
                let came = "answered \(response.status) \(response.excerpt())"
                throw Failure(.retriable, "\(request.name): the list changed while it was read; try again", cause: came)
            }
            try accept(request, response)
            let page: ImagePage
            do throws(ImageRecord.Refusal) { page = try ImagePage.read(response.body) } catch {
                let what = "\(request.name): the answer is not a list of images; is Glance's endpoint right?"
                throw Failure(.permanent, what, cause: error.description)
            }
            for reason in page.refused where isNew(reason) {
                glance.logger.warning("image record cannot be used", metadata: ["reason": "\(reason)"])
            }
            found += page.images
            query = if let next = page.next { try nextQuery(next, after: request) } else { nil }
        }
        return found
    }

    /// A page of at most `limit` images, and of fewer where theirs do not fit: one tenant's long properties must not hide all other images.
    private func page(_ query: String, _ limit: inout Int) async throws(Failure) -> (HTTPRequest, HTTPResponse) {
        while true {
            do throws(Failure) {
                let answer = try await get("/images?limit=\(limit)&\(query)", limit == 1 ? .most(Self.mostLonePageBytes) : .usual)
                limit = min(pageSize, limit * 2)
                return answer
            } catch {
                guard error.about == .answer else { throw error }
                guard limit > 1 else {
                    let place = Printable.text(Array(query.utf8), limit: 200)
                    throw error.wrapped(
                        "Glance's record of one image is too long to list the images (\(place)); delete its properties, and set image_property_quota"
                    )
                }
                limit /= 2
            }
        }
    }

    /// Only the query of `next` is used: Glance writes its path without a proxy's prefix, and no answer may lead us to another server. Its limit is ours to say.
    private func nextQuery(_ next: String, after request: HTTPRequest) throws(Failure) -> String {
        let isPath = next.hasPrefix("/") && !next.hasPrefix("//")
        let isElsewhere = !isPath && ServiceURL.origin(of: next) != ServiceURL.origin(of: request.url)
        guard !isElsewhere, let mark = next.firstIndex(of: "?"), next.utf8.count <= 8192 else {
            let shown = Printable.text(Array(ServiceURL.withoutQuery(next).utf8), limit: 200)
            let what = "\(request.name): the next page is said to be at '\(shown)', which is not followed"
            throw Failure(.permanent, "\(what); check Glance's public_endpoint")
        }
        return next[next.index(after: mark)...].split(separator: "&").filter { !$0.hasPrefix("limit=") }.joined(separator: "&")
    }

    // MARK: - Asking Glance

    private func get(_ path: String, _ bound: AnswerBound) async throws(Failure) -> (HTTPRequest, HTTPResponse) {
        try await glance.send(.get, path, headers: [.init("Accept", "application/json")], bound: bound)
    }

    private func accept(_ request: HTTPRequest, _ response: HTTPResponse) throws(Failure) {
        guard response.status == 200 else { throw glance.failure(request, response) }
    }

    private func isNew(_ complaint: String) -> Bool { told.withLock { $0.count < Self.mostImages && $0.insert(complaint).inserted } }
}
