/// What an operator does at the broker for us, in the words of rabbitmqctl.
public enum BrokerCommands {
    /// Queues of our own for `user`, and to read the publishers' exchanges. Replaces what the user had before.
    public static func permissions(for user: String, at virtualHost: String, queue: String, exchanges: [String]) -> String {
        let own = "\(pattern(queue))(\\.|$)"
        let read = (exchanges.map { "\(pattern($0))$" } + [own]).joined(separator: "|")
        return "rabbitmqctl set_permissions \(option(virtualHost))\(user) '^\(own)' '^\(own)' '^(\(read))'"
    }

    /// Bounds the queues that the publishers make for themselves, and ours. Of the policies that match a queue only one counts: with priority 1 it is this one,
    /// and not the policy of priority 0 that TripleO has for all queues.
    public static func bounds(at virtualHost: String, queue: String, topics: [String]) -> String {
        let names = topics.map { "\(pattern($0))\\." } + ["\(pattern(queue))$"]
        let all = names.count == 1 ? names[0] : "(\(names.joined(separator: "|")))"
        return "rabbitmqctl set_policy \(option(virtualHost))--priority 1 --apply-to queues forecache '^\(all)' '{\"max-length\":10000}'"
    }

    /// For a subscription, which does not know what else the user has to read.
    static func reading(_ exchange: String, for user: String, at virtualHost: String) -> String {
        "rabbitmqctl set_permissions \(option(virtualHost))\(user) CONFIGURE WRITE 'READ|^\(pattern(exchange))$'"
            + " with the three as rabbitmqctl list_permissions \(option(virtualHost))shows them; 'forecache doctor' names the whole command"
    }

    /// rabbitmqctl's own default is `/`.
    private static func option(_ virtualHost: String) -> String { virtualHost == "/" ? "" : "-p \(virtualHost) " }

    /// A regular expression that is the name itself.
    private static func pattern(_ name: String) -> String {
        String(name.flatMap { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" ? [$0] : ["\\", $0] })
    }
}
