/// The ids of the last messages, so that a redelivered one is not worked on twice. A window, not a memory: what fell out of it is new again, which costs a
/// second look at an image and nothing else.
public struct RecentMessages: Sendable {
    private let capacity: Int
    private var ids: Set<String> = []
    /// The same ids in order of arrival; once full, `oldest` is the next to go.
    private var ring: [String] = []
    private var oldest = 0

    /// - Parameter capacity: ids remembered. The default is far above any prefetch and costs about 1 MiB.
    public init(capacity: Int = 8192) {
        precondition(capacity > 0, "a window of no messages")
        self.capacity = capacity
    }

    /// True the first time that an id comes by within the window.
    public mutating func isNew(_ id: String) -> Bool {
        guard ids.insert(id).inserted else { return false }
        if ring.count < capacity {
            ring.append(id)
        } else {
            ids.remove(ring[oldest])
            ring[oldest] = id
            oldest = (oldest + 1) % capacity
        }
        return true
    }
}
