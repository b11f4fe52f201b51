import ForecacheModel
import StrictYAML

/// The keys of `limits:`, each the snake_case name of a bound in `Limits`.
enum LimitKeys {
    /// How many hosts may be told to work at once, wherever that is said.
    static let forks = 1...10_000

    private static let keys: [(String, any WritableKeyPath<Limits, Int> & Sendable, ClosedRange<Int>)] = [
        ("forks", \.forks, forks),
        ("forks_per_site", \.forksPerSite, forks),
        ("relay_forks_per_site", \.relayForksPerSite, forks),
        ("images_at_once", \.imagesAtOnce, 1...1000),
        ("images_in_flight", \.imagesInFlight, 1...10_000),
        ("images_per_site", \.imagesPerSite, 1...1000),
        ("survey_max_age_seconds", \.surveyMaxAgeSeconds, 1...86400),
        ("away_seconds", \.awaySeconds, 0...3600),
        ("backoff_seconds", \.backoffSeconds, 1...3600),
        ("backoff_max_seconds", \.backoffMaxSeconds, 1...86400),
        ("catalog_tries", \.catalogTries, 1...20),
        ("stall_seconds", \.stallSeconds, 5...3600),
        ("command_seconds", \.commandSeconds, 5...3600),
        ("publish_seconds", \.publishSeconds, 10...86400),
        ("precache_silence_seconds", \.precacheSilenceSeconds, 5...86400),
        ("node_line_bytes", \.nodeLineBytes, 1024...(1 << 20)),
        ("message_bytes", \.messageBytes, 1024...(64 << 20)),
        ("waiting_message_bytes", \.waitingMessageBytes, 1024...(1 << 30)),
        ("odd_messages", \.oddMessages, 0...100_000),
        ("history", \.history, 0...10_000_000),
        ("touches_per_command", \.touchesPerCommand, 1...10_000),
        ("temporary_seconds", \.temporarySeconds, 3600...(365 * 86400)),
        ("drain_seconds", \.drainSeconds, 1...600),
        ("status_clients", \.statusClients, 1...10_000),
    ]

    static func read(_ value: Value, _ problems: inout Problems) -> Limits? {
        guard var mapping = Mapping(value, "limits", &problems) else { return nil }
        var limits = Limits()
        for (key, path, range) in keys {
            if let number = mapping.take(key)?.integer("limits.\(key)", in: range, &problems) { limits[keyPath: path] = number }
        }
        mapping.finish(&problems)
        return limits
    }
}
