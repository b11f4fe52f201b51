public import ForecacheModel
import Foundation

/// oslo.messaging's `transport_url`: `rabbit://user:password@host1:5672,user:password@host2:5672/vhost?ssl=1&ssl_ca_file=…`, and `amqp://`, `amqps://`,
/// `kombu+rabbit://` likewise.
///
/// User, password, virtual host and options are percent-decoded. No part of the URL appears in an error: a misplaced `/` or `@` makes a password look like
/// a host or port.
public enum TransportURL {
    public static func parse(_ url: Secret) throws(Failure) -> BrokerAccess {
        let text = url.reveal().trimmingCharacters(in: .whitespacesAndNewlines)
        guard text.utf8.count <= 16384, !text.utf8.contains(0) else { throw refused("is longer than 16 KiB or holds a NUL") }
        guard let schemeEnd = text.range(of: "://") else { throw refused("has no scheme such as rabbit://") }
        let scheme = text[..<schemeEnd.lowerBound].lowercased()
        guard ["rabbit", "amqp", "amqps", "kombu+rabbit", "pyamqp", "kombu+amqp"].contains(scheme) else {
            throw refused("has a scheme other than rabbit://, amqp:// and amqps:// (kombu+rabbit:// is understood too)")
        }
        let rest = text[schemeEnd.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let (path, query) = split(rest[authority.endIndex...])

        let options = try Options(query)
        let isTLS = options.isTLS ?? (scheme == "amqps")
        var access = BrokerAccess(hosts: try hosts(authority, defaultPort: scheme == "amqps" ? 5671 : 5672))
        access.virtualHost = try virtualHost(path)
        access.tls = isTLS ? options.tls : nil
        if let seconds = options.heartbeatSeconds { access.heartbeatSeconds = seconds }
        return access
    }

    private static func split(_ rest: Substring) -> (path: Substring, query: Substring) {
        guard let mark = rest.firstIndex(of: "?") else { return (rest, "") }
        return (rest[..<mark], rest[rest.index(after: mark)...])
    }

    private static func virtualHost(_ path: Substring) throws(Failure) -> String {
        guard !path.contains("#") else { throw refused("has a '#' in it: write it as %23") }
        let name = try decoded(path.dropFirst(), "the virtual host")
        // `rabbit://host` and `rabbit://host/` both mean the broker's default one, as in kombu.
        return name.isEmpty ? "/" : name
    }

    // MARK: - Hosts

    private static func hosts(_ authority: Substring, defaultPort: Int) throws(Failure) -> [BrokerHost] {
        var hosts: [BrokerHost] = []
        for (index, part) in authority.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            // Without an account of its own a host has that of the host before it; the first, RabbitMQ's default.
            let before = hosts.last ?? BrokerHost(host: "", user: "guest", password: Secret("guest"))
            hosts.append(try host(part, number: index + 1, defaultPort: defaultPort, before: before))
        }
        return hosts
    }

    private static func host(_ text: Substring, number: Int, defaultPort: Int, before: BrokerHost) throws(Failure) -> BrokerHost {
        var result = before
        var address = text
        if let at = text.lastIndex(of: "@") {
            address = text[text.index(after: at)...]
            let account = text[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            result.user = try decoded(account[0], "the user of host \(number)")
            result.password = Secret(account.count == 2 ? try decoded(account[1], "the password of host \(number)") : "")
        }
        var port = Substring()
        if address.first == "[" {
            guard let close = address.firstIndex(of: "]") else { throw refused("has a '[' without its ']' in host \(number)") }
            result.host = String(address[address.index(after: address.startIndex)..<close])
            port = address[address.index(after: close)...]
        } else {
            let colon = address.firstIndex(of: ":") ?? address.endIndex
            result.host = String(address[..<colon])
            port = address[colon...]
        }
        let allowed = result.host.utf8.allSatisfy { byte in
            Character(Unicode.Scalar(byte)).isLetter && byte < 0x80 || (0x30...0x3A).contains(byte)
                || [0x25, 0x2D, 0x2E, 0x5F].contains(byte)
        }
        guard !result.host.isEmpty, allowed else { throw refused("has no valid name or address as host \(number)\(hint)") }
        result.port = try self.port(port, number: number, defaultPort: defaultPort)
        return result
    }

    private static func port(_ text: Substring, number: Int, defaultPort: Int) throws(Failure) -> Int {
        if text.isEmpty || text == ":" { return defaultPort }
        guard text.first == ":", let port = Int(text.dropFirst()), (1...65535).contains(port) else {
            throw refused("has no port from 1 to 65535 at host \(number)\(hint)")
        }
        return port
    }

    static func decoded(_ text: Substring, _ what: String) throws(Failure) -> String {
        guard let decoded = text.removingPercentEncoding, !decoded.utf8.contains(0) else {
            throw refused("is not percent-encoded rightly in \(what)")
        }
        return decoded
    }

    static func refused(_ problem: String) -> Failure { Failure(.permanent, "the transport URL of the notifications \(problem)") }

    private static let hint = " (in a password, write / as %2F, @ as %40, : as %3A, comma as %2C, # as %23, ? as %3F)"
}

/// The options behind the `?`: oslo's names.
private struct Options {
    var isTLS: Bool?
    var tls = BrokerTLS()
    var heartbeatSeconds: Int?

    init(_ query: Substring) throws(Failure) {
        for part in query.split(separator: "&") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try TransportURL.decoded(pair[0], "an option's name")
            let value = pair.count == 2 ? try TransportURL.decoded(pair[1], "an option's value") : ""
            try set(name, value)
        }
        guard (tls.clientCertificateFile == nil) == (tls.clientKeyFile == nil) else {
            throw TransportURL.refused("has only one of ssl_cert_file and ssl_key_file")
        }
    }

    private mutating func set(_ name: String, _ value: String) throws(Failure) {
        switch name {
        case "ssl": isTLS = try boolean(name, value)
        case "ssl_ca_file": tls.caFile = value
        case "ssl_cert_file": tls.clientCertificateFile = value
        case "ssl_key_file": tls.clientKeyFile = value
        // Ours: oslo checks nothing unless a CA file is given, we check unless told not to.
        case "ssl_verify": tls.isVerified = try boolean(name, value)
        case "heartbeat_timeout_threshold":
            // oslo's 0 means none; without one a dead broker would never be noticed.
            guard let seconds = Int(value), (1...3600).contains(seconds) else {
                throw TransportURL.refused("has a \(name) that is not 1 to 3600 seconds")
            }
            heartbeatSeconds = seconds
        default:
            // oslo's other options tune its own RPC and queues and mean nothing to a consumer of a queue of its own.
            guard name == "ssl_version" || Self.oslo.contains(where: name.hasPrefix) else {
                throw TransportURL.refused(
                    "has an option that is not understood (ssl, ssl_ca_file, ssl_cert_file, ssl_key_file, ssl_verify are)")
            }
        }
    }

    private static let oslo = ["amqp_", "direct_", "enable_cancel_", "heartbeat_", "kombu_", "rabbit_", "rpc_", "ssl_enforce_"]

    private func boolean(_ name: String, _ value: String) throws(Failure) -> Bool {
        switch value.lowercased() {
        case "1", "true", "t", "yes", "y", "on": return true
        case "0", "false", "f", "no", "n", "off": return false
        default: throw TransportURL.refused("has a value for \(name) that is neither 1 nor 0")
        }
    }
}
