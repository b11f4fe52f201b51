public import ForecacheModel

/// What one message on the notification bus is to us.
public enum DecodedNotification: Hashable, Sendable {
    /// Any `image.*` event that names an image to look at again.
    case image(ImageEvent)
    /// Understood and not for us: `image.send`, a failed upload that names no image, other services' events.
    case irrelevant(type: String)
    /// Not understood: kept for a look. `reason` is safe to log and holds nothing of the body but its event type.
    case odd(reason: String)
}

/// Reads OpenStack notifications as oslo.messaging writes them (`serialize_msg`, `Notifier._notify`): the `messagingv2` envelope with the message as a
/// string inside, and the bare message of `messaging`.
///
/// No field but the event's type, its ids and the image's id is looked at. The whole text is checked all the same: a message that is not JSON is odd.
public enum NotificationDecoder {
    /// Arrays and objects inside each other. Glance's payloads have three levels; the bound keeps the scanner's recursion off the end of a thread's stack.
    static let maxDepth = 64
    /// Event types and ids are short words; what is longer is not one of oslo's.
    static let wordBytes = 255

    public static func decode(_ body: [UInt8], limits: Limits) -> DecodedNotification {
        guard body.count <= limits.messageBytes else { return .odd(reason: "larger than \(limits.messageBytes) bytes") }
        guard String(validating: body, as: UTF8.self) != nil else { return .odd(reason: "not UTF-8") }
        do throws(JSONScanner.Malformed) {
            return understand(try message(in: body))
        } catch {
            return .odd(reason: error.description)
        }
    }

    /// The message itself: out of its envelope, where it has one.
    private static func message(in body: [UInt8]) throws(JSONScanner.Malformed) -> Message {
        let (outer, envelope) = try Message.scan(body)
        // As oslo's `deserialize_msg`: only both keys together make an envelope.
        guard let version = envelope.version, let text = envelope.message else { return outer }
        guard version.hasPrefix("2.") else { throw .init(problem: "an oslo envelope of a version other than 2", offset: 0) }
        return try Message.scan(text).message
    }

    /// The bytes of the message itself, of a body that `decode` has understood.
    static func innerMessage(of body: [UInt8]) -> [UInt8] {
        // Understood before, so it scans again; a body that does not is its own message.
        guard let envelope = try? Message.scan(body).envelope, envelope.version != nil, let text = envelope.message else { return body }
        return text
    }

    private static func understand(_ message: Message) -> DecodedNotification {
        guard let type = message.eventType, isWord(type) else { return .odd(reason: "no event_type") }
        // One for every download, ours included: it says nothing new about the image.
        guard type.hasPrefix("image."), type != "image.send" else { return .irrelevant(type: type) }
        switch message.payload {
        case .absent: return .odd(reason: "\(type) without a payload")
        case .text(let text):
            // Failed uploads: a sentence instead of a record.
            guard let image = onlyImage(in: text) else { return .irrelevant(type: type) }
            return .image(event(message, image, type))
        case .record(let id, let imageID):
            // `image.member.*` are about a member of `image_id`; should one ever carry an `id`, it is the member's own.
            let text = type.hasPrefix("image.member.") ? imageID ?? id : id ?? imageID
            guard let text else { return .odd(reason: "\(type) names no image") }
            guard let image = ImageID(text) else { return .odd(reason: "\(type) names an image by something that is not a UUID") }
            return .image(event(message, image, type))
        }
    }

    private static func event(_ message: Message, _ image: ImageID, _ type: String) -> ImageEvent {
        let messageID = message.messageID.flatMap { isWord($0) ? $0 : nil } ?? message.uniqueID.flatMap { isWord($0) ? $0 : nil }
        return ImageEvent(image: image, type: type, messageID: messageID, publisher: message.publisherID.flatMap { isWord($0) ? $0 : nil })
    }

    /// Printable ASCII of bearable length: these go to logs, metrics and terminals.
    private static func isWord(_ text: String) -> Bool {
        (1...wordBytes).contains(text.utf8.count) && text.utf8.allSatisfy { (0x20...0x7e).contains($0) }
    }

    /// The one image UUID that a text names; nil where it names none or several.
    private static func onlyImage(in text: String) -> ImageID? {
        let words = text.split { !($0.isASCII && ($0.isHexDigit || $0 == "-")) }
        let images = Set(words.compactMap { ImageID(String($0)) })
        return images.count == 1 ? images.first : nil
    }
}

/// The fields of a notification that count, not yet believed.
private struct Message {
    enum Payload {
        case absent
        case text(String)
        case record(id: String?, imageID: String?)
    }

    var eventType: String?
    var messageID: String?
    var uniqueID: String?
    var publisherID: String?
    var payload = Payload.absent

    /// The outer layer of `messagingv2`; `message` is JSON again.
    struct Envelope {
        var version: String?
        var message: [UInt8]?
    }

    /// One pass over a whole text. Of a repeated key the last one counts, as in Python.
    static func scan(_ body: [UInt8]) throws(JSONScanner.Malformed) -> (message: Message, envelope: Envelope) {
        var message = Message()
        var envelope = Envelope()
        var scanner = JSONScanner(body, maxDepth: NotificationDecoder.maxDepth)
        try scanner.root { (scanner, key) throws(JSONScanner.Malformed) in
            if scanner.matches(key, "event_type") {
                message.eventType = try scanner.stringOrSkip()
            } else if scanner.matches(key, "message_id") {
                message.messageID = try scanner.stringOrSkip()
            } else if scanner.matches(key, "_unique_id") {
                message.uniqueID = try scanner.stringOrSkip()
            } else if scanner.matches(key, "publisher_id") {
                message.publisherID = try scanner.stringOrSkip()
            } else if scanner.matches(key, "payload") {
                message.payload = try payload(&scanner)
            } else if scanner.matches(key, "oslo.version") {
                envelope.version = try scanner.stringOrSkip()
            } else if scanner.matches(key, "oslo.message") {
                envelope.message = try scanner.unescapedOrSkip()
            } else {
                try scanner.skipValue()
            }
        }
        return (message, envelope)
    }

    private static func payload(_ scanner: inout JSONScanner) throws(JSONScanner.Malformed) -> Payload {
        switch scanner.next {
        case UInt8(ascii: "\""): return try scanner.stringOrSkip().map(Payload.text) ?? .absent
        case UInt8(ascii: "{"):
            var id: String?
            var imageID: String?
            try scanner.object { (scanner, key) throws(JSONScanner.Malformed) in
                if scanner.matches(key, "id") {
                    id = try scanner.stringOrSkip()
                } else if scanner.matches(key, "image_id") {
                    imageID = try scanner.stringOrSkip()
                } else {
                    try scanner.skipValue()
                }
            }
            return .record(id: id, imageID: imageID)
        default:
            try scanner.skipValue()
            return .absent
        }
    }
}
