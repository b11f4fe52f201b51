public import ForecacheModel

/// What Nova tells about one pre-caching request while it works on it: `aggregate.cache_images.progress` and `.end`.
///
/// Source: Nova's `conductor/manager.py` (`cache_images`) and `notifications/objects/aggregate.py` (`AggregateCachePayload`, `AggregatePayload`).
public struct CachingReport: Hashable, Sendable {
    public enum News: Hashable, Sendable {
        /// One host is done. `cached` has what is there now, whether fetched or there before; `failed` all else: errors, a host that is down, a driver that
        /// has no cache. Nova does not say which.
        case host(String, cached: Set<ImageID>, failed: Set<ImageID>)
        /// No host says anything any more: those that have not are those whose nova-compute did not answer Nova.
        case end
    }

    /// The aggregate's UUID, as Nova writes it.
    public var aggregate: String
    /// `req-…` of the request that was answered with it; nil where Nova does not say.
    public var request: String?
    public var news: News

    public init(aggregate: String, request: String?, news: News) {
        self.aggregate = aggregate
        self.request = request
        self.news = news
    }

    /// Nil for every other notification, and for what is not one.
    public static func decode(_ body: [UInt8], limits: Limits) -> CachingReport? {
        guard body.count <= limits.messageBytes, String(validating: body, as: UTF8.self) != nil else { return nil }
        do throws(JSONScanner.Malformed) {
            let (outer, inner) = try Fields.scan(body)
            guard let inner else { return outer.report }
            return try Fields.scan(inner).fields.report
        } catch {
            return nil
        }
    }
}

/// The fields that count, not yet believed.
private struct Fields {
    var eventType: String?
    var request: String?
    var aggregate: String?
    var host: String?
    var cached: [String] = []
    var failed: [String] = []

    var report: CachingReport? {
        guard let aggregate, let eventType else { return nil }
        switch eventType {
        case "aggregate.cache_images.progress":
            guard let host, !host.isEmpty, host.utf8.count <= NotificationDecoder.wordBytes else { return nil }
            let news = CachingReport.News.host(
                host, cached: Set(cached.compactMap { ImageID($0) }), failed: Set(failed.compactMap { ImageID($0) }))
            return CachingReport(aggregate: aggregate, request: request, news: news)
        case "aggregate.cache_images.end": return CachingReport(aggregate: aggregate, request: request, news: .end)
        default: return nil
        }
    }

    /// One pass over a whole text; `inner` is the message where this was its envelope.
    static func scan(_ body: [UInt8]) throws(JSONScanner.Malformed) -> (fields: Fields, inner: [UInt8]?) {
        var fields = Fields()
        var inner: [UInt8]?
        var scanner = JSONScanner(body, maxDepth: NotificationDecoder.maxDepth)
        try scanner.root { (scanner, key) throws(JSONScanner.Malformed) in
            if scanner.matches(key, "event_type") {
                fields.eventType = try scanner.stringOrSkip()
            } else if scanner.matches(key, "_context_request_id") {
                fields.request = try scanner.stringOrSkip()
            } else if scanner.matches(key, "payload") {
                try fields.payload(&scanner)
            } else if scanner.matches(key, "oslo.message") {
                inner = try scanner.unescapedOrSkip()
            } else {
                try scanner.skipValue()
            }
        }
        return (fields, inner)
    }

    /// Versioned objects keep their fields in `nova_object.data`.
    private mutating func payload(_ scanner: inout JSONScanner) throws(JSONScanner.Malformed) {
        guard scanner.next == UInt8(ascii: "{") else { return try scanner.skipValue() }
        var fields = self
        try scanner.object { (scanner, key) throws(JSONScanner.Malformed) in
            guard scanner.matches(key, "nova_object.data"), scanner.next == UInt8(ascii: "{") else { return try scanner.skipValue() }
            try scanner.object { (scanner, key) throws(JSONScanner.Malformed) in
                if scanner.matches(key, "uuid") {
                    fields.aggregate = try scanner.stringOrSkip()
                } else if scanner.matches(key, "host") {
                    fields.host = try scanner.stringOrSkip()
                } else if scanner.matches(key, "images_cached") {
                    fields.cached = try scanner.stringsOrSkip() ?? []
                } else if scanner.matches(key, "images_failed") {
                    fields.failed = try scanner.stringsOrSkip() ?? []
                } else {
                    try scanner.skipValue()
                }
            }
        }
        self = fields
    }
}
