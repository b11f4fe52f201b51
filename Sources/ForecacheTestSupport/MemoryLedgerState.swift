import Engine
import ForecacheModel
import FoundationEssentials
import Planning

/// What a `MemoryLedger` holds. A million placements are ordinary, so a row holds numbers for names, and a host's rows lie together.
struct MemoryLedgerState {
    struct Row {
        var image: Int
        /// Index into `labels`: site, role, rule and priority.
        var label: Int
        var isWanted = true
        var isInFlight = false
        var ttlSeconds: Int
        var touchedAt: Date?
        var refreshAt: Date?
        var bytes: Int64 = 0
        var failures = 0
        var lastOutcome: OutcomeKind?
        var lastError: String?
        var updatedAt: Date
        /// Its part of the jitter.
        var share: Double

        var expiresAt: Date? { touchedAt?.addingTimeInterval(Double(ttlSeconds)) }

        /// What `HostRows` and the calendar say of a host depends on these two of its rows.
        var moments: (refreshAt: Date?, neededAt: Date?) { (refreshAt, isWanted ? expiresAt ?? .distantPast : nil) }

        func isExpired(at now: Date) -> Bool { expiresAt.map { $0 <= now } ?? true }

        func nextRefresh(_ schedule: RefreshSchedule) -> Date? {
            guard isWanted, let touchedAt, lastOutcome != .unsupported else { return nil }
            return schedule.refreshAt(touchedAt: touchedAt, ttlSeconds: ttlSeconds, share: share)
        }
    }

    struct Label: Hashable {
        var site: SiteName
        var role: RoleName
        var rule: String
        var priority: Int
    }

    struct HostRows {
        var name: HostName
        var rows: [Row] = []
        /// Index into `rows` by image, -1 where there is none.
        var slots: [Int32] = []
        /// Of the wanted rows; those without a base file are as good as expired.
        var soonestExpiry = Date.distantFuture

        func slot(_ image: Int) -> Int? { image < slots.count && slots[image] >= 0 ? Int(slots[image]) : nil }

        mutating func append(_ row: Row) {
            while slots.count <= row.image { slots.append(-1) }
            slots[row.image] = Int32(rows.count)
            rows.append(row)
            soonestExpiry = .distantPast
        }
    }

    let refresh: RefreshSchedule
    let longestBackoffSeconds: Double
    var work: [ImageID: WorkRow] = [:]
    /// What was last seen of each image; rows name them by their index here and in `names`.
    var images: [ImageFacts] = []
    /// Hosts that could not be surveyed the last time.
    var away: Set<HostName> = []
    var calendar = RefreshCalendar()
    var messages: [OddMessage] = []
    var matches: [ImageID: [String: Date]] = [:]
    /// Counts only where the row is in flight.
    var transfers: [ImageID: [HostName: TransferProgress]] = [:]
    private var lastGeneration: Int64 = 0
    /// Apart from the facts because every touch looks here.
    private var names: [(image: ImageID, baseFile: BaseFileName)] = []
    private var imageIndex: [ImageID: Int] = [:]
    private var hosts: [HostRows] = []
    private var hostIndex: [HostName: Int] = [:]
    private var labels: [Label] = []
    private var labelIndex: [Label: Int] = [:]

    init(refresh: RefreshSchedule, longestBackoffSeconds: Double) {
        (self.refresh, self.longestBackoffSeconds) = (refresh, longestBackoffSeconds)
    }

    mutating func request(_ ids: Set<ImageID>, _ cause: WorkCause, _ now: Date) -> [WorkRow] {
        lastGeneration += 1
        return ids.compactMap { id in
            var row = work[id] ?? WorkRow(image: id, cause: cause, generation: lastGeneration, queuedAt: now, dueAt: now)
            // What is due later than anything is put off was written down by a clock that has been set back since.
            let waits = work[id] != nil && row.cause != .refresh && row.dueAt <= now.addingTimeInterval(longestBackoffSeconds)
            if cause == .resync, waits { return nil }
            (row.generation, row.attempts, row.dueAt) = (lastGeneration, 0, now)
            // A refresh asks for some hosts only; what asked for all of them still counts.
            if cause != .refresh { row.cause = cause }
            work[id] = row
            return row
        }
    }

    mutating func postpone(_ row: WorkRow, _ dueAt: Date, isFailure: Bool) {
        var known = work[row.image] ?? row
        let cause = row.cause == .refresh ? WorkCause.refresh : .retry
        if known.generation > row.generation {
            known.dueAt = min(known.dueAt, dueAt)
            if known.cause == .refresh { known.cause = cause }
        } else {
            lastGeneration += 1
            (known.generation, known.dueAt) = (lastGeneration, dueAt)
            known.cause = known.cause == .refresh ? cause : .retry
            if isFailure { known.attempts += 1 }
        }
        work[row.image] = known
    }

    // MARK: - Decisions, outcomes, surveys

    mutating func record(_ decision: Decision, _ ttlSeconds: [HostName: Int], _ now: Date) {
        let wanted = decision.placements.filter { $0.mode == .enforce }
        if wanted.isEmpty, imageIndex[decision.image.id] == nil { return }
        let lasting = decision.rules.compactMap { verdict in verdict.began.map { (verdict.rule, $0) } }
        matches[decision.image.id] = lasting.isEmpty ? nil : Dictionary(lasting) { first, _ in first }
        let image = index(of: decision.image)
        var isWanted = [Bool](repeating: false, count: hosts.count + wanted.count)
        for placement in wanted {
            let host = index(of: placement.host)
            isWanted[host] = true
            let label = index(
                of: Label(site: placement.site, role: placement.role, rule: placement.rule, priority: placement.priority))
            let ttl = ttlSeconds[placement.host]
            guard let slot = hosts[host].slot(image) else {
                hosts[host].append(
                    Row(
                        image: image, label: label, ttlSeconds: ttl ?? placement.ttlSeconds ?? 86400, updatedAt: now,
                        share: RefreshSchedule.share(decision.image.id, placement.host)))
                continue
            }
            change(host, slot, now) { row, schedule in
                let (wasWanted, before) = (row.isWanted, row.ttlSeconds)
                (row.isWanted, row.label, row.ttlSeconds) = (true, label, ttl ?? before)
                if !wasWanted {
                    (row.failures, row.lastError) = (0, nil)
                    if row.lastOutcome == .failed { row.lastOutcome = nil }
                }
                if !wasWanted || row.ttlSeconds != before { row.refreshAt = row.nextRefresh(schedule) }
            }
        }
        for host in hosts.indices where !isWanted[host] {
            guard let slot = hosts[host].slot(image), hosts[host].rows[slot].isWanted else { continue }
            change(host, slot, now) { row, _ in (row.isWanted, row.refreshAt) = (false, nil) }
        }
    }

    mutating func record(_ outcome: Outcome, _ now: Date) {
        let size = imageIndex[outcome.image].flatMap { images[$0].sizeBytes }
        change(outcome.image, on: outcome.host, now) { row, schedule in
            row.isInFlight = false
            switch outcome.kind {
            case .cached, .existing:
                row.touchedAt = max(min(row.touchedAt ?? .distantPast, now), outcome.touchedAt ?? now)
                if row.bytes == 0 { row.bytes = size ?? outcome.bytes }
                (row.failures, row.lastOutcome, row.lastError) = (0, outcome.kind, nil)
                row.refreshAt = row.nextRefresh(schedule)
            case .unsupported:
                (row.failures, row.lastOutcome, row.lastError, row.refreshAt) = (0, outcome.kind, outcome.reason, nil)
            case .failed:
                row.failures += 1
                (row.lastOutcome, row.lastError) = (outcome.kind, outcome.reason)
            case .skipped:
                if outcome.againAt != nil { (row.lastOutcome, row.lastError) = (outcome.kind, outcome.reason) }
            }
        }
    }

    mutating func record(_ survey: HostSurvey, _ now: Date) {
        let host = index(of: survey.host)
        let there = Dictionary(survey.baseFiles.map { ($0.name, $0) }) { first, _ in first }
        for slot in hosts[host].rows.indices {
            let row = hosts[host].rows[slot]
            if let touchedAt = row.touchedAt, touchedAt > survey.surveyedAt, touchedAt <= now { continue }
            guard let file = there[names[row.image].baseFile] else {
                if row.touchedAt != nil { change(host, slot, now) { row, _ in (row.touchedAt, row.refreshAt, row.bytes) = (nil, nil, 0) } }
                continue
            }
            let touchedAt = survey.surveyedAt.addingTimeInterval(-file.ageSeconds)
            let isPutOff = row.lastOutcome == .failed && row.refreshAt.map { $0 > survey.surveyedAt } ?? false
            if let known = row.touchedAt, abs(known.timeIntervalSince(touchedAt)) < 1, row.bytes == file.bytes, !isPutOff { continue }
            change(host, slot, now) { row, schedule in
                (row.touchedAt, row.bytes) = (touchedAt, file.bytes)
                row.refreshAt = row.nextRefresh(schedule)
            }
        }
    }

    // MARK: - Reading

    func placements(of id: ImageID) -> [PlacementRecord] {
        guard let image = imageIndex[id] else { return [] }
        return hosts.compactMap { host in host.slot(image).map { record(host.rows[$0], host.name) } }
            .sorted { ($0.site, $0.host) < ($1.site, $1.host) }
    }

    func sitesInNeed(_ id: ImageID, _ now: Date) -> Set<SiteName> {
        guard let image = imageIndex[id] else { return [] }
        var sites: Set<SiteName> = []
        for host in hosts where host.soonestExpiry <= now {
            guard let slot = host.slot(image), host.rows[slot].isWanted, host.rows[slot].isExpired(at: now) else { continue }
            sites.insert(labels[host.rows[slot].label].site)
        }
        return sites
    }

    func missing(on name: HostName, _ now: Date) -> [ImageID] {
        guard let host = hostIndex[name] else { return [] }
        return hosts[host].rows.filter { $0.isWanted && $0.isExpired(at: now) }.map { images[$0.image].id }.sorted()
    }

    func count<Key: Hashable>(by key: (PlacementRecord) -> Key) -> [Key: Int] {
        var counts: [Key: Int] = [:]
        for host in hosts { for row in host.rows { counts[key(record(row, host.name)), default: 0] += 1 } }
        return counts
    }

    func due(_ host: Int, _ now: Date) -> DueHost? {
        var (expiresAt, dueAt): (Date?, Date?)
        for row in hosts[host].rows {
            guard let refreshAt = row.refreshAt, refreshAt <= now, let expires = row.expiresAt else { continue }
            (expiresAt, dueAt) = (min(expiresAt ?? expires, expires), min(dueAt ?? refreshAt, refreshAt))
        }
        guard let expiresAt, let dueAt else { return nil }
        return DueHost(host: hosts[host].name, expiresAt: expiresAt, dueAt: dueAt)
    }

    func dueRefreshes(_ name: HostName, _ now: Date, _ limit: Int) -> [DueRefresh] {
        guard let host = hostIndex[name] else { return [] }
        var due: [DueRefresh] = []
        due.reserveCapacity(max(0, min(limit, hosts[host].rows.count)))
        // Touched together, they expire together: nothing to sort in the common case.
        var isSorted = true
        for row in hosts[host].rows {
            guard let refreshAt = row.refreshAt, let expiresAt = row.expiresAt,
                refreshAt <= now.addingTimeInterval(refresh.takenAlongSeconds(ttlSeconds: row.ttlSeconds))
            else { continue }
            let label = labels[row.label]
            if let last = due.last, last.expiresAt > expiresAt { isSorted = false }
            let names = names[row.image]
            due.append(
                DueRefresh(image: names.image, baseFile: names.baseFile, site: label.site, rule: label.rule, expiresAt: expiresAt))
        }
        if !isSorted { due.sort { $0.expiresAt < $1.expiresAt } }
        return due.count > limit ? Array(due.prefix(max(0, limit))) : due
    }

    private func record(_ row: Row, _ host: HostName) -> PlacementRecord {
        let (label, image) = (labels[row.label], names[row.image].image)
        return PlacementRecord(
            image: image, site: label.site, role: label.role, host: host, isWanted: row.isWanted, rule: label.rule,
            priority: label.priority, isInFlight: row.isInFlight, transfer: row.isInFlight ? transfers[image]?[host] : nil,
            ttlSeconds: row.ttlSeconds, touchedAt: row.touchedAt,
            refreshAt: row.refreshAt, bytes: row.bytes, lastOutcome: row.lastOutcome, lastError: row.lastError, failures: row.failures,
            updatedAt: row.updatedAt)
    }

    // MARK: - Writing

    /// All hosts' rows of an image.
    mutating func change(_ id: ImageID, _ now: Date, _ body: (inout Row) -> Void) {
        guard let image = imageIndex[id] else { return }
        for host in hosts.indices { if let slot = hosts[host].slot(image) { change(host, slot, now) { row, _ in body(&row) } } }
    }

    /// One placement; one that is not known is left unknown.
    mutating func change(_ id: ImageID, on name: HostName, _ now: Date, _ body: (inout Row, RefreshSchedule) -> Void) {
        guard let image = imageIndex[id], let host = hostIndex[name], let slot = hosts[host].slot(image) else { return }
        change(host, slot, now, body)
    }

    mutating func changeAll(_ ids: [ImageID], on name: HostName, _ now: Date, _ body: (inout Row, RefreshSchedule) -> Void) {
        guard let host = hostIndex[name] else { return }
        var next = 0
        for id in ids {
            // They mostly come in the order in which the rows lie.
            let isNext = next < hosts[host].rows.count && names[hosts[host].rows[next].image].image == id
            guard let slot = isNext ? next : imageIndex[id].flatMap({ hosts[host].slot($0) }) else { continue }
            body(&hosts[host].rows[slot], refresh)
            hosts[host].rows[slot].updatedAt = now
            next = slot + 1
        }
        noteSoonest(host)
    }

    private mutating func change(_ host: Int, _ slot: Int, _ now: Date, _ body: (inout Row, RefreshSchedule) -> Void) {
        let before = hosts[host].rows[slot].moments
        body(&hosts[host].rows[slot], refresh)
        hosts[host].rows[slot].updatedAt = now
        if hosts[host].rows[slot].moments != before { noteSoonest(host) }
    }

    private mutating func noteSoonest(_ host: Int) {
        var (next, soonest) = (Date?.none, Date.distantFuture)
        for row in hosts[host].rows {
            if let refreshAt = row.refreshAt { next = min(next ?? refreshAt, refreshAt) }
            if row.isWanted { soonest = min(soonest, row.expiresAt ?? .distantPast) }
        }
        hosts[host].soonestExpiry = soonest
        calendar.set(host, next)
    }

    private mutating func index(of facts: ImageFacts) -> Int {
        if let known = imageIndex[facts.id] {
            images[known] = facts
            return known
        }
        images.append(facts)
        names.append((facts.id, BaseFileName(of: facts.id)))
        imageIndex[facts.id] = images.count - 1
        return images.count - 1
    }

    private mutating func index(of host: HostName) -> Int {
        if let known = hostIndex[host] { return known }
        hosts.append(HostRows(name: host))
        hostIndex[host] = hosts.count - 1
        return hosts.count - 1
    }

    private mutating func index(of label: Label) -> Int {
        if let known = labelIndex[label] { return known }
        labels.append(label)
        labelIndex[label] = labels.count - 1
        return labels.count - 1
    }
}
