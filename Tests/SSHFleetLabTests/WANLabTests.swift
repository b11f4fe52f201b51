import Engine
import ForecacheModel
import Foundation
import SSHFleet
import Synchronization
import Testing

/// What the WAN is spared: bytes that came once do not come again, limits hold, and hosts without a way to Glance need none.
@Suite(.serialized) struct WANLabTests {
    private let lab: Lab
    private var host: ForecacheModel.Host { lab.hosts[0] }

    init() throws { lab = try Lab() }

    @Test func rateLimitsAreExact() async throws {
        let fleet = lab.fleet()
        for (bytes, rate) in [(12_000_000, 2_000_000), (60_000_000, 10_000_000), (40_000_000, 8_000_000)] {
            let image = ImageFile(bytes: bytes)
            var request = image.request
            request.rateLimit = Int64(rate)
            try await FileServer.run(image, address: lab.serverAddress, mode: "plain") { server in
                let began = FirstByte()
                _ = try await fleet.fetch(request, with: server.grant(), on: host) { _ in began.isNear() }
                let reached = Double(bytes) / began.secondsSince
                print("limit \(rate) B/s: \(Int(reached)) B/s over \(bytes) bytes")
                #expect((0.9...1.1).contains(reached / Double(rate)), "\(reached) of \(rate)")
                #expect(try server.sentBytes() <= bytes * 102 / 100)
            }
            #expect(try await fleet.publish(request, on: host) == false)
        }
        await fleet.close()
    }

    @Test func bytesComeThroughTheControllerAndGoOnWhereTheyEnded() async throws {
        let (fleet, image) = (lab.fleet(), ImageFile(bytes: 40_000_001))
        let bytes = image.bytes
        let asked = Mutex<[Range<Int64>]>([])
        let breaking: ByteSource = { range throws(Failure) in
            asked.withLock { $0.append(range) }
            guard range.lowerBound < 16 << 20 else { throw Failure(.retriable, "Glance went away") }
            return [UInt8](bytes[Int(range.lowerBound)..<Int(range.upperBound)])
        }
        let broken = await failure { () throws(Failure) in _ = try await fleet.receive(image.request, from: breaking, on: host) { _ in } }
        #expect(broken == Failure(.retriable, "Glance went away"))
        asked.withLock { $0 = [] }
        let whole: ByteSource = { range throws(Failure) in
            asked.withLock { $0.append(range) }
            return [UInt8](bytes[Int(range.lowerBound)..<Int(range.upperBound)])
        }
        let started = ContinuousClock.now
        let transfer = try await patiently { () throws(Failure) in
            try await fleet.receive(image.request, from: whole, on: host) { _ in }
        }
        print("through the controller: \(Int(Double(transfer.bytes) / started.duration(to: .now).seconds / 1_000_000)) MB/s")
        #expect(transfer.resumedFrom > 0 && transfer.bytes == 40_000_001 - transfer.resumedFrom)
        let ranges = asked.withLock { $0 }
        #expect(ranges.first?.lowerBound == transfer.resumedFrom && ranges.last?.upperBound == 40_000_001)
        #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
        #expect(try await fleet.publish(image.request, on: host) == false)
        let file = "\(try lab.instances(of: host))/_base/\(image.name)"
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == bytes)
        #expect(try await fleet.receive(image.request, from: whole, on: host) { _ in }.isExisting)
        await fleet.close()
    }

    @Test func whoReceivesSlowlyIsSentSlowly() async throws {
        let (fleet, image) = (lab.fleet(), ImageFile(bytes: 40_000_000))
        var request = image.request
        request.rateLimit = 8_000_000
        let bytes = image.bytes
        let read = Mutex(Int64(0))
        let source: ByteSource = { range throws(Failure) in
            read.withLock { $0 = range.upperBound }
            return [UInt8](bytes[Int(range.lowerBound)..<Int(range.upperBound)])
        }
        let ahead = Mutex(Int64(0))
        let began = FirstByte()
        _ = try await fleet.receive(request, from: source, on: host) { there in
            began.isNear()
            let before = read.withLock { $0 } - there
            ahead.withLock { $0 = max($0, before) }
        }
        let reached = 40_000_000 / began.secondsSince
        print("through the controller with a limit of 8000000 B/s: \(Int(reached)) B/s, at most \(ahead.withLock { $0 }) bytes ahead")
        #expect((0.9...1.1).contains(reached / 8_000_000))
        // Two parts of 2 MiB, what SSH's window holds, and a second of progress.
        #expect(ahead.withLock { $0 } < 18 << 20)
        _ = try await fleet.sweep(olderThanSeconds: 0, on: host)
        await fleet.close()
    }

    @Test func aDownloadGoesOnAfterTheNodesServerWasRestarted() async throws {
        let (fleet, image) = (lab.fleet(), ImageFile(bytes: 20_000_000))
        try await FileServer.run(image, address: lab.serverAddress, mode: "slow") { server in
            let came = try await fetchUntilHalf(image, server, fleet) {
                try lab.lab("node", "stop", host.name.rawValue)
                try lab.lab("node", "start", host.name.rawValue)
            }
            let transfer = try await patiently { () throws(Failure) in
                try await fleet.fetch(image.request, with: server.grant(), on: host) { _ in }
            }
            #expect(transfer.resumedFrom >= came)
            #expect(transfer.bytes == Int64(image.bytes.count) - transfer.resumedFrom)
            let sent = try server.sentBytes()
            print("restarted at \(transfer.resumedFrom) of \(image.bytes.count): \(sent) bytes over the WAN")
            #expect(Double(sent) <= 1.1 * Double(image.bytes.count), "what came is not asked for again: \(sent)")
            #expect(try await fleet.publish(image.request, on: host) == false)
        }
        await fleet.close()
    }

    @Test func aCopyGoesOnAfterItWasBroken() async throws {
        let (fleet, image, second) = (lab.fleet(), ImageFile(bytes: 20_000_000), lab.hosts[1])
        try await FileServer.run(image, address: lab.serverAddress, mode: "plain") { server in
            _ = try await fleet.fetch(image.request, with: server.grant(), on: host) { _ in }
            #expect(try await fleet.publish(image.request, on: host) == false)
        }
        // Some of the bytes, as a copy that broke leaves them.
        let temporaries = "\(try lab.instances(of: second))/_base/.forecache"
        try FileManager.default.createDirectory(atPath: temporaries, withIntermediateDirectories: true)
        let part = "\(temporaries)/\(image.name).\(image.request.digest.hex.prefix(16)).part"
        try image.bytes.prefix(15_000_000).write(to: URL(fileURLWithPath: part))
        try FileManager.default.setAttributes([.ownerAccountID: 42436, .groupOwnerAccountID: 42436], ofItemAtPath: part)
        let transfer = try await fleet.copy(image.request, from: host, on: second) { _ in }
        #expect(transfer == Transfer(bytes: 5_000_000, resumedFrom: 15_000_000))
        #expect(try await fleet.publish(image.request, on: second) == false)
        await fleet.close()
    }

    // MARK: -

    /// Begins a fetch, does `trouble` once half is there, and gives the bytes that had come by then.
    private func fetchUntilHalf(
        _ image: ImageFile, _ server: FileServer, _ fleet: SSHFleet, _ trouble: () throws -> Void
    ) async throws -> Int64 {
        let (moved, report) = AsyncStream.makeStream(of: Int64.self, bufferingPolicy: .bufferingNewest(1))
        // Owned by this function, which waits for its end below.
        let broken = Task {
            await failure { () throws(Failure) in
                _ = try await fleet.fetch(image.request, with: server.grant(), on: host) { report.yield($0) }
            }
        }
        let came = await moved.first { $0 > Int64(image.bytes.count) / 2 }
        try trouble()
        #expect(await broken.value?.kind == .retriable)
        return came ?? 0
    }

    /// Again while the node still cleans up after the try before.
    private func patiently(_ body: () async throws(Failure) -> Transfer) async throws -> Transfer {
        for _ in 0..<100 {
            do throws(Failure) {
                return try await body()
            } catch {
                guard error.kind == .retriable else { throw error }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
        return try await body()
    }
}

/// When a transfer began to move bytes: logging in before it has no part in its rate.
private final class FirstByte: Sendable {
    private let moment = Mutex<ContinuousClock.Instant?>(nil)

    func isNear() { moment.withLock { $0 = $0 ?? .now } }

    var secondsSince: Double { (moment.withLock { $0 } ?? .now).duration(to: .now).seconds }
}
