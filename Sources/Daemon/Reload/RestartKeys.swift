import ForecacheModel

/// Which settings a running service cannot change: its connections, its files and its bounds are made of them at the start.
extension Configuration {
    /// Keys whose value differs from what the service was started with, and counts from the next start on.
    func differencesAtRestart(from started: Configuration) -> [String] {
        var keys: [String] = []
        func compare<Value: Equatable>(_ key: String, _ value: (Configuration) -> Value) {
            if value(self) != value(started) { keys.append(key) }
        }
        compare("cloud") { $0.cloud }
        compare("notifications.url") { $0.notifications?.url }
        compare("notifications") { configuration in
            var others = configuration.notifications
            if let url = started.notifications?.url { others?.url = url }
            return others
        }
        compare("refresh") { $0.refreshFraction }
        compare("resync") { $0.resyncSeconds }
        compare("verify_signatures") { $0.verifiesSignatures }
        compare("signature_certificates") { $0.signatureCertificates }
        // `node.format` is part of the policy.
        compare("node") { configuration in
            var others = configuration.node
            others.format = started.node.format
            return others
        }
        // `peer.network` decides the inventory's peer addresses, which are taken at once.
        compare("peer") { configuration in
            var others = configuration.peer
            others.network = started.peer.network
            return others
        }
        compare("state") { $0.state }
        compare("status.listen") { $0.status }
        compare("limits") { configuration in
            var others = configuration.limits
            others.forksPerSite = started.limits.forksPerSite
            others.relayForksPerSite = started.limits.relayForksPerSite
            return others
        }
        return keys
    }
}
