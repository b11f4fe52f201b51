public import ForecacheModel
public import FoundationEssentials
public import Logging
public import Planning

/// What lies on the hosts, asked at most once at a time and not again while the answer is young. Every answer goes to the ledger as well.
public actor Surveyor<C: Clock> where C.Instant == WallInstant {
    private let hosts: any HostOperations
    private let ledger: any Ledger
    private let limits: Limits
    private let forks: Forks
    private let clock: C
    private let logger: Logger
    private var known: [HostName: HostSurvey] = [:]
    /// Hosts that did not answer lately, and until when that is believed: not every image that wants one shall wait for its time-out.
    private var away: [HostName: (reason: String, until: Date)] = [:]
    private var underWay: [HostName: Task<HostObservation, Never>] = [:]

    public init(hosts: any HostOperations, ledger: any Ledger, limits: Limits, forks: Forks, clock: C, logger: Logger) {
        self.hosts = hosts
        self.ledger = ledger
        self.limits = limits
        self.forks = forks
        self.clock = clock
        self.logger = logger
    }

    /// Observations of all these hosts, `forks` at once; ages are as of now.
    public nonisolated func observations(of wanted: [Host]) async -> [HostName: HostObservation] {
        await withTaskGroup(of: (HostName, HostObservation).self) { group in
            for host in wanted { group.addTask { (host.name, await self.observation(of: host)) } }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
    }

    /// An executor changed this host: the base file is there with age 0 from `moment` on.
    public func note(_ name: BaseFileName, bytes: Int64, on host: HostName, at moment: Date) {
        guard var survey = known[host] else { return }
        survey.baseFiles.removeAll { $0.name == name }
        let age = survey.surveyedAt.timeIntervalSince(moment)
        survey.baseFiles.append(BaseFile(name: name, bytes: bytes, allocatedBytes: bytes, ageSeconds: age))
        known[host] = survey
    }

    /// What was known of the host is wrong: the next question goes to the host itself.
    public func forget(_ host: HostName) {
        known[host] = nil
        away[host] = nil
    }

    private func observation(of host: Host) async -> HostObservation {
        let now = clock.now.date
        if let survey = known[host.name], (0..<Double(limits.surveyMaxAgeSeconds)).contains(now.timeIntervalSince(survey.surveyedAt)) {
            return .surveyed(survey.aged(to: now))
        }
        if let away = away[host.name], now < away.until { return .unreachable(reason: away.reason) }
        if let running = underWay[host.name] { return await running.value }
        // Owned by this actor and ended by the node's own deadline; several reconciles may wait for it, so none of them owns it.
        let survey = Task { await self.survey(host) }
        underWay[host.name] = survey
        defer { underWay[host.name] = nil }
        // Cancelled on shutdown only, and then for everybody who waits.
        return await withTaskCancellationHandler {
            await survey.value
        } onCancel: {
            survey.cancel()
        }
    }

    private func survey(_ host: Host) async -> HostObservation {
        do throws(Failure) {
            let survey = try await forks.run { () async throws(Failure) in try await hosts.survey(host) }
            known[host.name] = survey
            away[host.name] = nil
            try await ledger.record(survey, at: clock.now.date)
            return .surveyed(survey)
        } catch {
            guard error.kind != .cancelled else { return .unreachable(reason: error.description) }
            let until = clock.now.date.addingTimeInterval(Double(limits.awaySeconds))
            away[host.name] = (error.description, until)
            logger.warning("survey failed", metadata: ["host": "\(host.name)", "reason": "\(error)"])
            do throws(Failure) {
                try await ledger.recordUnreachable(host.name, reason: error.description, at: clock.now.date)
            } catch {
                logger.error("ledger not writable", metadata: ["reason": "\(error)"])
            }
            return .unreachable(reason: error.description)
        }
    }
}

extension HostSurvey {
    /// The same survey as it would read at a later moment, if nothing else changed.
    func aged(to now: Date) -> HostSurvey {
        var later = self
        let passed = now.timeIntervalSince(surveyedAt)
        later.surveyedAt = now
        for index in later.baseFiles.indices { later.baseFiles[index].ageSeconds += passed }
        return later
    }
}
