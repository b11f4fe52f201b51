public import Logging
import Synchronization

/// Keeps what the warnings of a logger say, in a test's own words; nothing else is kept.
public final class WarningLog: LogHandler {
    private let kept = Mutex<[String]>([])
    private let words: @Sendable (LogEvent) -> String

    public init(_ words: @escaping @Sendable (LogEvent) -> String) { self.words = words }

    public var warnings: [String] { kept.withLock { $0 } }
    public var logger: Logger { Logger(label: "test") { _ in self } }

    public func log(event: LogEvent) {
        guard event.level == .warning else { return }
        kept.withLock { $0.append(words(event)) }
    }

    public subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }
    public var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    public var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
}
