import Engine
import ForecacheModel
import Planning

/// Surveys hosts side by side, without a ledger.
struct HostObserver: Sendable {
    let hosts: any HostOperations
    let forks: Forks

    init(hosts: any HostOperations, forks: Int) {
        self.hosts = hosts
        self.forks = Forks(forks)
    }

    /// All hosts of the fleet; those of sites that are left to Nova without logging in, for there SSH may not be allowed.
    func observe(_ policy: Policy) async -> [HostName: HostObservation] {
        var observed = await observe(policy.hostsWithSSH)
        for host in policy.fleet.hosts where observed[host.name] == nil { observed[host.name] = .told(since: nil, isDue: false) }
        return observed
    }

    func observe(_ wanted: [Host]) async -> [HostName: HostObservation] {
        await withTaskGroup(of: (HostName, HostObservation).self) { group in
            for host in wanted { group.addTask { (host.name, await observe(host)) } }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
    }

    private func observe(_ host: Host) async -> HostObservation {
        do throws(Failure) {
            return .surveyed(try await forks.run { () async throws(Failure) in try await hosts.survey(host) })
        } catch {
            return .unreachable(reason: error.description)
        }
    }
}
