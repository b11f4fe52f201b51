public import ForecacheModel
import FoundationEssentials

/// What a notification's payload says about its image: for a replay only. The service never decides from it, it asks Glance.
public struct PayloadFacts: Hashable, Sendable {
    public var facts: ImageFacts
    /// Glance's names of fields that the payload does not have, so that a decision from it may be another one than from Glance's record.
    public var unknownFields: [String]

    /// Glance's notifications never have these (`glance/notifier.py`, `format_image_notification`).
    private static let neverSent = ["os_hidden", "os_hash_algo", "os_hash_value"]
    private static let sent = [
        "id", "name", "status", "created_at", "updated_at", "min_disk", "min_ram", "protected", "checksum", "owner", "disk_format",
        "container_format", "size", "virtual_size", "visibility", "properties", "tags",
    ]

    /// Nil where the message has no record of an image: a failed upload's sentence, or a member's event.
    public static func read(_ body: [UInt8], limits: Limits) -> PayloadFacts? {
        // The scanner has bounded depth and size by then, which the decoders of Foundation do not.
        guard case .image(let event) = NotificationDecoder.decode(body, limits: limits), !event.type.hasPrefix("image.member.") else {
            return nil
        }
        let bytes = NotificationDecoder.innerMessage(of: body)
        // Not the record that Glance sends: there is nothing to decide on, and the caller says so.
        guard let record = try? JSONDecoder().decode(Message.self, from: Data(bytes)).payload else { return nil }
        return PayloadFacts(
            facts: record.facts(of: event.image), unknownFields: neverSent + sent.filter { !record.fields.contains($0) })
    }

    private struct Message: Decodable {
        var payload: Record
    }

    private struct Record: Decodable {
        var fields: Set<String> = []
        private var texts: [String: String] = [:]
        private var numbers: [String: Int64] = [:]
        private var isProtected = false
        private var tags: [String] = []
        private var properties: [String: String] = [:]

        private struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }

            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            // `try?`: a field of another kind than Glance's counts as null, as in a record that is shown and not obeyed.
            for key in container.allKeys where PayloadFacts.sent.contains(key.stringValue) {
                let name = key.stringValue
                fields.insert(name)
                if name == "tags" {
                    tags = (try? container.decode([String].self, forKey: key)) ?? []
                } else if name == "properties" {
                    // Glance has texts only; what else a publisher puts there is no property.
                    let all = try? container.decode([String: Property].self, forKey: key)
                    properties = (all ?? [:]).compactMapValues(\.text)
                } else if name == "protected" {
                    isProtected = (try? container.decode(Bool.self, forKey: key)) ?? false
                } else if let number = try? container.decode(Int64.self, forKey: key) {
                    numbers[name] = number
                } else if let text = try? container.decode(String.self, forKey: key) {
                    texts[name] = text
                }
            }
        }

        private struct Property: Decodable {
            var text: String?

            init(from decoder: any Decoder) throws { text = try? decoder.singleValueContainer().decode(String.self) }
        }

        func facts(of id: ImageID) -> ImageFacts {
            let size = { (name: String) in numbers[name].flatMap { $0 >= 0 ? $0 : nil } }
            let moment = { (name: String) in texts[name].flatMap { try? Date($0, strategy: .iso8601) } ?? .distantPast }
            return ImageFacts(
                id: id, name: texts["name"] ?? "", status: ImageStatus(glance: texts["status"] ?? ""),
                visibility: texts["visibility"] ?? "private", owner: texts["owner"], diskFormat: texts["disk_format"],
                containerFormat: texts["container_format"], sizeBytes: size("size"), virtualSizeBytes: size("virtual_size"),
                minDiskGiB: numbers["min_disk"] ?? 0, minRAMMiB: numbers["min_ram"] ?? 0,
                digest: texts["checksum"].flatMap { Digest(.md5, hex: $0) }, isProtected: isProtected, tags: tags, properties: properties,
                createdAt: moment("created_at"), updatedAt: moment("updated_at"))
        }
    }
}
