import ForecacheModel
import Foundation
import Synchronization
import Testing

/// deploy/alerts.yaml asks for nothing that a running server does not export: such an alert would never fire.
@Suite struct AlertTests {
    private let rules: String

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        rules = try String(contentsOf: root.appending(path: "deploy/alerts.yaml"), encoding: .utf8)
    }

    private func samples() async throws -> [String] {
        var text = ""
        try await RunningServer.with { server in
            server.world.counters.withLock { ($0.resyncedAt, $0.resyncSeconds) = (RunningServer.now, 600) }
            text = try await server.get("/metrics").body
        }
        return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
    }

    @Test func everyMetricThatTheAlertsNameIsExported() async throws {
        let exported = Set(try await samples().compactMap { $0.firstMatch(of: /^[a-z_]+/).map { String($0.output) } })
        let named = Set(rules.matches(of: /forecache_[a-z_]+/).map { String($0.output) })
        #expect(named.subtracting(exported).isEmpty)
        let needed = [
            "forecache_placements_at_risk", "forecache_subscription_up", "forecache_reload_pending", "forecache_resync_age_seconds",
        ]
        #expect(named.isSuperset(of: needed))
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
