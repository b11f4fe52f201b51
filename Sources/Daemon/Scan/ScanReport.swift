public import ForecacheModel

/// `scan`.
public struct ScanReport: Encodable, Sendable {
    public enum Verdict: String, Encodable, Sendable, CaseIterable {
        case safe
        /// Safe in itself, but not what it should be.
        case odd
        /// It points elsewhere, is several formats at once, or is not what Glance declares.
        case unsafe
        case unreadable
    }

    public struct File: Encodable, Sendable {
        public var name: BaseFileName
        /// The Glance image that Nova would look for under this name; nil where Glance has none, or was not asked.
        @OrNull public var image: ImageID?
        @OrNull public var imageName: String?
        public var bytes: Int64
        /// What it is; nil where it is refused or cannot be read.
        @OrNull public var format: String?
        @OrNull public var declaredFormat: String?
        public var verdict: Verdict
        @OrNull public var reason: String?

        init(_ file: BaseFile, image facts: ImageFacts?) {
            (name, bytes) = (file.name, file.bytes)
            image = facts?.id
            imageName = facts?.name
            declaredFormat = facts?.diskFormat
            verdict = .unreadable
            (format, reason) = (nil, nil)
        }
    }

    public struct HostRow: Encodable, Sendable {
        public var site: SiteName
        public var host: HostName
        public var reachable: Bool
        @OrNull public var error: String?
        public var files: [File] = []

        init(_ host: Host, error: String?) {
            (site, self.host, reachable) = (host.site, host.name, error == nil)
            self.error = error
        }
    }

    public var hosts: [HostRow]
    public var summary: [String: Int]
    /// How the hosts that were asked answered, as an exit code.
    private let asked: Int32

    private enum CodingKeys: String, CodingKey {
        case hosts, summary
    }

    init(hosts: [HostRow], asked: Int32) {
        self.hosts = hosts
        self.asked = asked
        let files = hosts.flatMap(\.files)
        summary = Dictionary(
            uniqueKeysWithValues: Verdict.allCases.map { verdict in (verdict.rawValue, files.count { $0.verdict == verdict }) })
    }

    /// 1 where a file is unsafe or could not be read, else as the hosts were reached.
    public var exitCode: Int32 {
        if summary[Verdict.unsafe.rawValue] != 0 || summary[Verdict.unreadable.rawValue] != 0 { return 1 }
        return asked
    }
}
