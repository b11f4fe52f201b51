import Engine
import ForecacheModel
import Planning

/// Whether hosts can copy from each other, at sites whose delivery needs it: each host asks its neighbour for a file that does not exist.
struct PeerExamination: Sendable {
    let setup: Setup
    let hosts: any HostOperations

    /// An image that nobody has, so that no base file has its name, of the version that UUIDs of images never have.
    static let nobodys = ImageID("f0ca0000-0000-0000-8000-000000000000")

    func findings(_ observed: [HostName: HostObservation]) async -> [DoctorReport.Finding] {
        let forks = Forks(setup.configuration.limits.forks)
        let pairs = setup.fleet.sites.filter(copies).flatMap { site -> [(Host, Host)] in
            let reached = site.hosts.filter { host in
                if case .surveyed = observed[host.name] { true } else { false }
            }
            guard reached.count > 1 else { return [] }
            return reached.indices.map { (reached[$0], reached[($0 + 1) % reached.count]) }
        }
        return await withTaskGroup(of: (Int, DoctorReport.Finding).self) { group in
            for (index, pair) in pairs.enumerated() {
                group.addTask { (index, await finding(pair.0, from: pair.1, forks).on(pair.0)) }
            }
            return await group.reduce(into: [(Int, DoctorReport.Finding)]()) { $0.append($1) }.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private func copies(_ site: Site) -> Bool {
        switch setup.policy.defaults.via(of: site) {
        case .direct, .novaAPI: false
        case .proxy, .relay: true
        }
    }

    private func finding(_ host: Host, from peer: Host, _ forks: Forks) async -> DoctorReport.Finding {
        guard peer.peerAddress != nil else {
            let network = setup.configuration.peer.network
            return .fail(
                "peer", "\(peer.name) has no variable '\(network)_ip', so \(host.name) cannot copy from it",
                "add it to \(peer.file), or name the network with `peer.network`")
        }
        guard let image = Self.nobodys, let digest = Digest(.md5, hex: String(repeating: "0", count: 32)) else {
            return .warn("peer", "not looked at", "report this as a fault of forecache")
        }
        let request = BaseFileRequest(image: image, bytes: 1, digest: digest)
        do throws(Failure) {
            _ = try await forks.run { () async throws(Failure) in try await hosts.copy(request, from: peer, on: host) { _ in } }
            return .ok("peer", "can copy from \(peer.name)")
        } catch {
            let said = error.description
            // What the try began is taken away again; where that fails, the sweep does it.
            try? await hosts.release(request, on: host)
            return Self.isMissing(BaseFileName(of: image), said)
                ? .ok("peer", "can copy from \(peer.name)")
                : .fail(
                    "peer", "cannot copy from \(peer.name): \(said)",
                    "check peer.user, peer.identity, peer.port and known hosts there, or set `via: direct` for the site")
        }
    }

    /// The peer looked for the file and has none: then login, account and directory were right. sftp, scp and our own copier all name the file; of others that
    /// are missing, a key or a program in the container, there is talk as well.
    private static func isMissing(_ name: BaseFileName, _ said: String) -> Bool {
        said.contains("\(name.text): No such file") || said.contains("\(name.text)\" not found")
    }
}
