import Engine
import ForecacheModel
import FoundationEssentials
import Glibc

/// A file of notifications as they came, one JSON object a line: `received_at`, `exchange`, `routing_key` and `body`, or `body_base64` where it is no text.
public final class EventRecord: Sendable {
    private let path: String
    private let descriptor: Int32

    /// Appends to the file; a new one is for its owner only. Throws `.failed` where it cannot be written.
    public init(_ path: String) throws(Refusal) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .failed(Self.failure(path)) }
    }

    deinit { close(descriptor) }

    /// In the file when it returns: what was shown is recorded.
    func append(_ delivery: Delivery, receivedAt: Date) throws(Failure) {
        let line: String
        do {
            line = try ContractJSON.text(RecordedEvent(delivery, receivedAt: receivedAt), pretty: false) + "\n"
        } catch {
            throw Failure(.permanent, "a notification could not be written as JSON", cause: "\(error)")
        }
        var rest = Array(line.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(path) }
            rest = rest.dropFirst(count)
        }
    }

    private static func failure(_ path: String) -> Failure {
        Failure(.permanent, "cannot write \(path)", cause: String(cString: strerror(errno)))
    }
}

/// One line of the file.
struct RecordedEvent: Codable, Sendable {
    var receivedAt: Date
    var exchange: String
    var routingKey: String
    var body: String?
    var bodyBase64: String?

    init(_ delivery: Delivery, receivedAt: Date) {
        self.receivedAt = receivedAt
        exchange = delivery.exchange
        routingKey = delivery.routingKey
        body = String(validating: delivery.body, as: UTF8.self)
        if body == nil { bodyBase64 = Data(delivery.body).base64EncodedString() }
    }

    /// Throws a sentence where the line is none of ours.
    static func read(_ line: [UInt8]) throws(Failure) -> (event: RecordedEvent, body: [UInt8]) {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        decoder.dateDecodingStrategy = .iso8601
        // Where exactly the decoder stumbled helps nobody.
        guard let event = try? decoder.decode(RecordedEvent.self, from: Data(line)) else {
            throw Failure(.permanent, "not a line that 'events --record' writes (received_at, exchange, routing_key, body)")
        }
        if let body = event.body { return (event, Array(body.utf8)) }
        guard let body = event.bodyBase64.flatMap({ Data(base64Encoded: $0) }) else { throw Failure(.permanent, "the line has no body") }
        return (event, [UInt8](body))
    }
}
