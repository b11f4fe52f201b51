import Engine
import ForecacheModel
import FoundationEssentials
import Planning

/// What a `MemoryLedger` holds. A million placements are ordinary, so a row holds numbers for names, and a host's rows lie together.
struct MemoryLedgerState {
    struct Image {
        var facts: ImageFacts
        var baseFile: BaseFileName
    }

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

        func slot(_ image: Int) -> Int? { image < slots.count && slots[image] >= 0 ? Int(slots[image]) : nil }

        mutating func append(_ row: Row) {
            while slots.count <= row.image { slots.append(-1) }
            slots[row.image] = Int32(rows.count)
            rows.append(row)
        }
    }

    let refresh: RefreshSchedule
    var work: [ImageID: WorkRow] = [:]
    var images: [Image] = []
    var calendar = RefreshCalendar()
    var messages: [OddMessage] = []
    var matches: [ImageID: [String: Date]] = [:]
    private var lastGeneration: Int64 = 0
    private var imageIndex: [ImageID: Int] = [:]
    private var hosts: [HostRows] = []
    private var hostIndex: [HostName: Int] = [:]
    private var labels: [Label] = []
    private var labelIndex: [Label: Int] = [:]

    init(refresh: RefreshSchedule) { self.refresh = refresh }

    mutating func request(_ ids: [ImageID], _ cause: WorkCause, _ now: Date) {
        lastGeneration += 1
        for id in ids {
            guard var row = work[id] else {
                work[id] = WorkRow(image: id, cause: cause, generation: lastGeneration, queuedAt: now, dueAt: now)
                continue
            }
            if cause == .resync, row.cause != .refresh { continue }
            (row.generation, row.attempts, row.dueAt) = (lastGeneration, 0, now)
            // A refresh asks for some hosts only; what asked for all of them still counts.
            if cause != .refresh { row.cause = cause }
            work[id] = row
        }
    }

    // MARK: - Decisions, outcomes, surveys

    mutating func record(_ decision: Decision, _ ttlSeconds: [HostName: Int], _ now: Date) {
        let wanted = decision.placements.filter { $0.mode == .enforce }
        if wanted.isEmpty, imageIndex[decision.image.id] == nil { return }
        let lasting = decision.rules.compactMap { verdict in verdict.began.map { (verdict.rule, $0) } }
        matches[decision.image.id] = lasting.isEmpty ? nil : Dictionary(lasting) { first, _ in first }
        let image = index(of: decision.image)
        var isWanted = Set<Int>()
        for placement in wanted {
            let host = index(of: placement.host)
            isWanted.insert(host)
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
        for host in hosts.indices where !isWanted.contains(host) {
            guard let slot = hosts[host].slot(image), hosts[host].rows[slot].isWanted else { continue }
            change(host, slot, now) { row, _ in (row.isWanted, row.refreshAt) = (false, nil) }
        }
    }

    mutating func record(_ outcome: Outcome, _ now: Date) {
        let size = imageIndex[outcome.image].flatMap { images[$0].facts.sizeBytes }
        change(outcome.image, on: outcome.host, now) { row, schedule in
            row.isInFlight = false
            switch outcome.kind {
            case .cached, .existing:
                row.touchedAt = max(row.touchedAt ?? .distantPast, outcome.touchedAt ?? now)
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
            if let touchedAt = row.touchedAt, touchedAt > survey.surveyedAt { continue }
            guard let file = there[images[row.image].baseFile] else {
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

    func dueRefreshes(_ name: HostName, _ now: Date, _ limit: Int) -> [PlacementRecord] {
        guard let host = hostIndex[name] else { return [] }
        var due: [PlacementRecord] = []
        for row in hosts[host].rows {
            guard let refreshAt = row.refreshAt else { continue }
            if refreshAt <= now.addingTimeInterval(refresh.takenAlongSeconds(ttlSeconds: row.ttlSeconds)) { due.append(record(row, name)) }
        }
        // Touched together, they expire together: nothing to sort in the common case.
        if due.contains(where: { $0.expiresAt != due[0].expiresAt }) {
            due.sort { ($0.expiresAt ?? .distantFuture) < ($1.expiresAt ?? .distantFuture) }
        }
        return due.count > limit ? Array(due.prefix(max(0, limit))) : due
    }

    private func record(_ row: Row, _ host: HostName) -> PlacementRecord {
        let label = labels[row.label]
        return PlacementRecord(
            image: images[row.image].facts.id, site: label.site, role: label.role, host: host, isWanted: row.isWanted, rule: label.rule,
            priority: label.priority, isInFlight: row.isInFlight, ttlSeconds: row.ttlSeconds, touchedAt: row.touchedAt,
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
        for id in ids {
            guard let image = imageIndex[id], let slot = hosts[host].slot(image) else { continue }
            body(&hosts[host].rows[slot], refresh)
            hosts[host].rows[slot].updatedAt = now
        }
        noteNextRefresh(host)
    }

    private mutating func change(_ host: Int, _ slot: Int, _ now: Date, _ body: (inout Row, RefreshSchedule) -> Void) {
        let before = hosts[host].rows[slot].refreshAt
        body(&hosts[host].rows[slot], refresh)
        hosts[host].rows[slot].updatedAt = now
        if hosts[host].rows[slot].refreshAt != before { noteNextRefresh(host) }
    }

    private mutating func noteNextRefresh(_ host: Int) {
        var next: Date?
        for row in hosts[host].rows { if let refreshAt = row.refreshAt { next = min(next ?? refreshAt, refreshAt) } }
        calendar.set(host, next)
    }

    private mutating func index(of facts: ImageFacts) -> Int {
        if let known = imageIndex[facts.id] {
            images[known].facts = facts
            return known
        }
        images.append(Image(facts: facts, baseFile: BaseFileName(of: facts.id)))
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
