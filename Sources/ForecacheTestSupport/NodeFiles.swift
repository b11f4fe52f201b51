import Engine
import ForecacheModel
import FoundationEssentials

/// The base files of a simulated node, in the order in which they came. Simulations touch them by the million, mostly in that order: then nothing is searched.
struct NodeFiles {
    struct File {
        var name: BaseFileName
        var bytes: Int64
        var touchedAt: Date
    }

    private(set) var files: [File] = []
    private var slots: [BaseFileName: Int] = [:]

    subscript(name: BaseFileName) -> File? { slots[name].map { files[$0] } }

    /// Replaces what lies there under this name.
    mutating func put(_ name: BaseFileName, bytes: Int64, at now: Date) {
        let file = File(name: name, bytes: bytes, touchedAt: now)
        guard let slot = slots[name] else {
            slots[name] = files.count
            return files.append(file)
        }
        files[slot] = file
    }

    mutating func touch(_ names: [BaseFileName], at now: Date) -> [BaseFileName: Touch] {
        var answers = [BaseFileName: Touch](minimumCapacity: names.count)
        var next = 0
        for name in names {
            let isNext = next < files.count && files[next].name == name
            guard let slot = isNext ? next : slots[name] else {
                answers[name] = .missing
                continue
            }
            files[slot].touchedAt = now
            answers[name] = .touched(bytes: files[slot].bytes)
            next = slot + 1
        }
        return answers
    }

    /// Those that are gone now.
    mutating func remove(where isRemoved: (File) -> Bool) -> [File] {
        guard files.contains(where: isRemoved) else { return [] }
        let removed = files.filter(isRemoved)
        files.removeAll(where: isRemoved)
        slots = Dictionary(files.enumerated().map { ($1.name, $0) }) { first, _ in first }
        return removed
    }
}
