import CSSH2
import ForecacheModel

/// How a remote command ended.
struct CommandEnd: Sendable {
    /// Nil where a signal ended it, or where the server did not say.
    var exitCode: Int32?
    var signal: String?
    /// The first bytes of its standard error.
    var errorText: String
}

/// Bounds of one remote command.
struct CommandLimits: Sendable {
    /// Longest wait between two signs of life; nil: its time alone counts.
    var silence: Duration?
    /// From its start on, which many log-ins through one bastion may put off.
    var time: Duration?
    /// Longest line of standard output, in bytes.
    var lineBytes: Int
    /// Most lines of standard output.
    var lines: Int
    private var deadline: ContinuousClock.Instant?

    init(silence: Duration?, time: Duration?, lineBytes: Int, lines: Int) {
        (self.silence, self.time, self.lineBytes, self.lines) = (silence, time, lineBytes, lines)
    }

    /// A year: "no deadline" without a second kind of wait.
    private static let never = Duration.seconds(365 * 86400)

    fileprivate func nextDeadline() -> ContinuousClock.Instant {
        let quiet = ContinuousClock.now + (silence ?? Self.never)
        return min(quiet, deadline ?? quiet)
    }

    /// The same, as of a command that starts now.
    fileprivate var begun: CommandLimits {
        var limits = self
        limits.deadline = time.map { .now + $0 }
        return limits
    }

    fileprivate var isOver: Bool { deadline.map { ContinuousClock.now > $0 } ?? false }
}

extension SSHSession {
    /// Runs a command, writes `input`, then what `feed` has, and keeps its standard input open until it ends: node programs take the end of it for the
    /// controller's death.
    /// When this throws, the session is not to be used again.
    func run(
        _ command: String, input: [UInt8], feed: Feed? = nil, limits: CommandLimits, started: () -> Void = {},
        line handle: (_ line: [UInt8]) throws(Failure) -> Void
    ) async throws(Failure) -> CommandEnd {
        let channel = try await openChannel()
        var isClosed = false
        defer {
            feed?.stop()
            // Cancelled or failed: the remote command sees the end of its input. A closed channel must not be told again: sshd hangs up on that.
            if !isClosed {
                libssh2_channel_send_eof(channel)
                libssh2_channel_close(channel)
            }
            libssh2_channel_free(channel)
        }
        try await start(command, on: channel)
        let limits = limits.begun
        started()
        try await write(input, on: channel, limits)
        var output = Output(limits: limits, target: target)
        var takesMore = feed != nil
        while true {
            let deadline = limits.nextDeadline()
            try checkDeadline(limits)
            if try await drain(channel, into: &output, handle) { break }
            if takesMore, let part = try await feed?.part() {
                takesMore = try await send(part, on: channel, into: &output, limits, handle)
                continue
            }
            try await waitForSocket("waiting for the remote command", until: deadline)
        }
        try output.finish(handle)
        let end = try await end(of: channel, output.errorText)
        isClosed = true
        return end
    }

    private func openChannel() async throws(Failure) -> OpaquePointer {
        var channel: OpaquePointer?
        let status = try await call("opening a channel", until: .now + .seconds(target.timeoutSeconds)) {
            channel = libssh2_channel_open_ex(self.handle, "session", 7, 2 << 20, 32768, nil, 0)
            return channel == nil ? Int(libssh2_session_last_errno(self.handle)) : 0
        }
        guard status == 0, let channel else { throw Failure(.retriable, "\(target.text) opens no session channel", cause: lastError) }
        return channel
    }

    private func start(_ command: String, on channel: OpaquePointer) async throws(Failure) {
        let bytes = Array(command.utf8)
        let status = try await call("starting a command", until: .now + .seconds(target.timeoutSeconds)) {
            bytes.withUnsafeBytes { bytes in
                Int(
                    libssh2_channel_process_startup(
                        channel, "exec", 4, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(bytes.count)))
            }
        }
        guard status == 0 else { throw Failure(.retriable, "\(target.text) does not start commands", cause: lastError) }
    }

    private func write(_ input: [UInt8], on channel: OpaquePointer, _ limits: CommandLimits) async throws(Failure) {
        var written = 0
        while written < input.count {
            // The same bytes at the same place until they are gone: libssh2 remembers a packet that is half sent.
            let status = try await call("sending to the remote command", until: limits.nextDeadline()) {
                input.withUnsafeBytes { bytes in
                    let count = libssh2_channel_write_ex(
                        channel, 0, bytes.baseAddress?.advanced(by: written).assumingMemoryBound(to: CChar.self),
                        min(bytes.count - written, 32768))
                    return count == 0 ? Int(LIBSSH2_ERROR_EAGAIN) : count
                }
            }
            // A command that ended early takes no more; its output says why.
            guard status > 0 else { return }
            written += status
        }
    }

    /// False where the command takes no more; its output says why.
    private func send(
        _ part: [UInt8], on channel: OpaquePointer, into output: inout Output, _ limits: CommandLimits,
        _ handle: (_ line: [UInt8]) throws(Failure) -> Void
    ) async throws(Failure) -> Bool {
        var sent = 0
        while sent < part.count {
            let count = part.withUnsafeBytes { bytes in
                libssh2_channel_write_ex(
                    channel, 0, bytes.baseAddress?.advanced(by: sent).assumingMemoryBound(to: CChar.self), min(bytes.count - sent, 32768))
            }
            if count == Int(LIBSSH2_ERROR_EAGAIN) || count == 0 {
                // Reading could send a packet of its own into one that is half sent. With a closed window none is, and a command that has ended is found.
                if libssh2_channel_window_write_ex(channel, nil) == 0, try await drain(channel, into: &output, handle) { return false }
                try await waitForSocket("sending to the remote command", until: limits.nextDeadline())
            } else if count > 0 {
                sent += count
                if try await drain(channel, into: &output, handle) { return false }
            } else {
                return false
            }
        }
        return true
    }

    /// Reads what is there of both streams; true at the end of both. Reading one stream takes packets of the other off the socket as well, so only when
    /// libssh2 holds none of either is there anything to wait for. After a round standard error is empty, and output may have come meanwhile. (Asked about
    /// extended data, libssh2 would count streams that nobody reads, and there would be no end.)
    private func drain(
        _ channel: OpaquePointer, into output: inout Output, _ handle: (_ line: [UInt8]) throws(Failure) -> Void
    ) async throws(Failure) -> Bool {
        var reads = 0
        repeat {
            for stream in [Int32(0), SSH_EXTENDED_DATA_STDERR] {
                while try read(channel, stream, into: &output, handle) {
                    reads += 1
                    if reads.isMultiple(of: Self.readsATurn) { try await giveWay(output.limits) }
                }
            }
        } while libssh2_poll_channel_read(channel, 0) > 0
        return libssh2_channel_eof(channel) != 0
    }

    /// At most a MiB, which takes some milliseconds: then it is the other sessions' turn.
    private static let readsATurn = 16

    private func giveWay(_ limits: CommandLimits) async throws(Failure) {
        try checkDeadline(limits)
        if Task.isCancelled { throw Failure(.cancelled, "cancelled while a command was running on \(target.text)") }
        await Task.yield()
    }

    /// As well as in the wait: a node that never stops talking is never waited for.
    private func checkDeadline(_ limits: CommandLimits) throws(Failure) {
        if limits.isOver {
            throw Failure(.retriable, "\(target.text): a command did not end within \(limits.time ?? .zero); is the node overloaded?")
        }
    }

    /// False where there is nothing to read now.
    private func read(
        _ channel: OpaquePointer, _ stream: Int32, into output: inout Output, _ handle: (_ line: [UInt8]) throws(Failure) -> Void
    ) throws(Failure) -> Bool {
        let count = output.read { libssh2_channel_read_ex(channel, stream, $0, $1) }
        if count == Int(LIBSSH2_ERROR_EAGAIN) || count == 0 { return false }
        guard count > 0 else {
            throw Failure(.retriable, "the connection to \(target.text) broke while a command was running", cause: lastError)
        }
        if stream == 0 { try output.take(count, handle) } else { try output.takeError(count) }
        return true
    }

    private func end(of channel: OpaquePointer, _ errorText: String) async throws(Failure) -> CommandEnd {
        let status = try await call("waiting for the end of the remote command", until: .now + .seconds(target.timeoutSeconds)) {
            let status = libssh2_channel_close(channel)
            return Int(status == 0 ? libssh2_channel_wait_closed(channel) : status)
        }
        guard status == 0 else {
            throw Failure(.retriable, "the connection to \(target.text) broke at the end of a command", cause: lastError)
        }
        var signal: UnsafeMutablePointer<CChar>?
        var length = 0
        libssh2_channel_get_exit_signal(channel, &signal, &length, nil, nil, nil, nil)
        defer { if let signal { libssh2_free(self.handle, signal) } }
        let name = signal.map { printable(String(cString: $0), limit: 40) }
        return CommandEnd(exitCode: name == nil ? libssh2_channel_get_exit_status(channel) : nil, signal: name, errorText: errorText)
    }
}

/// Cuts standard output into bounded lines, and keeps the first bytes of standard error.
private struct Output {
    let limits: CommandLimits
    private let target: LoginTarget
    private var buffer = [UInt8](repeating: 0, count: 65536)
    private var line: [UInt8] = []
    private var lines = 0
    private var errors: [UInt8] = []
    private var errorBytes = 0

    init(limits: CommandLimits, target: LoginTarget) {
        self.limits = limits
        self.target = target
    }

    var errorText: String { printable(String(decoding: errors, as: UTF8.self), limit: 1000) }

    mutating func read(_ call: (UnsafeMutablePointer<CChar>?, Int) -> Int) -> Int {
        buffer.withUnsafeMutableBytes { call($0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count) }
    }

    mutating func take(_ count: Int, _ handle: (_ line: [UInt8]) throws(Failure) -> Void) throws(Failure) {
        var rest = buffer[..<count]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            line += rest[..<end]
            rest = rest[(end + 1)...]
            try give(handle)
        }
        line += rest
        guard line.count <= limits.lineBytes else { throw tooMuch("a line longer than \(limits.lineBytes) bytes") }
    }

    mutating func takeError(_ count: Int) throws(Failure) {
        errorBytes += count
        guard errorBytes <= 1 << 20 else { throw tooMuch("more than 1 MiB on standard error") }
        errors += buffer[..<min(count, 4096 - min(errors.count, 4096))]
    }

    /// A last line without its end.
    mutating func finish(_ handle: (_ line: [UInt8]) throws(Failure) -> Void) throws(Failure) {
        if !line.isEmpty { try give(handle) }
    }

    private mutating func give(_ handle: (_ line: [UInt8]) throws(Failure) -> Void) throws(Failure) {
        lines += 1
        guard line.count <= limits.lineBytes else { throw tooMuch("a line longer than \(limits.lineBytes) bytes") }
        guard lines <= limits.lines else { throw tooMuch("more than \(limits.lines) lines") }
        try handle(line)
        line.removeAll(keepingCapacity: true)
    }

    private func tooMuch(_ what: String) -> Failure {
        Failure(
            .permanent,
            "\(target.text) sent \(what), beginning with “\(printable(String(decoding: line.prefix(200), as: UTF8.self), limit: 80))”; is it our node program that answers?"
        )
    }
}
