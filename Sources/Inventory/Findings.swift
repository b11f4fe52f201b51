import ForecacheModel
import StrictYAML

/// Problems and notices as they are found, each said once however many hosts share its cause.
struct Findings {
    /// More than an operator reads in one go; keeps a hostile inventory from filling memory with complaints.
    static let most = 1000

    private(set) var problems = Problems()
    private(set) var notices = Problems()
    private var said: Set<Problem> = []
    private var subjects: Set<String> = []

    /// The inventory is invalid; `message` names what is wrong and the remedy.
    mutating func problem(_ place: Place, _ message: String) {
        guard problems.list.count < Self.most, said.insert(Problem(place, message)).inserted else { return }
        problems.add(place, problems.list.count == Self.most - 1 ? "more than \(Self.most) problems; mend the ones above first" : message)
    }

    mutating func problems(_ others: Problems) {
        for other in others.list { problem(other.place, other.message) }
    }

    /// Something that has no effect here. With a `subject` it is said once for all places.
    mutating func notice(_ place: Place, _ message: String, once subject: String? = nil) {
        if let subject {
            guard subjects.count < Self.most, subjects.insert(subject).inserted else { return }
        }
        guard notices.list.count < Self.most, said.insert(Problem(place, message)).inserted else { return }
        notices.add(place, message)
    }
}

extension String {
    /// The text for a message: bounded, in quotes, with nothing in it that moves a terminal's cursor or hides other text.
    var shown: String {
        var text = ""
        for scalar in unicodeScalars.prefix(80) {
            if scalar.isPrintable { text.unicodeScalars.append(scalar) } else { text += scalar.escaped(asASCII: true) }
        }
        return "'\(text)\(unicodeScalars.count > 80 ? "…" : "")'"
    }
}
