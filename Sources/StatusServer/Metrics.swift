import Engine
import ForecacheModel
import Foundation

/// Prometheus' text format, version 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
struct Metrics {
    var counters: StatusCounters
    var now: Date
    var isReady: Bool
    /// Nil where the ledger could not be read.
    var placements: [PlacementState: Int]?
    var atRisk: Int?
    var queueLength: Int?

    init(counters: StatusCounters, now: Date, isReady: Bool) {
        (self.counters, self.now, self.isReady) = (counters, now, isReady)
    }

    var text: String {
        var lines = Lines()
        lines.gauge("forecache_ready", "1 when subscribed and able to work.", isReady ? 1 : 0)
        lines.gauge(
            "forecache_ledger_up", "1 when the ledger could be read.", queueLength == nil ? 0 : 1)
        if let placements {
            lines.head("forecache_placements", "gauge", "Placements (image on host) by state.")
            for state in PlacementState.allCases {
                lines.sample("forecache_placements", ["state": state.rawValue], placements[state] ?? 0)
            }
        }
        if let atRisk {
            lines.gauge(
                "forecache_placements_at_risk",
                "Placements whose touch is overdue or failed and that expire before they could be fetched anew.",
                atRisk)
        }
        if let queueLength {
            lines.gauge("forecache_work_queue_length", "Images that wait to be looked at.", queueLength)
        }
        lines.gauge(
            "forecache_subscription_up", "1 while the broker delivers to our queue.",
            counters.isSubscribed ? 1 : 0)
        lines.head("forecache_notifications_total", "counter", "Notifications by what became of them.")
        for result in StatusCounters.Received.allCases {
            lines.sample(
                "forecache_notifications_total", ["result": result.rawValue], counters.received[result] ?? 0
            )
        }
        if let last = counters.lastEventAt {
            lines.gauge(
                "forecache_last_event_age_seconds", "Seconds since the last notification.",
                max(0, Int(now.timeIntervalSince(last))))
        }
        if let resynced = counters.resyncedAt {
            lines.gauge(
                "forecache_resync_age_seconds", "Seconds since the last resync that succeeded, or since the start.",
                max(0, Int(now.timeIntervalSince(resynced))))
        }
        if let interval = counters.resyncSeconds {
            lines.gauge("forecache_resync_interval_seconds", "Seconds from one resync to the next.", interval)
        }
        lines.head("forecache_outcomes_total", "counter", "Placements worked on, by outcome.")
        for kind in OutcomeKind.allCases {
            lines.sample(
                "forecache_outcomes_total", ["outcome": kind.rawValue], counters.outcomes[kind] ?? 0)
        }
        lines.counter(
            "forecache_bytes_moved_total", "Bytes that fetches and copies moved.",
            Int(counters.bytesMoved))
        lines.counter(
            "forecache_refreshes_total", "Base files touched ahead of their TTL.", counters.refreshed)
        lines.counter(
            "forecache_refresh_failures_total", "Touches that failed.", counters.refreshFailures)
        lines.counter(
            "forecache_reload_failures_total", "Rule or inventory reloads that were refused.",
            counters.reloadFailures)
        lines.counter("forecache_reloads_total", "Changed rules, inventories and configurations that came into force.", counters.reloads)
        lines.counter("forecache_reloads_held_total", "Reloads that were held for approval.", counters.reloadsHeld)
        lines.gauge(
            "forecache_reload_pending", "1 while the files are not what is in force: invalid, held for approval, or not compared yet.",
            (counters.reload?.state ?? .applied) == .applied ? 0 : 1)
        return lines.text
    }
}

/// Lines of the format, names with their help and type first.
struct Lines {
    private(set) var text = ""

    mutating func gauge(_ name: String, _ help: String, _ value: Int) {
        head(name, "gauge", help)
        sample(name, [:], value)
    }

    mutating func counter(_ name: String, _ help: String, _ value: Int) {
        head(name, "counter", help)
        sample(name, [:], value)
    }

    mutating func head(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    mutating func sample(_ name: String, _ labels: [String: String], _ value: Int) {
        let pairs = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }
        text +=
            pairs.isEmpty ? "\(name) \(value)\n" : "\(name){\(pairs.joined(separator: ","))} \(value)\n"
    }

    /// Backslash, quote and line end, as the format wants them in label values.
    static func escaped(_ value: String) -> String {
        var escaped = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }
}

/// Counting reads the whole table (about a second for two million placements), so an answer counts for five seconds, or for twenty times as long as it took,
/// whoever asks, and those who ask meanwhile wait for the same one.
actor PlacementCounts {
    private let count: @Sendable (Date) async throws(Failure) -> Counts
    private var known: (until: ContinuousClock.Instant, counts: Counts)?
    private var running: Task<Result<Counts, Failure>, Never>?

    struct Counts {
        var states: [PlacementState: Int]
        var atRisk: Int
    }

    init(_ count: @escaping @Sendable (Date) async throws(Failure) -> Counts) { self.count = count }

    init(ledger: any Ledger) {
        self.init { now async throws(Failure) in
            Counts(states: try await ledger.placementCounts(at: now), atRisk: try await ledger.atRiskCount(at: now))
        }
    }

    func at(_ now: Date) async throws(Failure) -> Counts {
        if let known, ContinuousClock.now < known.until { return known.counts }
        // Owned by this actor, and ends with the count: whoever asked first may hang up while others wait for it.
        let task = running ?? Task { await counted(at: now) }
        running = task
        return try await task.value.get()
    }

    private func counted(at now: Date) async -> Result<Counts, Failure> {
        defer { running = nil }
        let started = ContinuousClock.now
        do throws(Failure) {
            let counts = try await count(now)
            let ended = ContinuousClock.now
            known = (ended + max(.seconds(5), started.duration(to: ended) * 20), counts)
            return .success(counts)
        } catch {
            return .failure(error)
        }
    }
}
