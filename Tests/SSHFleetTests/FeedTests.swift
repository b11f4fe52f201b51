import Engine
import ForecacheModel
import Foundation
import Logging
import Synchronization
import Testing

@testable import SSHFleet

/// A node that says what it likes about where an image begins, on a real sshd.
@Suite struct FeedTests {
    /// What a receive of ten bytes ends with, and the ranges that were read for it.
    private func receive(_ script: String) async throws -> (result: Result<Transfer, Failure>, reads: [Range<Int64>]) {
        let file = "/tmp/forecache-node-\(UUID().uuidString)"
        try Data(script.utf8).write(to: URL(fileURLWithPath: file))
        defer { try? FileManager.default.removeItem(atPath: file) }  // it lies in /tmp
        let image = try #require(ImageID(UUID().uuidString))
        let digest = try #require(Digest(.md5, hex: String(repeating: "0", count: 32)))
        let reads = Mutex<[Range<Int64>]>([])
        var result: Result<Transfer, Failure>?
        try await SSHServer.run(["ForceCommand exec sh \(file)"]) { server in
            let fleet = SSHFleet(settings: SSHFleetSettings(), limits: Limits(), logger: Logger(label: "test"))
            do throws(Failure) {
                let transfer = try await fleet.receive(
                    BaseFileRequest(image: image, bytes: 10, digest: digest),
                    from: { range throws(Failure) in
                        reads.withLock { $0.append(range) }
                        return [UInt8](repeating: UInt8(ascii: "x"), count: range.count)
                    }, on: server.host(), progress: { _ in })
                result = .success(transfer)
            } catch {
                result = .failure(error)
            }
            await fleet.close()
        }
        return (try #require(result), reads.withLock { $0 })
    }

    private func error(of result: Result<Transfer, Failure>) -> Failure? {
        switch result {
        case .success: nil
        case .failure(let failure): failure
        }
    }

    private static let started = #"printf '{"event":"started","offset":%s}\n'"#
    private static let done = #"printf '{"event":"done","existing":false,"bytes":10,"offset":0}\n'"#

    @Test(arguments: ["11", "72057594037927936"]) func aBeginningBehindTheEndIsRefused(offset: String) async throws {
        let (result, reads) = try await receive("\(Self.started) \(offset); sleep 20")
        let failure = try #require(error(of: result))
        #expect(failure.kind == .permanent)
        #expect(failure.context.contains("on node-0 (127.0.0.1) wants to begin at byte \(offset) of 10"))
        #expect(reads.isEmpty)
    }

    @Test func aSecondBeginningIsRefused() async throws {
        let (result, reads) = try await receive("\(Self.started) 0 0 0; sleep 20")
        let failure = try #require(error(of: result))
        #expect(failure.kind == .permanent)
        #expect(failure.context.contains("on node-0 (127.0.0.1) began a second time, at byte 0"))
        #expect(reads.count <= 1)
    }

    @Test func theEndIsABeginningWithNothingToSend() async throws {
        let (result, reads) = try await receive("\(Self.started) 10; \(Self.done)")
        #expect(error(of: result) == nil)
        #expect(reads.isEmpty)
    }

    @Test @SSHLoop func onePartIsReadAheadAndAllFeedsFitTogether() async throws {
        let reads = Mutex(0)
        let feed = Feed(
            { range throws(Failure) in
                reads.withLock { $0 += 1 }
                return [UInt8](repeating: 0, count: range.count)
            }, end: 6 << 20, for: "a host")
        try feed.begin(at: 1 << 20)
        var sizes: [Int] = []
        while let part = try await feed.part() {
            sizes.append(part.count)
            #expect(reads.withLock { $0 } <= sizes.count + 1)
        }
        #expect(sizes == [2 << 20, 2 << 20, 1 << 20])
        #expect(2 * Feed.partBytes * Int64(Limits().forks) < 256 << 20, "forecache.service has 1 GiB for everything")
    }

    @Test func theNextTryAfterABusyOneBeginsAgain() async throws {
        let flag = "/tmp/forecache-busy-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: flag) }  // it lies in /tmp
        let busy = #"printf '{"event":"error","kind":"busy","detail":"x"}\n'; exit 1"#
        let (result, reads) = try await receive(
            "\(Self.started) 4; mkdir \(flag) 2>/dev/null && { \(busy); }\nwhile read -r line && [ \"$line\" != . ]; do :; done; head -c 6 >&2; \(Self.done)"
        )
        #expect(error(of: result) == nil)
        #expect(reads == [4..<10, 4..<10])
    }
}
