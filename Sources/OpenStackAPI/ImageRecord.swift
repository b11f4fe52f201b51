import ForecacheModel
import Foundation

/// A Glance v2 image as JSON. Custom properties lie beside the schema's own keys, so every other key with a text is one.
/// Source: Glance's `api/v2/images.py` (`ResponseSerializer._format_image`, `_get_base_properties`).
struct ImageRecord: Decodable {
    let facts: ImageFacts
    /// Why the digest that Glance has is not the one in `facts`; nil where it is, or where Glance has none.
    let digestProblem: String?

    /// A tenant chooses these, so one image must not be able to fill the controller's memory.
    static let mostTags = 1000
    static let mostProperties = 1000
    static let mostStringBytes = 64 << 10
    /// Tags and properties of one image in all: a long list of images is kept as it is.
    static let mostOwnBytes = 256 << 10

    fileprivate struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        func text(_ name: String) throws -> String? {
            guard let text = try fields.decodeIfPresent(String.self, forKey: Key(stringValue: name)) else { return nil }
            guard text.utf8.count <= Self.mostStringBytes else { throw Refusal("'\(name)' is longer than \(Self.mostStringBytes) bytes") }
            return text
        }
        func number(_ name: String) throws -> Int64? { try fields.decodeIfPresent(Int64.self, forKey: Key(stringValue: name)) }
        func flag(_ name: String) throws -> Bool { try fields.decodeIfPresent(Bool.self, forKey: Key(stringValue: name)) ?? false }
        func moment(_ name: String) throws -> Date {
            guard let date = Timestamp.date(try text(name) ?? "") else { throw Refusal("'\(name)' is not a time") }
            return date
        }
        guard let id = ImageID(try text("id") ?? "") else { throw Refusal("'id' is not a UUID") }
        let tags = try fields.decodeIfPresent([String].self, forKey: Key(stringValue: "tags")) ?? []
        guard tags.count <= Self.mostTags else { throw Refusal("more than \(Self.mostTags) tags") }
        guard tags.allSatisfy({ $0.utf8.count <= Self.mostStringBytes }) else {
            throw Refusal("a tag is longer than \(Self.mostStringBytes) bytes")
        }
        var properties: [String: String] = [:]
        for key in fields.allKeys where !ImageAttribute.has(key.stringValue) {
            // Only texts are properties; anything else is a key that a newer Glance has of its own.
            guard let value = try? fields.decode(String.self, forKey: key) else { continue }
            guard max(value.utf8.count, key.stringValue.utf8.count) <= Self.mostStringBytes else {
                throw Refusal("a property is longer than \(Self.mostStringBytes) bytes")
            }
            properties[key.stringValue] = value
        }
        guard properties.count <= Self.mostProperties else { throw Refusal("more than \(Self.mostProperties) properties") }
        let ownBytes = tags.reduce(0) { $0 + $1.utf8.count } + properties.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        guard ownBytes <= Self.mostOwnBytes else { throw Refusal("tags and properties are longer than \(Self.mostOwnBytes) bytes in all") }
        let (digest, digestProblem) = Self.digest(
            algorithm: try text("os_hash_algo"), value: try text("os_hash_value"), md5: try text("checksum"))
        self.digestProblem = digestProblem
        facts = ImageFacts(
            id: id, name: try text("name") ?? "", status: ImageStatus(glance: try text("status") ?? ""),
            visibility: try text("visibility") ?? "private", owner: try text("owner"), diskFormat: try text("disk_format"),
            containerFormat: try text("container_format"), sizeBytes: try Self.amount(number("size")),
            virtualSizeBytes: try Self.amount(number("virtual_size")), minDiskGiB: try number("min_disk") ?? 0,
            minRAMMiB: try number("min_ram") ?? 0,
            digest: digest, isHidden: try flag("os_hidden"), isProtected: try flag("protected"), tags: tags, properties: properties,
            createdAt: try moment("created_at"), updatedAt: try moment("updated_at"))
    }

    private static func amount(_ bytes: Int64?) throws -> Int64? {
        if let bytes, bytes < 0 { throw Refusal("a size is negative") }
        return bytes
    }

    /// The multihash where there is one that we can check, else the old md5.
    private static func digest(algorithm: String?, value: String?, md5: String?) -> (Digest?, problem: String?) {
        let old = md5.flatMap { Digest(.md5, hex: $0) }
        guard let algorithm, let value else { return (old, nil) }
        guard let known = DigestAlgorithm(rawValue: algorithm.lowercased()) else {
            return (old, "os_hash_algo is '\(Printable.text(Array(algorithm.utf8), limit: 40))', which is not known here")
        }
        guard let digest = Digest(known, hex: value) else {
            return (old, "os_hash_value is not the hexadecimal text of a \(known.rawValue)")
        }
        return (digest, nil)
    }

    /// Why a record is not taken.
    struct Refusal: Error, CustomStringConvertible {
        var description: String

        init(_ description: String) { self.description = description }
    }

    /// Reads one record; the error is fit for a message.
    static func read(_ body: [UInt8]) throws(Refusal) -> ImageRecord {
        do { return try JSONDecoder().decode(ImageRecord.self, from: Data(body)) } catch { throw Refusal(reading: error) }
    }
}

extension ImageRecord.Refusal {
    init(reading error: any Error) {
        switch error {
        case let refusal as ImageRecord.Refusal: self = refusal
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
            DecodingError.keyNotFound(_, let context):
            let path = Printable.text(Array(context.codingPath.map(\.stringValue).joined(separator: ".").utf8), limit: 80)
            self.init("'\(path)' is not of the expected kind")
        default: self.init("not readable as JSON")
        }
    }
}

/// One page of `GET /v2/images`. A record that cannot be read is left out and said: one tenant's odd image must not hide all the others.
struct ImagePage: Decodable {
    var images: [ImageFacts] = []
    var refused: [String] = []
    /// Path and query of the next page.
    var next: String?

    private enum Keys: String, CodingKey { case images, next }

    private struct Item: Decodable {
        var result: Result<ImageFacts, ImageRecord.Refusal>

        init(from decoder: any Decoder) {
            do { result = .success(try ImageRecord(from: decoder).facts) } catch {
                let refusal = ImageRecord.Refusal(reading: error)
                // What has no id has no name to be told by, and the reason stands alone.
                let text = try? decoder.container(keyedBy: ImageRecord.Key.self).decode(String.self, forKey: .init(stringValue: "id"))
                let id = text.flatMap { ImageID($0) }
                result = .failure(id.map { ImageRecord.Refusal("image \($0): \(refusal)") } ?? refusal)
            }
        }
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Keys.self)
        next = try fields.decodeIfPresent(String.self, forKey: .next)
        for item in try fields.decode([Item].self, forKey: .images) {
            switch item.result {
            case .success(let facts): images.append(facts)
            case .failure(let refusal): refused.append(refusal.description)
            }
        }
    }

    static func read(_ body: [UInt8]) throws(ImageRecord.Refusal) -> ImagePage {
        do { return try JSONDecoder().decode(ImagePage.self, from: Data(body)) } catch { throw ImageRecord.Refusal(reading: error) }
    }
}
