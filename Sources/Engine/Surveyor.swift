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
    private let workWakeup: Wakeup
    private var known: [HostName: KnownSurvey] = [:]
    /// Hosts that did not answer lately, and for how long that is believed: not every image that wants one shall wait for its time-out.
    private var away: [HostName: (reason: String, since: Date, seconds: Double, tries: Int)] = [:]
    /// Hosts that are being surveyed, and who waits for the answer besides the one who asked.
    private var underWay: [HostName: [CheckedContinuation<Answer, Never>]] = [:]

    private enum Answer {
        case surveyed(KnownSurvey)
        case failed(reason: String)
    }

    public init(
        hosts: any HostOperations, ledger: any Ledger, limits: Limits, forks: Forks, clock: C, logger: Logger, workWakeup: Wakeup
    ) {
        self.hosts = hosts
        self.ledger = ledger
        self.limits = limits
        self.forks = forks
        self.clock = clock
        self.logger = logger
        self.workWakeup = workWakeup
    }

    /// Observations of all these hosts, `forks` at once; ages are as of now. Of the base files, only the image's own is in them.
    public func observations(of wanted: [Host], for image: ImageID) async -> [HostName: HostObservation] {
        let name = BaseFileName(of: image)
        var observed: [HostName: HostObservation] = [:]
        var unknown: [Host] = []
        for host in wanted {
            if let answer = knownAnswer(host.name, name) { observed[host.name] = answer } else { unknown.append(host) }
        }
        guard !unknown.isEmpty else { return observed }
        await withTaskGroup(of: (HostName, HostObservation).self) { group in
            for host in unknown { group.addTask { (host.name, await self.observation(of: host, name)) } }
            for await (name, observation) in group { observed[name] = observation }
        }
        return observed
    }

    /// An executor changed this host: the base file is there with age 0 from `moment` on. `bytes` nil: as many as it had when it was seen; where it was not, the
    /// next question goes to the host.
    public func note(_ name: BaseFileName, bytes: Int64?, on host: HostName, at moment: Date) {
        if known[host]?.note(name, bytes: bytes, at: moment) == false { known[host] = nil }
    }

    /// What was known of the host is wrong: the next question goes to the host itself.
    public func forget(_ host: HostName) {
        known[host] = nil
        away[host] = nil
    }

    /// The host answered somebody else: where it was believed to be away, it is asked at once.
    func heard(from host: Host) async {
        guard away.removeValue(forKey: host.name) != nil else { return }
        _ = await answer(of: host)
    }

    /// Nil where the host is to be asked.
    private func knownAnswer(_ host: HostName, _ name: BaseFileName) -> HostObservation? {
        let now = clock.now.date
        if let survey = known[host] {
            // A container that restarts answers again as soon as a host that does.
            let lasts = survey.isContainerSilent ? min(max(limits.awaySeconds, 5), limits.surveyMaxAgeSeconds) : limits.surveyMaxAgeSeconds
            if survey.surveyedAt.isYounger(than: Double(lasts), at: now) { return .surveyed(survey.about(name, at: now)) }
        }
        if let away = away[host], away.since.isYounger(than: away.seconds, at: now) {
            return .unreachable(reason: away.reason)
        }
        return nil
    }

    private func observation(of host: Host, _ name: BaseFileName) async -> HostObservation {
        if let answer = knownAnswer(host.name, name) { return answer }
        switch await answer(of: host) {
        case .surveyed(let survey): return .surveyed(survey.about(name, at: clock.now.date))
        case .failed(let reason): return .unreachable(reason: reason)
        }
    }

    /// Whoever asks first surveys; the others wait for that answer. Tasks are cancelled on shutdown only, and then it is everybody's end.
    private func answer(of host: Host) async -> Answer {
        if underWay[host.name] != nil { return await withCheckedContinuation { underWay[host.name, default: []].append($0) } }
        underWay[host.name] = []
        let answer = await survey(host)
        for waiter in underWay.removeValue(forKey: host.name) ?? [] { waiter.resume(returning: answer) }
        return answer
    }

    private func survey(_ host: Host) async -> Answer {
        do throws(Failure) {
            let survey = try await forks.run { () async throws(Failure) in try await hosts.survey(host) }
            let kept = KnownSurvey(survey)
            known[host.name] = kept
            away[host.name] = nil
            try await bringForward(try await ledger.record(survey, at: clock.now.date), on: host.name)
            return .surveyed(kept)
        } catch {
            guard error.kind != .cancelled else { return .failed(reason: error.description) }
            // Doubled each time: many hosts that are away for a day must not make every image wait for their time-outs.
            let tries = (away[host.name]?.tries ?? 0) + 1
            let pause = min(Double(limits.awaySeconds) * Double(1 << min(tries - 1, 20)), Limits.longestRetrySeconds)
            away[host.name] = (error.description, clock.now.date, pause, tries)
            logger.warning("survey failed", metadata: ["host": "\(host.name)", "reason": "\(error)"])
            do throws(Failure) {
                try await ledger.recordUnreachable(host.name, reason: error.description, at: clock.now.date)
            } catch {
                logger.error("ledger not writable", metadata: ["reason": "\(error)"])
            }
            return .failed(reason: error.description)
        }
    }

    /// The host is back: what failed for want of it, each image with a pause of its own by now, is looked at next.
    private func bringForward(_ images: [ImageID], on host: HostName) async throws(Failure) {
        guard !images.isEmpty else { return }
        logger.notice("host is back", metadata: ["host": "\(host)", "missing": "\(images.count)"])
        try await ledger.request(images, cause: .refresh, at: clock.now.date)
        workWakeup.wake()
    }
}
