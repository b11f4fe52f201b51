public import Engine
public import ForecacheModel
import FoundationEssentials
public import Logging
import OpenStackAPI
import Planning
import RabbitMQSource
public import SSHFleet
import StrictYAML

/// The concrete shells behind the engine's ports: the only place that names them.
public struct Shells: Sendable {
    public let catalog: any ImageCatalog
    public let hosts: SSHFleet
    /// Nil without `notifications`, and where their `url_file` cannot be read: nobody would hear how Nova's work ends.
    public let nova: NovaCaching<WallClock>?
    /// Why that file cannot be read.
    public let unheard: Failure?
    /// Nil unless `verify_signatures`.
    public let signatures: SignatureCheck?

    /// Throws `.misconfigured` where there are no usable credentials; connects to nothing yet.
    public static func open(_ setup: Setup, environment: [String: String], logger: Logger) throws(Refusal) -> Shells {
        let openStack = try openStack(setup, environment: environment, logger: logger)
        let catalog = retrying(openStack, setup, logger)
        return Shells(
            catalog: catalog, hosts: hosts(setup, logger: logger), nova: try nova(setup, sharing: openStack, logger: logger),
            unheard: setup.configuration.notifications?.unheard, signatures: signatures(setup, catalog, openStack, logger: logger))
    }

    private static func signatures(
        _ setup: Setup, _ catalog: any ImageCatalog, _ openStack: OpenStackCatalog, logger: Logger
    ) -> SignatureCheck? {
        guard setup.configuration.verifiesSignatures else { return nil }
        let certificates = certificates(setup, sharing: openStack)
        return SignatureCheck(catalog: catalog, certificates: certificates, now: { Date() }, logger: logger)
    }

    private static func certificates(_ setup: Setup, sharing openStack: OpenStackCatalog) -> any SignatureCertificates {
        if let path = setup.configuration.signatureCertificates { return CertificateDirectory(path: path) }
        return Barbican(sharing: openStack)
    }

    /// Where the certificates of signers are asked for.
    static func certificates(_ setup: Setup, environment: [String: String], logger: Logger) throws(Refusal) -> any SignatureCertificates {
        certificates(setup, sharing: try openStack(setup, environment: environment, logger: logger))
    }

    /// Logs out of the hosts.
    public func close() async { await hosts.close() }

    public static func catalog(_ setup: Setup, environment: [String: String], logger: Logger) throws(Refusal) -> any ImageCatalog {
        retrying(try openStack(setup, environment: environment, logger: logger), setup, logger)
    }

    /// Glance's images by the base files that Nova makes of them; none where Glance cannot be asked, and `without` hears why.
    static func imagesByName(
        _ setup: Setup, environment: [String: String], logger: Logger, without: (String) -> Void
    ) async -> [BaseFileName: ImageFacts] {
        do throws(Refusal) {
            let catalog = try catalog(setup, environment: environment, logger: logger)
            do throws(Failure) {
                let images = try await catalog.images(named: nil).map { (BaseFileName(of: $0.id), $0) }
                return Dictionary(images) { first, _ in first }
            } catch {
                throw Refusal(error)
            }
        } catch {
            without(error.message ?? "")
            return [:]
        }
    }

    private static func retrying(_ catalog: OpenStackCatalog, _ setup: Setup, _ logger: Logger) -> any ImageCatalog {
        RetryingCatalog(catalog, limits: setup.configuration.limits, clock: WallClock(), logger: logger)
    }

    private static func nova(
        _ setup: Setup, sharing catalog: OpenStackCatalog, logger: Logger
    ) throws(Refusal) -> NovaCaching<WallClock>? {
        guard let notifications = setup.configuration.notifications, notifications.unheard == nil else { return nil }
        let limits = setup.configuration.limits
        do throws(Failure) {
            let settings = RabbitMQSettings(
                access: try access(notifications), exchanges: [notifications.novaExchange],
                topics: [notifications.novaTopic], queue: "\(notifications.queue).nova", prefetch: notifications.prefetch, isTemporary: true
            )
            let source = RabbitMQSource(settings: settings, limits: limits, logger: logger)
            return NovaCaching(
                nova: NovaAPI(sharing: catalog), reports: NovaReports(source: source, limits: limits, logger: logger), limits: limits,
                clock: WallClock(), logger: logger)
        } catch {
            throw .misconfigured(error)
        }
    }

    private static func openStack(_ setup: Setup, environment: [String: String], logger: Logger) throws(Refusal) -> OpenStackCatalog {
        let files = OperatorFiles(environment: environment)
        do throws(Failure) {
            let credentials = try Credentials.load(cloud: setup.configuration.cloud, environment: environment) { path throws(Failure) in
                try files.textIfThere(files.absolute(path, from: "."))
            }
            return try OpenStackCatalog(credentials: credentials, limits: setup.configuration.limits, logger: logger)
        } catch {
            throw .misconfigured(error)
        }
    }

    public static func hosts(_ setup: Setup, logger: Logger) -> SSHFleet {
        let (node, peer) = (setup.configuration.node, setup.configuration.peer)
        return SSHFleet(
            settings: SSHFleetSettings(
                cacheDirectory: node.cacheDirectory, owner: node.owner, container: node.container, containerCLI: node.containerCLI,
                novaConfiguration: node.novaConfiguration, caFile: node.caFile,
                peer: PeerSettings(
                    user: peer.user, identity: peer.identity, port: peer.port, knownHosts: peer.knownHosts,
                    hostKeyChecking: peer.hostKeyChecking)),
            limits: setup.configuration.limits, logger: logger)
    }

    /// The broker's queue. Throws `.misconfigured` where the configuration has no `notifications`, or their `url_file` cannot be read.
    public static func source(_ setup: Setup, isTemporary: Bool = false, logger: Logger) throws(Refusal) -> any NotificationSource {
        guard let notifications = setup.configuration.notifications else {
            let remedy = "add `notifications: { url_file: FILE }` with oslo's transport_url"
            throw .misconfigured(
                Failure(.permanent, "the configuration has no 'notifications', so there is nothing to listen to; \(remedy)"))
        }
        do throws(Failure) {
            var settings = try brokerSettings(notifications)
            settings.isTemporary = isTemporary
            return RabbitMQSource(settings: settings, limits: setup.configuration.limits, logger: logger)
        } catch {
            throw .misconfigured(error)
        }
    }

    static func brokerSettings(_ notifications: Configuration.Notifications) throws(Failure) -> RabbitMQSettings {
        RabbitMQSettings(
            access: try access(notifications), exchanges: notifications.exchanges, topics: notifications.topics,
            queue: notifications.queue, prefetch: notifications.prefetch)
    }

    private static func access(_ notifications: Configuration.Notifications) throws(Failure) -> BrokerAccess {
        if let unheard = notifications.unheard { throw unheard }
        return try TransportURL.parse(notifications.url)
    }
}

extension Configuration.Notifications {
    fileprivate var unheard: Failure? { unread.map { Failure(.permanent, $0.description) } }
}
