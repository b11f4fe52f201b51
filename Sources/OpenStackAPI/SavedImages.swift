public import ForecacheModel
import Foundation

/// Images that somebody saved as JSON: for a look without Glance.
public struct SavedImages: Hashable, Sendable {
    public var images: [ImageFacts] = []
    /// What the file cannot tell, and what in it was passed over.
    public var notes: [String] = []

    /// Understands `openstack image list --long -f json`, Glance's own answer to `GET /v2/images` (`{"images":[…]}`), a list of Glance's records, and one record.
    /// Throws `.permanent` where the text is none of these; `file` names it in the message.
    public static func read(_ text: String, file: String) throws(Failure) -> SavedImages {
        let data = Data(text.utf8)
        let problem: String
        do {
            let decoder = JSONDecoder()
            switch try decoder.decode(Shape.self, from: data) {
            case .page: return SavedImages(page: try decoder.decode(ImagePage.self, from: data), file: file)
            case .records(let items): return SavedImages(items, file: file)
            case .record: return SavedImages(images: [try decoder.decode(ImageRecord.self, from: data).facts])
            }
        } catch let failure as ImageRecord.Refusal {
            problem = failure.description
        } catch {
            problem = ImageRecord.Refusal(reading: error).description
        }
        throw Failure(
            .permanent,
            "\(file) holds no images: give what 'openstack image list --long -f json' or Glance's GET /v2/images answered: \(problem)")
    }

    private init(images: [ImageFacts]) { self.images = images }

    private init(page: ImagePage, file: String) {
        images = page.images
        notes = page.refused.prefix(10).map { "\(file): an image is passed over: \($0)" }
        if page.next != nil { notes.append("\(file) is one page of several: the images of the others are missing") }
    }

    private init(_ items: [Item], file: String) {
        var hasListed = false
        for (index, item) in items.enumerated() {
            switch item {
            case .glance(let facts): images.append(facts)
            case .listed(let facts):
                images.append(facts)
                hasListed = true
            case .refused(let why): if notes.count < 10 { notes.append("\(file): image \(index + 1) is passed over: \(why)") }
            }
        }
        if hasListed {
            notes.append(
                "\(file) is a list of openstack's: it has no properties, no creation time and not whether an image is hidden, so rules see none of these; Glance's own JSON has them"
            )
        }
    }

    /// Which of the forms a text has.
    private enum Shape: Decodable {
        case page
        case records([Item])
        case record

        private enum Keys: String, CodingKey { case images, id }

        init(from decoder: any Decoder) throws {
            if let list = try? decoder.singleValueContainer().decode([Item].self) {
                self = .records(list)
                return
            }
            let keys = try decoder.container(keyedBy: Keys.self)
            self = keys.contains(.images) ? .page : .record
        }
    }

    /// One entry of a list.
    private enum Item: Decodable {
        case glance(ImageFacts)
        case listed(ImageFacts)
        case refused(String)

        init(from decoder: any Decoder) throws {
            // An entry that cannot be read must not hide the others: each has its own answer.
            if let row = try? ListedImage(from: decoder) {
                self = row.facts.map(Item.listed) ?? .refused("'ID' is not a UUID")
                return
            }
            do { self = .glance(try ImageRecord(from: decoder).facts) } catch {
                self = .refused(ImageRecord.Refusal(reading: error).description)
            }
        }
    }
}

/// A row of `openstack image list --long -f json`, under python-openstackclient's own headings (openstackclient/image/v2/image.py, `ListImage`).
private struct ListedImage: Decodable {
    let facts: ImageFacts?

    private enum Keys: String, CodingKey {
        case id = "ID"
        case name = "Name"
        case diskFormat = "Disk Format"
        case containerFormat = "Container Format"
        case size = "Size"
        case checksum = "Checksum"
        case status = "Status"
        case visibility = "Visibility"
        case protected = "Protected"
        case project = "Project"
        case owner = "Owner"
        case tags = "Tags"
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Keys.self)
        guard let id = ImageID(try fields.decode(String.self, forKey: .id)) else {
            facts = nil
            return
        }
        // Anything that is not there, or not what it is in today's client, counts as not known.
        func text(_ key: Keys) -> String? { try? fields.decode(String.self, forKey: key) }
        let list = try? fields.decode([String].self, forKey: .tags)
        let tags = list ?? text(.tags).map { $0.split(separator: ",").map(Self.trimmed) } ?? []
        let size = try? fields.decode(Int64.self, forKey: .size)
        facts = ImageFacts(
            id: id, name: text(.name) ?? "", status: ImageStatus(glance: text(.status) ?? ""), visibility: text(.visibility) ?? "private",
            owner: text(.project) ?? text(.owner), diskFormat: text(.diskFormat), containerFormat: text(.containerFormat),
            sizeBytes: size.flatMap { $0 >= 0 ? $0 : nil }, digest: text(.checksum).flatMap { Digest(.md5, hex: $0) },
            isProtected: (try? fields.decode(Bool.self, forKey: .protected)) ?? false, tags: tags.filter { !$0.isEmpty })
    }

    private static func trimmed(_ text: Substring) -> String { text.trimmingCharacters(in: .whitespaces) }
}
