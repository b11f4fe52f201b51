import Engine
import ForecacheModel
import RabbitMQSource
import Rules

/// RabbitMQ, without making, binding or reading our own queue: what we may do is tried out on one that goes at once.
struct BrokerExamination: Sendable {
    let setup: Setup

    /// More than this, and with no consumer, is no queue that somebody is about to read.
    private static let forgotten = 1000

    func findings() async -> [DoctorReport.Finding] {
        guard let notifications = setup.configuration.notifications else {
            return [
                .fail(
                    "rabbitmq", "the configuration has no 'notifications'",
                    "add `notifications: { url_file: FILE }` with oslo's transport_url; without it only commands by hand work")
            ]
        }
        do throws(Failure) {
            let settings = try Shells.brokerSettings(notifications)
            let report = try await BrokerReport.make(settings)
            var findings = permissions(report, settings, notifications) + ownQueue(report, notifications)
            findings += publishers(report, settings, notifications)
            if asksNova {
                var nova = settings
                (nova.exchanges, nova.topics) = ([notifications.novaExchange], [notifications.novaTopic])
                let ofNova = try await BrokerReport.make(nova)
                findings += exchanges(ofNova, settings, notifications) + publishers(ofNova, settings, notifications)
            }
            return findings
        } catch {
            return [.fail("rabbitmq", error.description, "check `notifications`, the user's permissions, and the way to the broker")]
        }
    }

    /// Whether Nova's own notifications are needed to hear how its pre-caching ends.
    private var asksNova: Bool {
        setup.policy.hostsWithSSH.count < setup.fleet.hosts.count || setup.rules.rules.contains { $0.deliver.via == .novaAPI }
    }

    // MARK: - What we may do

    private func permissions(
        _ report: BrokerReport, _ settings: RabbitMQSettings, _ notifications: Configuration.Notifications
    ) -> [DoctorReport.Finding] {
        let login = DoctorReport.Finding.ok("rabbitmq", "\(report.broker) took our login")
        guard let refusal = report.queueRefusal else { return [login] + exchanges(report, settings, notifications) }
        return [
            login,
            .fail(
                "rabbitmq", "\(report.user) may have no queue of its own: \(refusal.printable)", command(report, settings, notifications)),
        ]
    }

    private func exchanges(
        _ report: BrokerReport, _ settings: RabbitMQSettings, _ notifications: Configuration.Notifications
    ) -> [DoctorReport.Finding] {
        let there = report.exchanges.map {
            DoctorReport.Finding.ok("rabbitmq", "exchange '\($0)' is there, and a queue of ours can be bound to it")
        }
        let refused = report.refusedExchanges.sorted { $0.key < $1.key }.map { exchange, reason in
            DoctorReport.Finding.fail(
                "rabbitmq", "exchange '\(exchange)' may not be read by \(report.user): \(reason.printable)",
                command(report, settings, notifications))
        }
        let missing = report.missingExchanges.sorted { $0.key < $1.key }.map { exchange, reason in
            DoctorReport.Finding.warn(
                "rabbitmq", "exchange '\(exchange)' is not there: \(reason.printable)",
                exchange == notifications.novaExchange
                    ? "Nova makes it with its first message; set `notification_format = versioned` or `both` in nova.conf's [notifications]"
                    : "Glance makes it with its first notification: set `driver = messagingv2` in its [oslo_messaging_notifications]")
        }
        return there + refused + missing
    }

    /// All that our user needs in one command: it replaces what the user had.
    private func command(
        _ report: BrokerReport, _ settings: RabbitMQSettings, _ notifications: Configuration.Notifications
    ) -> String {
        BrokerCommands.permissions(
            for: report.user, at: settings.access.virtualHost, queue: notifications.queue,
            exchanges: notifications.exchanges + (asksNova ? [notifications.novaExchange] : []))
    }

    // MARK: - Queues that grow

    private func ownQueue(_ report: BrokerReport, _ notifications: Configuration.Notifications) -> [DoctorReport.Finding] {
        guard let queue = report.ownQueue else {
            return [
                .warn(
                    "rabbitmq", "our queue '\(notifications.queue)' is not there yet", "'forecache watch' makes and binds it at its start")
            ]
        }
        guard queue.consumers == 0 else {
            return [.ok("rabbitmq", "our queue '\(queue.name)' is read, \(queue.messages) messages wait")]
        }
        return [
            .warn(
                "rabbitmq", "our queue '\(queue.name)' has no reader, \(queue.messages) messages wait",
                "start 'forecache watch'; if it is not to run again, 'rabbitmqctl delete_queue \(queue.name)': nothing but a policy bounds it"
            )
        ]
    }

    private func publishers(
        _ report: BrokerReport, _ settings: RabbitMQSettings, _ notifications: Configuration.Notifications
    ) -> [DoctorReport.Finding] {
        let bounds = BrokerCommands.bounds(
            at: settings.access.virtualHost, queue: notifications.queue,
            topics: notifications.topics + (asksNova ? [notifications.novaTopic] : []))
        return report.publishersQueues.filter { $0.consumers == 0 }.map { queue in
            queue.messages > Self.forgotten
                ? .warn(
                    "rabbitmq",
                    "nobody reads the publishers' own queue '\(queue.name)': it has \(queue.messages) messages and grows unless a policy bounds it",
                    "\(bounds), with the ha-* keys of the policy that rabbitmqctl list_policies shows for it, since only one policy counts")
                : .ok("rabbitmq", "the publishers' own queue '\(queue.name)' has \(queue.messages) messages and no reader")
        }
    }
}
