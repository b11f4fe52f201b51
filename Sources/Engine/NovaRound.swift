import ForecacheModel
import Notifications

/// The hosts of one request to Nova, and which of them have been heard of. A value: reports in, verdicts out.
struct NovaRound {
    enum Verdict: Hashable {
        case cached
        /// Nova does not say why.
        case failed
    }

    let image: ImageID
    /// Nova's name of each host that has not been heard of.
    private(set) var silent: [String: HostName]
    /// Nova has told the end of this request: the silent stay silent.
    private(set) var isEnded = false
    /// Nil where Nova gave none.
    private let request: String?

    init(image: ImageID, hosts: [String: HostName], request: String?) {
        self.image = image
        self.request = request
        silent = hosts
    }

    var isOver: Bool { isEnded || silent.isEmpty }

    mutating func heard(_ report: CachingReport) -> [(HostName, Verdict)] {
        let isOurs = request == report.request
        // Where one of them is not known, a host's report is still the truth about that host, but an end may be another request's.
        guard isOurs || request == nil || report.request == nil else { return [] }
        switch report.news {
        case .end:
            if isOurs, request != nil { isEnded = true }
            return []
        case .host(let name, let cached, let failed):
            guard cached.contains(image) || failed.contains(image), let host = silent.removeValue(forKey: name) else { return [] }
            return [(host, cached.contains(image) ? .cached : .failed)]
        }
    }
}

/// Which of an aggregate's hosts, by Nova's names, are which of ours.
struct AggregateHosts {
    /// Nova's name of each wanted host that the aggregate has.
    private(set) var names: [String: HostName] = [:]
    /// Wanted hosts that the aggregate has not, or has under a name that could be two of them.
    private(set) var absent: [HostName] = []
    /// Nova's names of all the others: Nova cannot leave them out.
    private(set) var others: [String] = []

    /// Names are the same where they are equal, or where one of them is short and both begin alike; without regard to case.
    init(_ aggregate: HostAggregate, wanted: [HostName]) {
        let byLabel = Dictionary(grouping: aggregate.hosts) { Self.label($0) }
        for host in wanted {
            let alike = (byLabel[Self.label(host.rawValue)] ?? []).filter { Self.isSame($0, host.rawValue) }
            let same = alike.first { $0.lowercased() == host.rawValue.lowercased() } ?? (alike.count == 1 ? alike[0] : nil)
            if let same, names[same] == nil { names[same] = host } else { absent.append(host) }
        }
        others = aggregate.hosts.filter { names[$0] == nil }
    }

    static func isSame(_ left: String, _ right: String) -> Bool {
        let (left, right) = (left.lowercased(), right.lowercased())
        guard left != right else { return true }
        return label(left) == label(right) && (!left.contains(".") || !right.contains("."))
    }

    private static func label(_ name: String) -> String { String(name.lowercased().prefix { $0 != "." }) }
}
