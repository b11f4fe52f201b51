import ForecacheModel
import Planning
public import Rules
import StrictYAML

extension Setup {
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
