import FoundationEssentials

/// When each host is due next, soonest first: a binary heap in which outdated entries stay until they come to the top.
struct RefreshCalendar {
    private var heap: [(at: Date, host: Int)] = []
    private var known: [Int: Date] = [:]

    mutating func set(_ host: Int, _ at: Date?) {
        guard known[host] != at else { return }
        known[host] = at
        if let at { push((at, host)) }
    }

    var next: Date? {
        mutating get {
            dropOutdated()
            return heap.first?.at
        }
    }

    /// Hosts due at `now`; they stay in the calendar.
    mutating func due(at now: Date) -> [Int] {
        var due: [(at: Date, host: Int)] = []
        dropOutdated()
        while let first = heap.first, first.at <= now {
            if !due.contains(where: { $0.at == first.at && $0.host == first.host }) { due.append(first) }
            pop()
            dropOutdated()
        }
        for entry in due { push(entry) }
        return due.map(\.host)
    }

    private mutating func dropOutdated() {
        while let first = heap.first, known[first.host] != first.at { pop() }
    }

    private mutating func push(_ entry: (at: Date, host: Int)) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0, heap[child].at < heap[(child - 1) / 2].at {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() {
        guard let last = heap.popLast(), !heap.isEmpty else { return }
        heap[0] = last
        var parent = 0
        while true {
            var least = 2 * parent + 1
            guard least < heap.count else { return }
            if least + 1 < heap.count, heap[least + 1].at < heap[least].at { least += 1 }
            guard heap[least].at < heap[parent].at else { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
