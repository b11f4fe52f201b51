import CSSH2
import Engine
import ForecacheModel

/// What a command gets on its standard input once it has said from where on. One part is read ahead while the one before is sent, and no more: who sends
/// waits for who takes.
@SSHLoop
final class Feed {
    /// Two of them are all that is held of an image, and `limits.forks` hosts may be fed at once: 200 MiB for 50. Each is a request to Glance, whose cost
    /// is hidden as long as sending a part takes longer.
    static let partBytes: Int64 = 2 << 20

    private let source: ByteSource
    private let end: Int64
    /// What gets them, and where: `receive of image … on compute-0 (10.20.1.10)`.
    private let taker: String
    private var hasBegun = false
    private var next: Int64 = 0
    private var ahead: Task<Result<[UInt8], Failure>, Never>?

    init(_ source: @escaping ByteSource, end: Int64, for taker: String) {
        self.source = source
        self.end = end
        self.taker = taker
    }

    isolated deinit { ahead?.cancel() }

    /// Once in a run. The offset is the node's own word, and each beginning starts a read.
    func begin(at offset: Int64) throws(Failure) {
        guard (0...end).contains(offset) else {
            throw Failure(.permanent, "\(taker) wants to begin at byte \(offset) of \(end); is it our node program that answers?")
        }
        guard !hasBegun else {
            throw Failure(.permanent, "\(taker) began a second time, at byte \(offset); is it our node program that answers?")
        }
        hasBegun = true
        next = offset
        readAhead()
    }

    /// Nil before the beginning and after the end.
    func part() async throws(Failure) -> [UInt8]? {
        guard let ahead else { return nil }
        let result = await withTaskCancellationHandler {
            await ahead.value
        } onCancel: {
            ahead.cancel()
        }
        self.ahead = nil
        let part = try result.get()
        readAhead()
        return part
    }

    /// The end of a run: nobody takes them any longer. Another may begin anew.
    func stop() {
        ahead?.cancel()
        ahead = nil
        hasBegun = false
    }

    private func readAhead() {
        let range = next..<min(end, next + Self.partBytes)
        guard !range.isEmpty else { return }
        next = range.upperBound
        // Owned by this feed and ended by its answer; cancelled with the command.
        ahead = Task { [source] in
            do throws(Failure) { return .success(try await source(range)) } catch { return .failure(error) }
        }
    }
}
