import Engine
import ForecacheModel
import Foundation
import Logging
import Synchronization
import Testing

@testable import SSHFleet

/// What is made of a transfer's lines.
@Suite struct TransferTests {
    /// A node that runs this script instead of ours, on a real sshd, and a fleet to use it with.
    private func node(_ script: String, _ settings: [String] = [], _ body: (SSHServer, SSHFleet) async throws -> Void) async throws {
        let file = "/tmp/forecache-node-\(UUID().uuidString)"
        try Data(script.utf8).write(to: URL(fileURLWithPath: file))
        defer { try? FileManager.default.removeItem(atPath: file) }  // it lies in /tmp
        try await SSHServer.run(["ForceCommand exec sh \(file)"] + settings) { server in
            let fleet = SSHFleet(settings: SSHFleetSettings(), limits: Limits(), logger: Logger(label: "test"))
            try await body(server, fleet)
            await fleet.close()
        }
    }

    private func request(bytes: Int64) throws -> BaseFileRequest {
        let image = try #require(ImageID(UUID().uuidString))
        return BaseFileRequest(image: image, bytes: bytes, digest: try #require(Digest(.md5, hex: String(repeating: "0", count: 32))))
    }

    @Test func noMoreBytesAreBelievedThanTheImageHas() async throws {
        let much = Int64(1) << 56
        let lines = [
            #"{"event":"started","offset":\#(much)}"#, #"{"event":"progress","bytes":0}"#, #"{"event":"progress","bytes":\#(much)}"#,
            #"{"event":"progress","bytes":0}"#, #"{"event":"progress","bytes":\#(much)}"#,
            #"{"event":"done","existing":false,"bytes":\#(much),"offset":\#(much)}"#,
        ]
        try await node("cat <<'.'\n\(lines.joined(separator: "\n"))\n.\n") { server, fleet in
            let told = Mutex<[Int64]>([])
            let transfer = try await fleet.copy(
                try request(bytes: 10), from: server.host(), on: server.host(), progress: { bytes in told.withLock { $0.append(bytes) } })
            #expect(told.withLock { $0 } == [10, 0, 10, 0, 10])
            #expect(transfer == Transfer(bytes: 10, resumedFrom: 10, isExisting: false))
        }
    }

    /// New keys are made every 256 KiB, in the middle of what is sent.
    @Test func aFeedSurvivesNewKeys() async throws {
        let size: Int64 = 6 << 20
        let received = "/tmp/forecache-received-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: received) }  // it lies in /tmp
        @Sendable func bytes(_ range: Range<Int64>) -> [UInt8] { range.map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 16) } }
        let script = """
            while read -r line && [ "$line" != . ]; do :; done
            echo '{"event":"started","offset":0}'
            head -c \(size) >\(received)
            echo '{"event":"done","existing":false,"bytes":\(size),"offset":0}'
            """
        try await node(script, ["RekeyLimit 256K"]) { server, fleet in
            _ = try await fleet.receive(
                try request(bytes: size), from: { range throws(Failure) in bytes(range) }, on: server.host(), progress: { _ in })
            #expect(try Data(contentsOf: URL(fileURLWithPath: received)) == Data(bytes(0..<size)))
        }
    }

    @Test func aLengthThatStandsStillIsAStall() {
        let start = ContinuousClock.now
        var watch = StallWatch(total: 100, stallSeconds: 60, digestSeconds: 3600, now: start)
        #expect(watch.complaint(at: 99, now: start + .seconds(50)) == nil)
        #expect(watch.complaint(at: 99, now: start + .seconds(140)) == nil)
        #expect(watch.complaint(at: 99, now: start + .seconds(141)) == "no byte came for 90 s")
        #expect(watch.complaint(at: 98, now: start + .seconds(141)) == nil)
    }

    @Test func onceAllBytesAreThereTheDigestHasItsTime() throws {
        let start = ContinuousClock.now
        var watch = StallWatch(total: 100, stallSeconds: 60, digestSeconds: 3600, now: start)
        #expect(watch.complaint(at: 100, now: start) == nil)
        #expect(watch.complaint(at: 100, now: start + .seconds(3600)) == nil)
        let complaint = watch.complaint(at: 100, now: start + .seconds(3601))
        #expect(complaint?.contains("digest did not within 3600 s") == true)
    }
}
