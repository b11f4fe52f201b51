public import ForecacheModel

/// An inventory's name of a host. It stands in messages, plans and the ledger, and is the address where no `ansible_host` is given.
enum HostNameText {
    /// Bytes: the bound of a DNS name.
    static let longest = 253

    /// Why `text` cannot be a host's name; nil where it can.
    static func fault(of text: String) -> String? {
        if text.isEmpty { return "is empty" }
        if text.utf8.count > longest { return "is longer than \(longest) bytes" }
        if text.first == "-" { return "begins with '-', which programs take for an option" }
        for scalar in text.unicodeScalars {
            if !scalar.isPrintable || scalar.properties.isWhitespace { return "holds white space or a control character" }
            if "/\\|\"'`$&;<>(){}*?!".unicodeScalars.contains(scalar) { return "holds \(String(scalar).shown), which no host name has" }
        }
        return nil
    }
}

/// Where a connection goes: a host name, an IPv4 or an IPv6 address (with a zone, `%eth0`, where it is link-local).
enum AddressText {
    static func isAddress(_ text: String) -> Bool {
        guard (1...HostNameText.longest).contains(text.utf8.count) else { return false }
        return text.utf8.contains(UInt8(ascii: ":")) ? isIPv6(text) : isName(text)
    }

    /// Labels of letters, digits, `-` and `_`, none beginning or ending in `-`. An IPv4 address is one of these.
    private static func isName(_ text: String) -> Bool {
        let labels = text.hasSuffix(".") ? text.dropLast() : text[...]
        return labels.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.utf8.first, let last = label.utf8.last else { return false }
            return first != UInt8(ascii: "-") && last != UInt8(ascii: "-")
                && label.utf8.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
        }
    }

    private static func isIPv6(_ text: String) -> Bool {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2 {
            guard !parts[1].isEmpty, parts[1].utf8.allSatisfy({ isLetterOrDigit($0) || "-_.".utf8.contains($0) }) else { return false }
        }
        let groups = parts[0].split(separator: ":", omittingEmptySubsequences: false)
        guard (3...9).contains(groups.count), groups.count < 9 || parts[0].contains("::") else { return false }
        guard groups.count == 8 || parts[0].contains("::") || groups.last?.contains(".") == true else { return false }
        return groups.enumerated().allSatisfy { index, group in
            if index == groups.count - 1, group.contains(".") { return isIPv4(group) }
            return group.utf8.count <= 4 && group.utf8.allSatisfy { isLetterOrDigit($0) && ($0 | 32) <= UInt8(ascii: "f") }
        }
    }

    private static func isIPv4(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil && $0.first != "+" }
    }

    static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (97...122).contains(byte | 32)
    }
}

/// A login name: letters, digits and `. _ - + @ $`, not beginning with `-`.
enum UserText {
    static func isUser(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && text.first != "-"
            && text.utf8.allSatisfy { AddressText.isLetterOrDigit($0) || "._-+@$".utf8.contains($0) }
    }
}

extension JumpHost {
    /// `[user@]host[:port]`, as `ProxyJump` and the configuration's `jump` have it, with or without an `ssh://`; an IPv6 address in brackets. Nil where
    /// the text is not one bastion.
    public init?(_ text: String) {
        var rest = text.hasPrefix("ssh://") ? text.dropFirst(6) : text[...]
        self.init(host: "")
        if let at = rest.lastIndex(of: "@") {
            user = String(rest[..<at])
            rest = rest[rest.index(after: at)...]
        }
        if rest.first == "[" {
            guard let close = rest.firstIndex(of: "]") else { return nil }
            host = String(rest[rest.index(after: rest.startIndex)..<close])
            rest = rest[rest.index(after: close)...]
        } else {
            host = String(rest.prefix { $0 != ":" })
            rest = rest[(rest.firstIndex(of: ":") ?? rest.endIndex)...]
        }
        if !rest.isEmpty {
            guard rest.first == ":", let number = Int(rest.dropFirst()) else { return nil }
            port = number
        }
        guard user.map(UserText.isUser) ?? true, AddressText.isAddress(host), (1...65535).contains(port) else { return nil }
    }
}
