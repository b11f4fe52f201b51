public import ForecacheModel

/// `doctor`.
public struct DoctorReport: Encodable, Sendable {
    public enum Level: String, Encodable, Sendable, CaseIterable {
        case ok, warn, fail
    }

    public struct Finding: Encodable, Sendable {
        /// What was looked at: `rules`, `glance`, `host`, …
        public var check: String
        public var level: Level
        /// Set for findings on a host.
        @OrNull public var site: SiteName?
        @OrNull public var host: HostName?
        public var text: String
        /// What to do about it; nil where all is well.
        @OrNull public var remedy: String?

        static func ok(_ check: String, _ text: String) -> Finding { Finding(check: check, level: .ok, text: text, remedy: nil) }

        static func warn(_ check: String, _ text: String, _ remedy: String) -> Finding {
            Finding(check: check, level: .warn, text: text, remedy: remedy)
        }

        static func fail(_ check: String, _ text: String, _ remedy: String) -> Finding {
            Finding(check: check, level: .fail, text: text, remedy: remedy)
        }

        private init(check: String, level: Level, text: String, remedy: String?) {
            self.check = check
            self.level = level
            self.text = text
            self.remedy = remedy
            (site, host) = (nil, nil)
        }

        func on(_ host: Host) -> Finding {
            var finding = self
            (finding.site, finding.host) = (host.site, host.name)
            return finding
        }
    }

    public var findings: [Finding]
    public var summary: [String: Int]

    public init(_ findings: [Finding]) {
        self.findings = findings
        summary = Dictionary(uniqueKeysWithValues: Level.allCases.map { level in (level.rawValue, findings.count { $0.level == level }) })
    }

    public var hasFailures: Bool { findings.contains { $0.level == .fail } }
}
