import Engine
import ForecacheModel
import FoundationEssentials
public import Logging
import Planning
import Rules
import SSHFleet
import StrictYAML

/// Everything that a first day needs, looked at without changing anything that counts: files, keys, Keystone, Glance, RabbitMQ, every host, the ledger.
public struct Doctor: Sendable {
    private typealias Finding = DoctorReport.Finding

    private let setup: Setup
    private let environment: [String: String]
    private let logger: Logger

    public init(setup: Setup, environment: [String: String], logger: Logger) {
        self.setup = setup
        self.environment = environment
        self.logger = logger
    }

    /// What can be said where the files themselves have problems: nothing else is looked at then.
    public static func report(on refusal: Refusal) -> DoctorReport {
        if case .invalid(let problems) = refusal {
            return DoctorReport(
                problems.list.sorted().map {
                    .fail("configuration", $0.description, "correct the file; 'forecache rules lint' checks rules alone")
                })
        }
        return DoctorReport([.fail("configuration", refusal.message ?? "", "correct the call or the configuration")])
    }

    /// `tell` hears of each finding as soon as it is made.
    public func examine(_ tell: (DoctorReport.Finding) -> Void) async -> DoctorReport {
        var findings: [Finding] = []
        func add(_ more: [Finding]) {
            for finding in more { tell(finding) }
            findings += more
        }
        add(files())
        add(logins())
        add(await LedgerExamination(setup: setup).findings())
        add(await CloudExamination(setup: setup, environment: environment, logger: logger).findings())
        add(await BrokerExamination(setup: setup).findings())
        add(await hosts())
        return DoctorReport(findings)
    }

    // MARK: - The operator's files

    private func files() -> [Finding] {
        let (rules, fleet) = (setup.rules, setup.fleet)
        var findings: [Finding] = [.ok("configuration", "read without problems")]
        if fleet.hosts.isEmpty {
            findings.append(
                .fail("inventory", "no compute host", "name Ansible inventories with `inventory: [PATH]`, and check `hosts_group`"))
        } else {
            findings.append(.ok("inventory", "\(CountText.of(fleet.sites.count, "site")), \(CountText.of(fleet.hosts.count, "host"))"))
        }
        let notes = [("inventory", setup.notices.others), ("rules", setup.notices.onRules)]
        findings += notes.flatMap { check, notes in
            notes.list.map { .warn(check, $0.description, "correct the \(check) where it is not meant so") }
        }
        if rules.rules.isEmpty {
            findings.append(.warn("rules", "no rules, so no image will ever be wanted", "name rule files with `rules: [PATH]`"))
        } else {
            let warnings = RuleLint.warnings(in: rules, fleet: setup.lintFleet, context: setup.lintContext).list.sorted()
            findings.append(.ok("rules", "\(CountText.of(rules.rules.count, "rule")), \(CountText.of(warnings.count, "warning"))"))
            findings += warnings.map { .warn("rules", $0.description, "see 'forecache rules lint'") }
        }
        if !["127.0.0.1", "::1", "localhost"].contains(setup.configuration.status.host) {
            findings.append(
                .warn(
                    "status", "the status page listens on \(setup.configuration.status.host), and has no authentication",
                    "keep `status.listen` on 127.0.0.1, or put a proxy with authentication before it"))
        }
        return findings
    }

    /// Key files and known hosts as the hosts name them, each told once.
    private func logins() -> [Finding] {
        let hosts = setup.policy.hostsWithSSH
        let logins = Set(hosts.map(\.ssh))
        var findings: [Finding] = []
        for path in Set(logins.flatMap(\.identityFiles)).sorted() {
            guard FileManager.default.isReadableFile(atPath: path) else {
                findings.append(
                    .fail("ssh", "key \(path) cannot be read", "make it readable for this user alone, or correct `ssh.identity`"))
                continue
            }
            // Readable, so it is there; where it goes at this moment, nothing is lost.
            let mode = (try? FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int) ?? 0
            if mode & 0o007 != 0 {
                findings.append(.warn("ssh", "key \(path) can be read by everybody", "chmod o-rwx \(path)"))
            } else {
                findings.append(.ok("ssh", "key \(path) can be read"))
            }
        }
        let keyless = hosts.filter(\.ssh.identityFiles.isEmpty)
        if let first = keyless.first, environment["SSH_AUTH_SOCK"] == nil {
            findings.append(
                .fail("ssh", "no key for \(keyless.count) hosts, \(first.name) first, and no agent", "name keys with `ssh.identity`"))
        }
        if logins.contains(where: { $0.hostKeyChecking == .off }) {
            findings.append(
                .warn("ssh", "host keys are not checked: anybody on the way can be the host", "set `ssh.host_key_checking: strict`"))
        }
        for files in Set(logins.filter { $0.hostKeyChecking == .strict }.map(\.knownHostsFiles)).sorted(by: {
            $0.lexicographicallyPrecedes($1)
        }) {
            // One that is not there does no harm beside another, as `ssh` has it.
            let unreadable = files.filter { !FileManager.default.isReadableFile(atPath: $0) }
            let missed = unreadable.count < files.count ? unreadable.filter { !OperatorFiles.isAbsent($0) } : Array(unreadable.prefix(1))
            for path in missed {
                findings.append(
                    .fail("ssh", "known hosts \(path) cannot be read", "ssh-keyscan -H HOST… > \(path), and compare the fingerprints"))
            }
        }
        return findings
    }

    // MARK: - Hosts

    private func hosts() async -> [Finding] {
        let fleet = Shells.hosts(setup, logger: logger)
        let observed = await HostObserver(hosts: fleet, forks: setup.configuration.limits.forks).observe(setup.policy)
        let examination = HostExamination(setup: setup)
        var findings = setup.fleet.hosts.flatMap { host in
            examination.findings(host, observed[host.name] ?? .unreachable(reason: "not surveyed")).map { $0.on(host) }
        }
        findings += await PeerExamination(setup: setup, hosts: fleet).findings(observed)
        await fleet.close()
        return findings
    }
}
