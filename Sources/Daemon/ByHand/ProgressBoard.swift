public import Engine
public import ForecacheModel
public import FoundationEssentials
public import Planning

/// What `cache` shows while it works, as a value: who works at what rate, how long it will take, and how far each site is. It holds the hosts at work and one number
/// a site, whatever the size of the fleet.
public struct ProgressBoard: Sendable {
    private struct Work: Hashable {
        let image: ImageID
        let host: HostName
    }

    private struct Transfer {
        var site: SiteName
        var source: String?
        var bytes: Int64 = 0
        var total: Int64 = 0
        /// Bytes a second, smoothed; nil until two measurements were far enough apart.
        var rate: Double?
        var measured: (at: Date, bytes: Int64)?

        mutating func progressed(_ bytes: Int64, at now: Date) {
            self.bytes = bytes
            guard let last = measured else {
                measured = (now, bytes)
                return
            }
            let seconds = now.timeIntervalSince(last.at)
            guard seconds >= Self.sampleSeconds else { return }
            let current = Double(max(0, bytes - last.bytes)) / seconds
            rate = rate.map { $0 * 0.7 + current * 0.3 } ?? current
            measured = (now, bytes)
        }

        /// Shorter ones measure the buffers and not the link.
        private static let sampleSeconds = 0.5

        /// What lay there from an earlier try does not count for the rate, so the time left is of what is left.
        var secondsLeft: Double? { rate.flatMap { $0 > 0 ? Double(max(0, total - bytes)) / $0 : nil } }
    }

    private struct SiteCount {
        var steps = 0
        var done = 0
        var failed = 0
    }

    private var sites: [SiteName: SiteCount] = [:]
    private var siteOfHost: [HostName: SiteName] = [:]
    private var names: [ImageID: String] = [:]
    private var atWork: [Work: Transfer] = [:]

    public init() {}

    /// What is going to be done, for the totals. Before any report of the plan.
    public mutating func planned(_ plan: Plan) {
        names[plan.image.id] = plan.image.name.printable
        for site in plan.sites {
            sites[site.site, default: SiteCount()].steps += site.steps.count
            for step in site.steps { siteOfHost[step.host] = site.site }
        }
    }

    public mutating func told(_ report: ExecutionReport, at now: Date) {
        switch report {
        case .started(let image, let host): atWork[Work(image: image, host: host)] = Transfer(site: siteOfHost[host] ?? "")
        case .progress(let image, let host, let source, let bytes, let total):
            var transfer = atWork[Work(image: image, host: host)] ?? Transfer(site: siteOfHost[host] ?? "")
            (transfer.source, transfer.total) = (source, total)
            transfer.progressed(bytes, at: now)
            atWork[Work(image: image, host: host)] = transfer
        case .ended(let outcome):
            atWork[Work(image: outcome.image, host: outcome.host)] = nil
            sites[outcome.site, default: SiteCount()].done += 1
            if outcome.kind == .failed { sites[outcome.site, default: SiteCount()].failed += 1 }
        }
    }

    // MARK: - The picture

    /// One line for each host at work, then one for each site that is not done, in at most so many rows and columns: what does not fit is counted in one line.
    public func lines(rows: Int, columns: Int) -> [String] {
        let open = sites.filter { $0.value.done < $0.value.steps }
        guard !atWork.isEmpty || !open.isEmpty, rows > 0 else { return [] }
        let siteRows = min(open.count, max(1, rows / 3))
        let hosts = hostLines(rows: max(0, rows - siteRows))
        return (hosts + siteLines(open, rows: siteRows)).map { Self.cut($0, to: columns) }
    }

    private func hostLines(rows: Int) -> [String] {
        let sorted = atWork.sorted { ($0.value.site, $0.key.host, $0.key.image) < ($1.value.site, $1.key.host, $1.key.image) }
        guard sorted.count > rows else { return sorted.map { line($0.key, $0.value) } }
        guard rows > 0 else { return [] }
        return sorted.prefix(rows - 1).map { line($0.key, $0.value) } + ["… and \(sorted.count - rows + 1) more hosts at work"]
    }

    private func line(_ work: Work, _ transfer: Transfer) -> String {
        let what = "\(work.host.rawValue.printable): \(names[work.image] ?? work.image.text)"
        guard let source = transfer.source else { return "\(what), started" }
        var parts = ["\(ByteText.of(transfer.bytes)) of \(ByteText.of(transfer.total))"]
        if transfer.total > 0 { parts.append("\(min(100, transfer.bytes * 100 / transfer.total)) %") }
        if let rate = transfer.rate { parts.append("\(ByteText.of(Int64(rate)))/s") }
        if let left = transfer.secondsLeft { parts.append("\(Self.clock(left)) left") }
        return "\(what), \(parts.joined(separator: ", ")), from \(source.printable)"
    }

    private func siteLines(_ open: [SiteName: SiteCount], rows: Int) -> [String] {
        let sorted = open.sorted { $0.key < $1.key }
        guard sorted.count > rows else { return sorted.map { line([$0.key], $0.key.rawValue.printable) } }
        let shown = sorted.prefix(max(0, rows - 1))
        let rest = sorted.dropFirst(shown.count).map(\.key)
        return shown.map { line([$0.key], $0.key.rawValue.printable) } + [line(Set(rest), "\(rest.count) sites")]
    }

    private func line(_ names: Set<SiteName>, _ title: String) -> String {
        let counts = names.compactMap { sites[$0] }
        let working = atWork.values.filter { names.contains($0.site) }
        let (steps, done) = (counts.reduce(0) { $0 + $1.steps }, counts.reduce(0) { $0 + $1.done })
        let failed = counts.reduce(0) { $0 + $1.failed }
        let rate = working.compactMap(\.rate).reduce(0, +)
        var line = "= \(title): \(done) of \(steps) done, \(working.count) at work"
        if failed > 0 { line += ", \(failed) failed" }
        if rate > 0 { line += ", \(ByteText.of(Int64(rate)))/s" }
        return line
    }

    private static func clock(_ seconds: Double) -> String {
        let whole = Int(min(seconds.rounded(.up), 359_999))
        let (hours, minutes) = (whole / 3600, whole / 60 % 60)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return hours > 0 ? "\(hours):\(two(minutes)):\(two(whole % 60))" : "\(minutes):\(two(whole % 60))"
    }

    private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        // The replacement character is narrow.
        case 0xFFFD: false
        case 0x1100...0x115F, 0x2E80...0xFF60, 0xFFE0...0xFFE6, 0x1F300...: true
        default: false
        }
    }

    /// Cut so that it does not wrap: a wrapped line could not be taken back. East Asian characters take two columns (Unicode's annex 11, its large blocks).
    static func cut(_ line: String, to columns: Int) -> String {
        var (kept, width) = ("", 0)
        for character in line {
            width += character.unicodeScalars.contains(where: isWide) ? 2 : 1
            if width > columns { return kept }
            kept.append(character)
        }
        return kept
    }
}

/// One line of `--progress json`.
public struct ProgressEvent: Encodable, Sendable {
    public enum Kind: String, Encodable, Sendable { case started, progress, ended }

    public var at: Date
    public var event: Kind
    public var image: ImageID
    public var host: HostName
    /// `glance` or a host.
    @OrNull public var source: String?
    /// On the host so far; moved, with `ended`.
    @OrNull public var bytes: Int64?
    @OrNull public var totalBytes: Int64?
    @OrNull public var outcome: OutcomeKind?
    @OrNull public var reason: String?

    public init(_ report: ExecutionReport, at now: Date) {
        switch report {
        case .started(let image, let host):
            (at, event, self.image, self.host) = (now, .started, image, host)
            (source, bytes, totalBytes, outcome, reason) = (nil, nil, nil, nil, nil)
        case .progress(let image, let host, let source, let bytes, let total):
            (at, event, self.image, self.host) = (now, .progress, image, host)
            (self.source, self.bytes, totalBytes, outcome, reason) = (source, bytes, total, nil, nil)
        case .ended(let ended):
            (at, event, image, host) = (now, .ended, ended.image, ended.host)
            (source, bytes, totalBytes, outcome, reason) = (ended.source, ended.bytes, nil, ended.kind, ended.reason)
        }
    }
}
