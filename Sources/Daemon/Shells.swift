public import Engine
import ForecacheModel
import FoundationEssentials
public import Logging
import OpenStackAPI
import RabbitMQSource
public import SSHFleet

/// The concrete shells behind the engine's ports: the only place that names them.
public struct Shells: Sendable {
    public let catalog: any ImageCatalog
    public let hosts: SSHFleet

    /// Throws `.misconfigured` where there are no usable credentials; connects to nothing yet.
    public static func open(_ setup: Setup, environment: [String: String], logger: Logger) throws(Refusal) -> Shells {
        Shells(catalog: try catalog(setup, environment: environment, logger: logger), hosts: hosts(setup, logger: logger))
    }

    /// Logs out of the hosts.
    public func close() async { await hosts.close() }

    public static func catalog(_ setup: Setup, environment: [String: String], logger: Logger) throws(Refusal) -> any ImageCatalog {
        let files = OperatorFiles(environment: environment)
        do throws(Failure) {
            let credentials = try Credentials.load(cloud: setup.configuration.cloud, environment: environment) { path in
                switch files.text(files.absolute(path, from: ".")) {
                case .success(let text): text
                case .failure: nil
                }
            }
            let limits = setup.configuration.limits
            let catalog = try OpenStackCatalog(credentials: credentials, limits: limits, logger: logger)
            return RetryingCatalog(catalog, limits: limits, clock: WallClock(), logger: logger)
        } catch {
            throw .misconfigured(error)
        }
    }

    public static func hosts(_ setup: Setup, logger: Logger) -> SSHFleet {
        let (node, peer) = (setup.configuration.node, setup.configuration.peer)
        return SSHFleet(
            settings: SSHFleetSettings(
                cacheDirectory: node.cacheDirectory, owner: node.owner, container: node.container, containerCLI: node.containerCLI,
                peer: PeerSettings(
                    user: peer.user, identity: peer.identity, port: peer.port, knownHosts: peer.knownHosts,
                    hostKeyChecking: peer.hostKeyChecking)),
            limits: setup.configuration.limits, logger: logger)
    }

    /// The broker's queue. Throws `.misconfigured` where the configuration has no `notifications`.
    public static func source(_ setup: Setup, isTemporary: Bool = false, logger: Logger) throws(Refusal) -> any NotificationSource {
        guard let notifications = setup.configuration.notifications else {
            let remedy = "add `notifications: { url_file: FILE }` with oslo's transport_url"
            throw .misconfigured(
                Failure(.permanent, "the configuration has no 'notifications', so there is nothing to listen to; \(remedy)"))
        }
        do throws(Failure) {
            let settings = RabbitMQSettings(
                access: try TransportURL.parse(notifications.url), exchanges: notifications.exchanges, topics: notifications.topics,
                queue: notifications.queue, prefetch: notifications.prefetch, isTemporary: isTemporary)
            return RabbitMQSource(settings: settings, limits: setup.configuration.limits, logger: logger)
        } catch {
            throw .misconfigured(error)
        }
    }
}
