import ForecacheModel
import Foundation
import Synchronization
import Testing

/// deploy/alerts.yaml and deploy/dashboard.json ask for nothing that a running server does not export: such an alert would never fire, such a panel stay empty.
@Suite struct AlertTests {
    private let rules: String
    private let dashboard: Data

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        rules = try String(contentsOf: root.appending(path: "deploy/alerts.yaml"), encoding: .utf8)
        dashboard = try Data(contentsOf: root.appending(path: "deploy/dashboard.json"))
    }

    private func samples() async throws -> [String] {
        var text = ""
        try await RunningServer.with { server in
            server.world.counters.withLock {
                ($0.lastEventAt, $0.resyncedAt, $0.resyncSeconds) = (RunningServer.now, RunningServer.now, 600)
            }
            text = try await server.get("/metrics").body
        }
        return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
    }

    private func exported() async throws -> Set<String> {
        Set(try await samples().compactMap { $0.firstMatch(of: /^[a-z_]+/).map { String($0.output) } })
    }

    private func metrics(in text: String) -> Set<String> { Set(text.matches(of: /forecache_[a-z_]+/).map { String($0.output) }) }

    @Test func everyMetricThatTheAlertsNameIsExported() async throws {
        let exported = try await exported()
        let named = metrics(in: rules)
        #expect(named.subtracting(exported).isEmpty)
        let needed = [
            "forecache_placements_at_risk", "forecache_subscription_up", "forecache_reload_pending", "forecache_resync_age_seconds",
        ]
        #expect(named.isSuperset(of: needed))
    }

    private struct Dashboard: Decodable {
        var panels: [Panel]

        struct Panel: Decodable {
            var type: String
            var title: String
            var description: String?
            var targets: [Target]?
        }

        struct Target: Decodable {
            var expr: String
            var instant: Bool?
        }
    }

    @Test func theDashboardShowsEveryMetricAndNoOther() async throws {
        let exported = try await exported()
        let panels = try JSONDecoder().decode(Dashboard.self, from: dashboard).panels.filter { $0.type != "row" }
        #expect(panels.allSatisfy { $0.description?.isEmpty == false })
        // Else the last value of a service that died would stay there for a day.
        #expect(panels.filter { $0.type == "stat" }.allSatisfy { $0.targets?.allSatisfy { $0.instant == true } == true })
        let shown = metrics(in: panels.flatMap { $0.targets ?? [] }.map(\.expr).joined(separator: "\n"))
        // How the ledger is, `ready` says; the interval is there for the alert on it.
        #expect(shown.symmetricDifference(exported) == ["forecache_ledger_up", "forecache_resync_interval_seconds"])
    }

    @Test func everyLabelThatThePanelsGroupByIsExported() async throws {
        let samples = try await samples()
        let groups = String(decoding: dashboard, as: UTF8.self).matches(of: /by \(([a-z]+)\) \([a-z(]*(forecache_[a-z_]+)/)
        for group in groups where group.output.1 != "instance" {
            #expect(samples.contains { $0.hasPrefix("\(group.output.2){\(group.output.1)=") }, "\(group.output.0)")
        }
        #expect(groups.contains { $0.output.1 == "state" })
    }

    @Test func everyLabelThatTheAlertsSelectIsExported() async throws {
        let samples = try await samples()
        let selectors = rules.matches(of: /(forecache_[a-z_]+)\{([a-z_]+)=~?"([a-z|]+)"\}/)
        #expect(!selectors.isEmpty)
        for selector in selectors {
            for value in selector.output.3.split(separator: "|") {
                let start = "\(selector.output.1){\(selector.output.2)=\"\(value)\"} "
                #expect(samples.contains { $0.hasPrefix(start) }, "\(start)")
            }
        }
    }

    @Test func everyAlertTellsWhatItMeans() {
        let alerts = rules.components(separatedBy: "- alert: ").dropFirst()
        #expect(alerts.count > 5)
        for alert in alerts {
            for key in ["expr:", "severity:", "summary:", "description:"] {
                #expect(alert.contains(key), "\(alert.prefix(40)) has no \(key)")
            }
        }
    }
}
