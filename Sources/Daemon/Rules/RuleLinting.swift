public import ForecacheModel
import Planning
public import Rules
import StrictYAML

extension Setup {
    /// What rules are held against: all of the inventory, whatever the call selects of it; nil without hosts.
    public var lintFleet: Fleet? { inventory.hosts.isEmpty ? nil : inventory }

    /// What the configuration says that rules are held against. A TTL counts where the operator wrote one: else only the host knows its own.
    public var lintContext: LintContext {
        let (ttl, usual) = (configuration.ttl, TTLDefaults().seconds)
        return LintContext(
            refreshFraction: configuration.refreshFraction, resyncSeconds: configuration.resyncSeconds,
            configuration: Place(file: options.file ?? options.defaultFile)
        ) { host in
            ttl.roles[host.role] ?? (ttl.seconds == usual ? nil : ttl.seconds)
        }
    }
}
