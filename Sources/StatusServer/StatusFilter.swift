import Engine
import ForecacheModel
import Foundation
import Hummingbird
import HummingbirdCore

/// `?image=ID`, `?site=NAME` and, for the page, `?after=ID`.
struct StatusFilter: Sendable {
    var image: ImageID?
    var site: SiteName?
    var after: ImageID?
    /// Set where a parameter cannot be understood.
    var problem: String?

    init(_ uri: URI) {
        for (key, value) in uri.queryParameters {
            switch String(key) {
            case "image": image = id(String(value), "image")
            case "after": after = id(String(value), "after")
            case "site": site = value.isEmpty ? nil : SiteName(String(value))
            default: problem = "unknown parameter: there are image, site and after\n"
            }
        }
    }

    private mutating func id(_ text: String, _ name: String) -> ImageID? {
        guard !text.isEmpty else { return nil }
        guard let id = ImageID(text) else {
            problem = "\(name) is not an image's UUID\n"
            return nil
        }
        return id
    }

    /// The whole report, written image by image: what is in memory is one page of image names and the placements of one image.
    func write(_ source: StatusSource, to writer: inout any ResponseBodyWriter) async throws {
        let now = source.now()
        try await writer.write(ByteBuffer(string: "{\"images\":["))
        var isFirst = true
        var last = after
        while let page = try await images(source.ledger, after: last) {
            for image in page {
                let placements = try await placements(source.ledger, image.id, at: now)
                guard !placements.isEmpty else { continue }
                var buffer = ByteBuffer(string: isFirst ? "" : ",")
                let shown = StatusImage(id: image.id, name: image.name, placements: placements)
                buffer.writeString(try ContractJSON.text(shown, pretty: false, keys: .useDefaultKeys))
                try await writer.write(buffer)
                isFirst = false
            }
            guard image == nil else { break }
            last = page.last?.id
        }
        var tail = ByteBuffer(string: "],\"notifications\":")
        tail.writeString(try ContractJSON.text(StatusNotifications(source.counters()), pretty: false))
        tail.writeString(",\"policy\":")
        tail.writeString(try ContractJSON.text(StatusPolicy(source.counters().reload), pretty: false))
        tail.writeString(",\"queue\":")
        let queue = StatusQueue(
            length: try await source.ledger.workCount(), nextDueAt: try await source.ledger.nextWorkDue())
        tail.writeString(try ContractJSON.text(queue, pretty: false))
        tail.writeString("}\n")
        try await writer.write(tail)
    }

    /// About `limit` rows for the page, whole images.
    func firstRows(of ledger: any Ledger, at now: Date, limit: Int) async throws(Failure) -> (
        images: [StatusImage], hasMore: Bool
    ) {
        var shown: [StatusImage] = []
        var (rows, last) = (0, after)
        while let page = try await images(ledger, after: last) {
            for image in page {
                guard rows < limit else { return (shown, true) }
                let placements = try await placements(ledger, image.id, at: now)
                guard !placements.isEmpty else { continue }
                shown.append(StatusImage(id: image.id, name: image.name, placements: placements))
                rows += placements.count
            }
            guard image == nil else { break }
            last = page.last?.id
        }
        return (shown, false)
    }

    /// Nil at the end.
    private func images(_ ledger: any Ledger, after last: ImageID?) async throws(Failure)
        -> [LedgerImage]?
    {
        guard let image else {
            let page = try await ledger.images(after: last, limit: 100)
            return page.isEmpty ? nil : page
        }
        return try await ledger.images(after: image.predecessor, limit: 1).filter { $0.id == image }
    }

    private func placements(_ ledger: any Ledger, _ image: ImageID, at now: Date)
        async throws(Failure) -> [StatusPlacement]
    {
        try await ledger.placements(of: image).filter { site == nil || $0.site == site }.map {
            StatusPlacement($0, at: now)
        }
    }
}

extension ImageID {
    /// The id right before this one, so that a page of one begins with this; nil before the first.
    var predecessor: ImageID? {
        var digits = Array(text.utf8)
        for index in digits.indices.reversed() where digits[index] != UInt8(ascii: "-") {
            switch digits[index] {
            case UInt8(ascii: "0"):
                digits[index] = UInt8(ascii: "f")
                continue
            case UInt8(ascii: "a"): digits[index] = UInt8(ascii: "9")
            default: digits[index] -= 1
            }
            return ImageID(String(decoding: digits, as: UTF8.self))
        }
        return nil
    }
}
