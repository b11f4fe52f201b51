/// The one error at ports. `kind` says what to do about it, so that retry never parses text.
public struct Failure: Error, Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        /// Trying again later can help: a connection, a 5xx, a full disk.
        case retriable
        /// Trying again changes nothing until an operator or tenant acts: a refused key, a 403, a digest that does not match.
        case permanent
        /// The process cannot go on: a ledger that cannot be written.
        case fatal
        /// We were told to stop.
        case cancelled
    }

    public var kind: Kind
    /// What we tried, on which host and image, what came back and what to do. Safe to log: holds no secret.
    public var context: String
    /// The message of the error below, where there is one.
    public var cause: String?
    /// What is wrong, where that is for whoever called to mend.
    public var about: Subject?

    public enum Subject: String, Hashable, Sendable {
        /// The bytes themselves are not the image's: another source may have the right ones.
        case bytes
        /// Glance did not take the token: another one may do.
        case token
        /// The answer is longer than is kept: a narrower question may do.
        case answer
    }

    public init(_ kind: Kind, _ context: String, cause: String? = nil, about: Subject? = nil) {
        self.kind = kind
        self.context = context
        self.cause = cause
        self.about = about
    }

    /// The same failure told from one floor higher: `context` first, what came from below as its cause.
    public func wrapped(_ outer: String) -> Failure { Failure(kind, outer, cause: description, about: about) }
}

extension Failure: CustomStringConvertible {
    public var description: String { cause.map { "\(context): \($0)" } ?? context }
}
