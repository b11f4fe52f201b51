import FoundationEssentials

/// When each host is due next, soonest first: a binary heap that knows where each host stands in it.
struct RefreshCalendar {
    private var heap: [(at: Date, host: Int)] = []
    /// By host; -1 where it is not in the heap.
    private var places: [Int] = []

    var next: Date? { heap.first?.at }

    /// Nil: it is due no more.
    mutating func set(_ host: Int, _ at: Date?) {
        while places.count <= host { places.append(-1) }
        switch (places[host], at) {
        case (-1, nil): return
        case (-1, let at?):
            heap.append((at, host))
            places[host] = heap.count - 1
            move(heap.count - 1)
        case (let place, nil):
            let last = heap.removeLast()
            places[host] = -1
            guard last.host != host else { return }
            heap[place] = last
            move(place)
        case (let place, let at?):
            heap[place].at = at
            move(place)
        }
    }

    /// Hosts due at `now`, in no order.
    func due(at now: Date) -> [Int] {
        var due: [Int] = []
        // Below one that is not due nobody is.
        var open = [0]
        while let place = open.popLast() {
            guard place < heap.count, heap[place].at <= now else { continue }
            due.append(heap[place].host)
            open += [2 * place + 1, 2 * place + 2]
        }
        return due
    }

    /// Up or down to where it belongs.
    private mutating func move(_ from: Int) {
        let entry = heap[from]
        var place = from
        while place > 0, entry.at < heap[(place - 1) / 2].at {
            put(heap[(place - 1) / 2], at: place)
            place = (place - 1) / 2
        }
        while true {
            var least = 2 * place + 1
            if least + 1 < heap.count, heap[least + 1].at < heap[least].at { least += 1 }
            guard least < heap.count, heap[least].at < entry.at else { break }
            put(heap[least], at: place)
            place = least
        }
        put(entry, at: place)
    }

    private mutating func put(_ entry: (at: Date, host: Int), at place: Int) {
        heap[place] = entry
        places[entry.host] = place
    }
}
