import ForecacheModel
import Logging

/// How far the transfers of one image are, on their way from the executor, which tells of each every second, to the ledger, where `status` reads it.
struct ProgressNotes: Sendable {
    /// Not so often that the ledger had more to write of what is going on than of what is done.
    private static let pause = Duration.seconds(2)

    private let news: AsyncStream<(HostName, TransferProgress)>
    private let told: AsyncStream<(HostName, TransferProgress)>.Continuation

    /// Only the newest counts: where the ledger is slow, older ones go.
    init() { (news, told) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256)) }

    func take(_ report: ExecutionReport) {
        guard case .progress(_, let host, let source, let bytes, let total) = report else { return }
        told.yield((host, TransferProgress(source: source, receivedBytes: bytes, totalBytes: total)))
    }

    func end() { told.finish() }

    /// Until `end`. What cannot be written is out of date soon anyway.
    func write<C: Clock>(of image: ImageID, to ledger: any Ledger, clock: C, logger: Logger) async where C.Instant == WallInstant {
        var (latest, next) = ([HostName: TransferProgress](), clock.now)
        for await (host, progress) in news {
            latest[host] = progress
            // Or the clock was set back.
            let now = clock.now
            guard now >= next || now.advanced(by: Self.pause) < next else { continue }
            do throws(Failure) {
                try await ledger.recordProgress(image, latest)
            } catch {
                logger.info("progress not recorded", metadata: ["image": "\(image)", "reason": "\(error)"])
            }
            (latest, next) = ([:], clock.now.advanced(by: Self.pause))
        }
    }
}
