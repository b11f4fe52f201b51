import Foundation

/// Notifications as Glance 25 sends them through oslo's `messagingv2` driver: the same envelope, keys and sizes, made up in number.
enum ImageNotifications {
    /// What one upload sends, in order.
    private static let upload: [(event: String, status: String)] = [
        ("image.create", "queued"), ("image.update", "saving"), ("image.prepare", "saving"), ("image.upload", "active"),
        ("image.activate", "active"), ("image.update", "active"),
    ]

    /// `count` notifications of as many uploads as that takes.
    static func uploads(count: Int) -> [[UInt8]] {
        var bodies: [[UInt8]] = []
        bodies.reserveCapacity(count)
        var image = ""
        for index in 0..<count {
            let step = upload[index % upload.count]
            if index % upload.count == 0 { image = UUID().uuidString.lowercased() }
            bodies.append(body(image: image, index: index, event: step.event, status: step.status))
        }
        return bodies
    }

    /// One notification about an image whose id begins with the moment: both sides can tell how long ago that was without looking at anything else.
    static func stamped(index: Int) -> [UInt8] {
        let digits = String(format: "%016llx%016llx", UInt64(Moment.microseconds), UInt64(index))
        let ends = [8, 12, 16, 20, 32]
        let parts = zip([0] + ends, ends).map { String(digits.dropFirst($0).prefix($1 - $0)) }
        return body(image: parts.joined(separator: "-"), index: index, event: "image.update", status: "active")
    }

    private static func body(image: String, index: Int, event: String, status: String) -> [UInt8] {
        let unique = { UUID().uuidString.lowercased() }
        let second = String(format: "%02d", index % 60)
        let message = """
            {"message_id": "\(unique())", "publisher_id": "image.central-controller0-0", "event_type": "\(event)", "priority": "INFO", \
            "payload": {"id": "\(image)", "name": "ubuntu-24.04-build-\(index)", "status": "\(status)", \
            "created_at": "2026-11-22T16:10:\(second)Z", "updated_at": "2026-11-22T16:10:\(second)Z", "min_disk": 0, "min_ram": 0, \
            "protected": false, "checksum": "bc4e4643f29109968689ddf3747ab110", "owner": "b68b6bf0afa64c738201d9d6a94d3ad1", \
            "disk_format": "qcow2", "container_format": "bare", "size": 1048576, "virtual_size": null, "is_public": false, \
            "visibility": "shared", "properties": {"hw_disk_bus": "virtio", "os_distro": "ubuntu"}, "tags": ["t\(index % 500)", "amd64"], \
            "deleted": false, "deleted_at": null}, "timestamp": "2026-11-22 16:10:\(second).055805", \
            "_unique_id": "\(unique().filter { $0 != "-" })"}
            """
        let escaped = message.replacingOccurrences(of: "\"", with: "\\\"")
        return Array("{\"oslo.version\": \"2.0\", \"oslo.message\": \"\(escaped)\"}".utf8)
    }
}

/// The machine's wall clock, which publisher, forecache and peer share.
enum Moment {
    static var microseconds: Int64 { Int64(Date().timeIntervalSince1970 * 1e6) }

    /// Microseconds since the moment with which this image id begins; nil where it begins with none.
    static func microseconds(sinceStampIn image: String) -> Int64? {
        Int64(image.filter { $0 != "-" }.prefix(16), radix: 16).map { microseconds - $0 }
    }
}
