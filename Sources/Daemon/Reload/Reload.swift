import Engine
import ForecacheModel
import FoundationEssentials
import Logging
import Rules
import SQLiteLedger
import StrictYAML

/// Takes changed files into force while the service runs: all of them or none. What is invalid, or wants too much at once, leaves the set before it working.
actor Reload<C: Clock> where C.Instant == WallInstant {
    private let policy: CurrentPolicy
    private let catalog: any ImageCatalog
    private let ledger: SQLiteLedger
    private let counters: EngineCounters
    private let clock: C
    private let logger: Logger
    /// Called after another policy came into force, with the hosts that are other machines now or are logged in to otherwise.
    private let applied: @Sendable ([HostName]) async -> Void

    /// What the service was started with: of this, what cannot change while it runs still counts.
    private let started: Configuration
    private var inForce: Setup
    /// The last set read, in force or not, and what is known of it.
    private var candidate: Candidate
    private var report: ReloadReport
    private var unsettled: [String: FilesRead.Stamp?]?
    private var isLooking = false
    private var isAskedAgain = false
    private var comparedAt: Date?

    private struct Candidate {
        var files: FilesRead
        /// Nil where it is invalid.
        var setup: Setup?
    }

    init(
        _ setup: Setup, policy: CurrentPolicy, catalog: any ImageCatalog, ledger: SQLiteLedger, counters: EngineCounters, clock: C,
        logger: Logger, applied: @escaping @Sendable ([HostName]) async -> Void
    ) {
        self.policy = policy
        self.catalog = catalog
        self.ledger = ledger
        self.counters = counters
        self.clock = clock
        self.logger = logger
        self.applied = applied
        started = setup.configuration
        inForce = setup
        candidate = Candidate(files: setup.files, setup: setup)
        report = ReloadReport(state: .applied, since: clock.now.date, set: setup.files.digest)
    }

    /// Editors and copies write in several steps: a change is taken once nothing changed between two looks.
    private static var lookEverySeconds: Double { 2 }
    private static var compareAgainSeconds: Double { 15 }

    /// Looks at the files for ever, until cancelled. Throws where the ledger fails.
    func run() async throws(Failure) {
        try await begin()
        while !Task.isCancelled {
            try await look()
            // Throws on cancellation only, which ends the loop.
            try? await clock.sleep(until: clock.now.advanced(by: .seconds(Self.lookEverySeconds)), tolerance: nil)
        }
    }

    /// Notes the set that the service started with.
    func begin() async throws(Failure) {
        if let last = try await ledger.reloadReport(), last.state == .held, last.changed == report.set {
            logger.warning(
                "the set of files that waited for approval is in force now: a start takes the files as they are",
                metadata: ["set": "\(report.set)"])
        }
        counters.record(report, isChange: false)
        try await ledger.record(report)
    }

    /// `isAsked`: by SIGHUP; the files are read again whether they look changed or not, and every image is looked at again.
    func look(isAsked: Bool = false) async throws(Failure) {
        guard !isLooking else {
            isAskedAgain = isAskedAgain || isAsked
            return
        }
        isLooking = true
        defer { isLooking = false }
        try await lookOnce(isAsked: isAsked)
        while isAskedAgain {
            isAskedAgain = false
            try await lookOnce(isAsked: true)
        }
    }

    private func lookOnce(isAsked: Bool) async throws(Failure) {
        if isAsked {
            logger.notice("asked to read the files again")
        } else if candidate.files.stamps == candidate.files.stampsNow() {
            unsettled = nil
            return try await lookAtWhatWaits()
        } else {
            let now = candidate.files.stampsNow()
            guard unsettled == now else {
                unsettled = now
                return
            }
        }
        unsettled = nil
        try await read(isAsked: isAsked)
    }

    /// Nothing changed on disk: an approval may have come, or Glance may be back.
    private func lookAtWhatWaits() async throws(Failure) {
        guard let setup = candidate.setup else { return }
        switch report.state {
        case .applied, .refused: return
        case .held:
            guard try await ledger.isApproved(candidate.files.digest) else { return }
            logger.notice("approved", metadata: ["set": "\(candidate.files.digest)"])
            try await apply(setup, report.difference)
        case .waiting:
            // A moment that lies ahead was noted before the clock was set back.
            if let comparedAt, comparedAt.isYounger(than: Self.compareAgainSeconds, at: clock.now.date) { return }
            try await consider(setup)
        }
    }

    private func read(isAsked: Bool) async throws(Failure) {
        let files = FilesRead()
        let setup: Setup
        do throws(Refusal) {
            setup = try Setup.load(inForce.options, journal: files)
            if setup.fleet.hosts.isEmpty { throw .usage("the inventory has no compute host any longer") }
        } catch {
            let isNews = report.state != .refused || files.digest != candidate.files.digest || isAsked
            candidate = Candidate(files: files, setup: nil)
            return try await refuse(error, isNews: isNews)
        }
        let isKnown = files.digest == candidate.files.digest && candidate.setup != nil
        candidate = Candidate(files: files, setup: setup)
        if files.digest == inForce.files.digest {
            try await settleUnchanged(setup, isAsked: isAsked)
        } else if isAsked || !isKnown {
            try await consider(setup)
        }
    }

    private func settleUnchanged(_ setup: Setup, isAsked: Bool) async throws(Failure) {
        if report.state != .applied {
            logger.notice("the files are again those in force", metadata: ["set": "\(setup.files.digest)"])
            try await note(ReloadReport(state: .applied, since: clock.now.date, set: setup.files.digest), isChange: false)
        } else if isAsked {
            logger.notice("the files have not changed", metadata: ["set": "\(setup.files.digest)"])
        }
        if isAsked { await applied([]) }
    }

    private func refuse(_ refusal: Refusal, isNews: Bool) async throws(Failure) {
        let problems = refusal.problemLines
        guard isNews || problems != report.problems else { return }
        logger.error(
            "changed files are not in force: they have problems; the set before them goes on working",
            metadata: ["problems": "\(problems.joined(separator: " | "))", "set": "\(inForce.files.digest)"])
        try await note(
            ReloadReport(
                state: .refused, since: clock.now.date, set: inForce.files.digest, changed: candidate.files.digest, problems: problems),
            isChange: true)
    }

    /// A valid set: put into force, or held.
    private func consider(_ setup: Setup) async throws(Failure) {
        let bound = setup.configuration.maxNewPlacements
        let difference: PlacementDifference?
        do throws(Failure) {
            let images = try await catalog.images(named: nil)
            let old = policy.value
            let began = try await ledger.matchesBegan(images.lazy.map(\.id), by: [old.rules, setup.policy.rules])
            difference = await PolicyComparison.difference(from: old, to: setup.policy, images: images, since: began, now: clock.now.date)
        } catch {
            if error.kind == .cancelled { throw error }
            guard bound == nil else { return try await wait(error) }
            // Without a bound nothing hangs on it but a line of the log.
            difference = nil
        }
        if let bound, let difference, difference.added > bound, !(try await ledger.isApproved(setup.files.digest)) {
            try await hold(setup, difference, bound)
        } else {
            try await apply(setup, difference)
        }
    }

    private func wait(_ failure: Failure) async throws(Failure) {
        comparedAt = clock.now.date
        guard report.state != .waiting || report.changed != candidate.files.digest else { return }
        let problem = "what they change cannot be told without Glance, which is asked again: \(failure)"
        logger.warning("changed files are not in force yet", metadata: ["reason": "\(problem)", "set": "\(inForce.files.digest)"])
        try await note(
            ReloadReport(
                state: .waiting, since: clock.now.date, set: inForce.files.digest, changed: candidate.files.digest, problems: [problem]),
            isChange: true)
    }

    private func hold(_ setup: Setup, _ difference: PlacementDifference, _ bound: Int) async throws(Failure) {
        let problem = """
            \(difference.added) new placements are more than reload.max_new_placements (\(bound)); look with 'forecache approve --check', \
            release with 'forecache approve'
            """
        var metadata = difference.metadata
        metadata["reason"] = "\(problem)"
        metadata["set"] = "\(setup.files.digest)"
        logger.warning("changed files are held for approval; the set before them goes on working", metadata: metadata)
        try await note(
            ReloadReport(
                state: .held, since: clock.now.date, set: inForce.files.digest, changed: setup.files.digest, problems: [problem],
                difference: difference, maxNewPlacements: bound), isChange: true)
    }

    private func apply(_ setup: Setup, _ difference: PlacementDifference?) async throws(Failure) {
        let moved = inForce.fleet.hosts.filter { setup.fleet.host($0.name) != $0 }.map(\.name)
        let atRestart = setup.configuration.differencesAtRestart(from: started)
        policy.replace(with: setup.policy)
        inForce = setup
        var metadata = difference?.metadata ?? ["new_placements": "not known", "removed_placements": "not known"]
        metadata["set"] = "\(setup.files.digest)"
        metadata["rules"] = "\(setup.rules.rules.count)"
        metadata["sites"] = "\(setup.fleet.sites.count)"
        metadata["hosts"] = "\(setup.fleet.hosts.count)"
        logger.notice("changed files are in force", metadata: metadata)
        if !atRestart.isEmpty { logger.warning("takes effect at restart", metadata: ["keys": "\(atRestart.joined(separator: ", "))"]) }
        for notice in setup.notices.list { logger.notice("note", metadata: ["text": "\(notice)"]) }
        try await note(
            ReloadReport(
                state: .applied, since: clock.now.date, set: setup.files.digest, difference: difference,
                maxNewPlacements: setup.configuration.maxNewPlacements, atRestart: atRestart), isChange: true)
        await applied(moved)
    }

    private func note(_ new: ReloadReport, isChange: Bool) async throws(Failure) {
        report = new
        counters.record(new, isChange: isChange)
        try await ledger.record(new)
    }
}

extension Refusal {
    /// One line a problem.
    fileprivate var problemLines: [String] {
        if case .invalid(let problems) = self { return problems.list.sorted().map(\.description) }
        return (message ?? "").split(separator: "\n").map(String.init)
    }
}

extension PlacementDifference {
    /// Of the rows only the first: a log line is no report.
    fileprivate var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = ["new_placements": "\(added)", "removed_placements": "\(removed)", "images": "\(images)"]
        guard !rows.isEmpty else { return metadata }
        let shown = rows.prefix(10).map { "\($0.image) (\($0.name.printable)) at \($0.site): +\($0.added) -\($0.removed)" }
        let more = rows.count + moreRows - shown.count
        metadata["difference"] = "\(shown.joined(separator: "; "))\(more > 0 ? "; and \(more) more" : "")"
        return metadata
    }
}
