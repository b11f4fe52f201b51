public import ForecacheModel
public import FoundationEssentials

/// `replay --output json`.
public struct ReplayReport: Encodable, Sendable {
    /// One line of the file.
    public struct Event: Encodable, Sendable {
        public var line: Int
        @OrNull public var receivedAt: Date?
        @OrNull public var exchange: String?
        @OrNull public var routingKey: String?
        @OrNull public var type: String?
        @OrNull public var image: ImageID?
        @OrNull public var name: String?
        /// The same message came before in this file.
        public var isDuplicate = false
        /// As the payload has the image; nil where the payload is no record of it.
        @OrNull public var then: Decision?
        /// As it is now; nil where nobody could be asked.
        @OrNull public var now: Decision?
        @OrNull public var difference: Difference?
        /// Fields of an image that the payload does not have.
        public var unknownFields: [String] = []
        /// Why the line or its message could not be understood.
        @OrNull public var odd: String?

        init(line: Int) {
            self.line = line
            (receivedAt, exchange, routingKey, type, image, name, odd) = (nil, nil, nil, nil, nil, nil, nil)
            (then, now, difference) = (nil, nil, nil)
        }
    }

    /// What the rules say.
    public struct Decision: Encodable, Hashable, Sendable {
        /// Hosts that are to have the image; dry-run rules not counted.
        public var hosts: [HostName]
        /// Rules that win on at least one of them.
        public var rules: [String]
        public var dryRunHosts: Int
        /// Why the image must not be cached, whatever rules say.
        @OrNull public var refusal: String?
    }

    /// From then to now.
    public struct Difference: Encodable, Hashable, Sendable {
        public var added: [HostName]
        public var removed: [HostName]

        init(from then: Decision, to now: Decision) {
            let (before, after) = (Set(then.hosts), Set(now.hosts))
            added = after.subtracting(before).sorted()
            removed = before.subtracting(after).sorted()
        }

        public var isEmpty: Bool { added.isEmpty && removed.isEmpty }
    }

    public struct Summary: Encodable, Hashable, Sendable {
        public var events = 0
        /// Different images named.
        public var images = 0
        /// Events whose image is placed otherwise now.
        public var differ = 0
        public var duplicates = 0
        public var irrelevant = 0
        public var odd = 0
        /// `glance` or `ledger`; nil where nothing was compared.
        @OrNull public var comparedWith: String? = nil
        private var seen: Set<ImageID> = []

        private enum CodingKeys: CodingKey { case events, images, differ, duplicates, irrelevant, odd, comparedWith }

        init() {}

        mutating func count(_ event: Event) {
            events += 1
            if event.odd != nil { odd += 1 }
            if event.isDuplicate { duplicates += 1 }
            if event.difference.map({ !$0.isEmpty }) ?? false { differ += 1 }
            guard let image = event.image else {
                if event.odd == nil { irrelevant += 1 }
                return
            }
            if seen.insert(image).inserted { images += 1 }
        }
    }

    public var events: [Event]
    public var summary: Summary

    public init(events: [Event], summary: Summary) {
        self.events = events
        self.summary = summary
    }
}

extension ReplayReport.Decision {
    init(_ decision: ForecacheModel.Decision) {
        let enforced = decision.placements.filter { $0.mode == .enforce }
        self.init(
            hosts: enforced.map(\.host).sorted(), rules: Set(enforced.map(\.rule)).sorted(),
            dryRunHosts: decision.placements.count - enforced.count, refusal: decision.refusal)
    }

    init(hosts: [HostName] = [], rules: [String] = [], refusal: String? = nil) {
        self.init(hosts: hosts.sorted(), rules: rules, dryRunHosts: 0, refusal: refusal)
    }
}
