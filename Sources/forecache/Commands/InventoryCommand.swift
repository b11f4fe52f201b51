import ArgumentParser
import Daemon
import ForecacheModel

struct InventoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inventory", abstract: "Sites, roles and hosts as understood, with the file each came from.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await refusing { () async throws(Refusal) in
            let report = InventoryReport(try common.setupWithHosts().fleet)
            switch common.output {
            case .json: try answer(json: report)
            case .text:
                let rows = report.sites.flatMap { site in
                    site.hosts.map { host in
                        [
                            site.name.rawValue, host.name.rawValue, host.role.rawValue, "\(host.user)@\(host.address):\(host.port)",
                            host.peerAddress ?? "-", host.file,
                        ]
                    }
                }
                answer(table(["SITE", "HOST", "ROLE", "LOGIN", "PEER ADDRESS", "FILE"], rows))
            }
        }
    }
}
