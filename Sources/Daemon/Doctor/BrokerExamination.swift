import ForecacheModel
import RabbitMQSource

/// RabbitMQ, without declaring, binding or taking anything.
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
            return findings(try await BrokerReport.make(try Shells.brokerSettings(notifications)), notifications)
        } catch {
            return [.fail("rabbitmq", error.description, "check `notifications.url`, the user's permissions, and the way to the broker")]
        }
    }

    private func findings(_ report: BrokerReport, _ notifications: Configuration.Notifications) -> [DoctorReport.Finding] {
        var findings: [DoctorReport.Finding] = [.ok("rabbitmq", "\(report.broker) took our login")]
        findings += report.exchanges.map { .ok("rabbitmq", "exchange '\($0)' is there") }
        findings += report.missingExchanges.sorted { $0.key < $1.key }.map { exchange, reason in
            .warn(
                "rabbitmq", "exchange '\(exchange)' cannot be used: \(reason.printable)",
                "Glance makes it with its first notification: set `driver = messagingv2` in its [oslo_messaging_notifications], and let our user read it"
            )
        }
        if let queue = report.ownQueue {
            if queue.consumers > 0 {
                findings.append(.ok("rabbitmq", "our queue '\(queue.name)' is read, \(queue.messages) messages wait"))
            } else {
                findings.append(
                    .warn(
                        "rabbitmq", "our queue '\(queue.name)' has no reader, \(queue.messages) messages wait",
                        "start 'forecache watch'; if it is not to run again, delete the queue, or it grows"))
            }
        } else {
            findings.append(
                .warn(
                    "rabbitmq", "our queue '\(notifications.queue)' is not there yet", "'forecache watch' makes and binds it at its start"))
        }
        for queue in report.publishersQueues where queue.consumers == 0 {
            findings.append(
                queue.messages > Self.forgotten
                    ? .warn(
                        "rabbitmq",
                        "nobody reads Glance's own queue '\(queue.name)': it has \(queue.messages) messages and grows without bound",
                        "rabbitmqctl set_policy notifications '^notifications\\.' '{\"max-length\":10000}' --apply-to queues")
                    : .ok("rabbitmq", "Glance's own queue '\(queue.name)' has \(queue.messages) messages and no reader"))
        }
        return findings
    }
}
