/// How far the transfer of an image to a host is.
public struct TransferProgress: Hashable, Sendable, Encodable {
    /// `glance`, or the name of the host that the bytes come from.
    public var source: String
    /// What lies on the host by now, bytes of an earlier try included.
    public var receivedBytes: Int64
    /// The image's size.
    public var totalBytes: Int64

    public init(source: String, receivedBytes: Int64, totalBytes: Int64) {
        self.source = source
        self.receivedBytes = receivedBytes
        self.totalBytes = totalBytes
    }

    /// Whole percent, 0…100; a hundred where there is nothing to receive.
    public var percent: Int {
        totalBytes > 0 ? Int(Double(max(0, min(receivedBytes, totalBytes))) / Double(totalBytes) * 100) : 100
    }

    enum CodingKeys: String, CodingKey {
        case source
        case receivedBytes = "received_bytes"
        case totalBytes = "total_bytes"
    }
}
