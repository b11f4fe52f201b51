import ForecacheModel
import Foundation

/// The few things we do with URLs, on their text: Foundation's `URL` repairs what we want refused.
enum ServiceURL {
    /// `scheme://host[:port]` in lower case with the port spelled out; nil unless it is a plain http(s) URL without user, blanks or control characters.
    static func origin(of url: String) -> String? {
        guard url.utf8.count <= 8192, url.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "\\") }) else { return nil }
        for (scheme, port) in [("http", "80"), ("https", "443")] where url.lowercased().hasPrefix(scheme + "://") {
            let authority = url.dropFirst(scheme.count + 3).prefix { !"/?#".contains($0) }.lowercased()
            guard !authority.isEmpty, !authority.contains("@") else { return nil }
            return "\(scheme)://\(authorityWithPort(authority, port))"
        }
        return nil
    }

    /// The URL up to its query, and without a user: fit for messages.
    static func withoutQuery(_ url: String) -> String {
        let plain = url.prefix { $0 != "?" && $0 != "#" }
        guard let schemeEnd = plain.range(of: "://") else { return String(plain) }
        let rest = plain[schemeEnd.upperBound...]
        let authority = rest.prefix { $0 != "/" }
        guard let at = authority.lastIndex(of: "@") else { return String(plain) }
        return String(plain[..<schemeEnd.upperBound]) + rest[rest.index(after: at)...]
    }

    /// Keystone's v3 root, whether or not the URL names a version: old rc files end in `/v2.0`.
    static func keystoneV3(_ url: String) -> String {
        let root = droppingSlashes(url)
        for old in ["/v2.0", "/v2"] where root.hasSuffix(old) { return String(root.dropLast(old.count)) + "/v3" }
        return root.hasSuffix("/v3") ? root : root + "/v3"
    }

    /// Glance's v2 root, whether or not the endpoint names a version.
    static func glanceV2(_ url: String) -> String {
        let root = droppingSlashes(url)
        for old in ["/v1", "/v2"] where root.hasSuffix(old) { return String(root.dropLast(old.count)) + "/v2" }
        return root + "/v2"
    }

    /// Nova's v2.1 root, whether or not the endpoint names a version; behind it may stand a project. v2 is the old API under the new one's roof.
    static func novaV21(_ url: String) -> String {
        let root = droppingSlashes(url)
        if root.hasSuffix("/v2.1") || root.contains("/v2.1/") { return root }
        if root.hasSuffix("/v2") { return root + ".1" }
        if let old = root.range(of: "/v2/", options: .backwards) { return root.replacingCharacters(in: old, with: "/v2.1/") }
        return root + "/v2.1"
    }

    /// Barbican's v1 root, whether or not the endpoint names a version.
    static func barbicanV1(_ url: String) -> String {
        let root = droppingSlashes(url)
        return root.hasSuffix("/v1") ? root : root + "/v1"
    }

    /// Percent-encodes everything but RFC 3986's unreserved characters.
    static func queryValue(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                encoded += "%" + Hexadecimal.text(CollectionOfOne(byte)).uppercased()
            }
        }
        return encoded
    }

    private static func droppingSlashes(_ url: String) -> String {
        var root = url[...]
        while root.hasSuffix("/") { root = root.dropLast() }
        return String(root)
    }

    private static func authorityWithPort(_ authority: String, _ port: String) -> String {
        // An IPv6 host is in brackets; the port is what follows the last colon outside of them.
        let afterHost = authority.hasPrefix("[") ? authority.drop { $0 != "]" } : authority[...]
        return afterHost.contains(":") ? authority : "\(authority):\(port)"
    }
}
