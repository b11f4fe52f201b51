import Logging

/// The server's own log without what it says of connections that it cuts because it was told to stop: nobody has to act on that.
struct QuietStop: LogHandler {
    private var inner: any LogHandler

    init(_ logger: Logger) { inner = logger.handler }

    var logLevel: Logger.Level {
        get { inner.logLevel }
        set { inner.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { inner.metadata }
        set { inner.metadata = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { inner[metadataKey: key] }
        set { inner[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) {
        // Told to stop and cancelled at once, Hummingbird closes its door a second time, in a task of its own.
        guard !Task.isCancelled, !event.message.description.hasPrefix("Server shutdown error: Already closed") else { return }
        inner.log(event: event)
    }
}
