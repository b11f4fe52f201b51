import Engine
import ForecacheModel
import FoundationEssentials
import SQLiteLedger

/// The state file and its directory, and how the running service's own files stand.
struct LedgerExamination: Sendable {
    let setup: Setup

    func findings() async -> [DoctorReport.Finding] {
        let path = setup.configuration.state
        let manager = FileManager.default
        if OperatorFiles.isAbsent(path) {
            var directory = OperatorFiles.parent(of: path)
            while !manager.fileExists(atPath: directory), directory.count > 1 { directory = OperatorFiles.parent(of: directory) }
            guard manager.isWritableFile(atPath: directory) else {
                return [
                    .fail(
                        "state", "there is no ledger yet, and this user cannot make \(path)",
                        "make \(directory) writable for the service's user, or set `state:`")
                ]
            }
            return [.ok("state", "no ledger yet; it will be made at \(path)")]
        }
        do throws(Failure) {
            let ledger = try SQLiteLedger.reading(path: path)
            let waiting = try await ledger.workCount()
            var findings: [DoctorReport.Finding] = [.ok("state", "ledger \(path) can be read, \(waiting) images wait")]
            if !manager.isWritableFile(atPath: path) {
                findings.append(.warn("state", "this user cannot write \(path)", "run 'watch' as the user that owns it"))
            }
            let policy = StatusPolicy(try await ledger.reloadReport())
            if let state = policy.state, state != .applied {
                findings.append(.warn("reload", policy.sentence, "correct the files; 'forecache approve' releases what is held"))
            } else if !policy.atRestart.isEmpty {
                findings.append(
                    .warn("reload", "changed since the start: \(policy.atRestart.joined(separator: ", "))", "systemctl restart forecache"))
            }
            if let odd = try await ledger.oddMessages(limit: 1).first {
                let what = "\(odd.exchange.printable)/\(odd.routingKey.printable), \(RFC3339.text(odd.receivedAt))"
                findings.append(
                    .warn(
                        "notifications",
                        "one could not be understood (\(what)): \(odd.reason.printable); it begins “\(String(odd.excerpt.prefix(80)).printable)”",
                        "see with 'forecache events' who sends it; a resync finds the images all the same"))
            }
            return findings
        } catch {
            return [.fail("state", error.description, "see the message")]
        }
    }
}
