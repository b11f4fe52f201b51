import Engine
import ForecacheModel
import Foundation
import Logging
import Planning
import SSHFleet
import Testing

/// Against the lab's nodes: `deploy/lab/lab up`, then FORECACHE_LAB_ENV=<its lab.env>. Without the lab they fail: a skipped test is one that nobody runs.
@Suite(.serialized) struct LabTests {
    private let lab: Lab

    init() throws { lab = try Lab() }

    @Test func survey() async throws {
        let (host, fleet) = (lab.hosts[0], lab.fleet())
        let before = try await fleet.survey(host)
        #expect(before.host == host.name)
        #expect(abs(before.clockSkewSeconds) < 5)
        #expect(before.ttlSeconds != nil && before.forcesRawImages == false && before.imagesType == "default")
        #expect(before.freeBytes > 0 && before.totalBytes >= before.freeBytes && before.hasCacheDirectory)
        #expect(before.tools.isSuperset(of: ["curl", "sha512sum", "sftp", "container"]), "\(before.tools)")
        await fleet.close()
    }

    @Test func fetchPublishCopyTouchAndSweep() async throws {
        let (fleet, image) = (lab.fleet(), ImageFile(bytes: 3_000_000))
        let (first, second) = (lab.hosts[0], lab.hosts[1])
        try await FileServer.run(image, address: lab.serverAddress, mode: "plain") { server in
            let moved = try await fleet.fetch(image.request, with: server.grant(), on: first) { _ in }
            #expect(moved == Transfer(bytes: Int64(image.bytes.count)))
            #expect(try await fleet.publish(image.request, on: first) == false)
            let again = try await fleet.fetch(image.request, with: server.grant(), on: first) { _ in }
            #expect(again.isExisting)
            #expect(try await fleet.publish(image.request, on: first))
            let copied = try await fleet.copy(image.request, from: first, on: second) { _ in }
            #expect(copied == Transfer(bytes: Int64(image.bytes.count)))
            #expect(try await fleet.publish(image.request, on: second) == false)
            for host in [first, second] {
                let file = "\(try lab.instances(of: host))/_base/\(image.name)"
                #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == image.bytes)
                let attributes = try FileManager.default.attributesOfItem(atPath: file)
                #expect(attributes[.ownerAccountID] as? Int == 42436 && attributes[.posixPermissions] as? Int == 0o644)
                let survey = try await fleet.survey(host)
                let base = try #require(survey.baseFiles.first { $0.name == image.name })
                #expect(base.bytes == Int64(image.bytes.count) && base.ageSeconds < 60)
            }
            let absent = BaseFileName(of: try #require(ImageID(UUID().uuidString)))
            #expect(
                try await fleet.touch([image.name, absent], on: first) == [
                    image.name: .touched(bytes: Int64(image.bytes.count)), absent: .missing,
                ])
        }
        await fleet.close()
    }

    @Test func wrongBytesAreNeverPublishedAndAreSwept() async throws {
        let (fleet, host) = (lab.fleet(), lab.hosts[0])
        let (image, other) = (ImageFile(bytes: 200_000), ImageFile(bytes: 200_000))
        try await FileServer.run(other, address: lab.serverAddress, mode: "plain") { server in
            _ = try await fleet.fetch(image.request, with: server.grant(), on: host) { _ in }
            let refused = await failure { () throws(Failure) in _ = try await fleet.publish(image.request, on: host) }
            #expect(refused?.kind == .permanent && refused?.context.contains("digest_mismatch") == true)
            #expect(try await fleet.survey(host).baseFiles.allSatisfy { $0.name != image.name })
            _ = try await fleet.fetch(image.request, with: server.grant(), on: host) { _ in }
            #expect(try await fleet.survey(host).temporaryBytes >= 200_000)
            #expect(try await fleet.sweep(olderThanSeconds: 0, on: host) >= 200_000)
        }
        await fleet.close()
    }

    @Test func theTokenIsSeenByNobody() async throws {
        let (fleet, image, host) = (lab.fleet(), ImageFile(bytes: 400_000), lab.hosts[0])
        try await FileServer.run(image, address: lab.serverAddress, mode: "slow") { server in
            let (moved, report) = AsyncStream.makeStream(of: Int64.self, bufferingPolicy: .bufferingNewest(10))
            async let transfer = fleet.fetch(image.request, with: server.grant(), on: host) { if $0 > 0 { report.yield($0) } }
            _ = await moved.first { _ in true }
            let processes = try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { Int($0) != nil }
            var seenCurl = false
            for process in processes where Int(process) != Int(server.pid) {
                for file in ["cmdline", "environ"] {
                    // A process may be gone by now; then it shows nothing to anybody.
                    let text = (try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(process)/\(file)"))) ?? Data()
                    #expect(text.range(of: Data(server.token.utf8)) == nil, "\(file) of process \(process)")
                    if file == "cmdline", text.starts(with: Data("curl\0".utf8)) { seenCurl = true }
                }
            }
            #expect(seenCurl, "the download was running while we looked")
            #expect(try await transfer.bytes == 400_000)
        }
        await fleet.close()
    }

    @Test func cancellationEndsADownload() async throws {
        let (fleet, image, host) = (lab.fleet(), ImageFile(bytes: 400_000), lab.hosts[0])
        try await FileServer.run(image, address: lab.serverAddress, mode: "slow") { server in
            let (moved, report) = AsyncStream.makeStream(of: Int64.self, bufferingPolicy: .bufferingNewest(10))
            // Owned by this test, which waits for its end below.
            let transfer = Task {
                await failure { () throws(Failure) in
                    _ = try await fleet.fetch(image.request, with: server.grant(), on: host) { if $0 > 0 { report.yield($0) } }
                }
            }
            _ = await moved.first { _ in true }
            transfer.cancel()
            #expect(await transfer.value?.kind == .cancelled)
            // What came stays for the next try, which goes on from there once the node has noticed.
            var next: Transfer?
            for _ in 0..<50 where next == nil {
                do throws(Failure) {
                    next = try await fleet.fetch(image.request, with: server.grant(), on: host) { _ in }
                } catch {
                    #expect(error.context.contains("busy"))
                    try await Task.sleep(for: .milliseconds(100))
                }
            }
            #expect((next?.resumedFrom ?? 0) > 0)
        }
        _ = try await fleet.sweep(olderThanSeconds: 0, on: host)
        await fleet.close()
    }

    @Test func answersOfTheServerBecomeFailures() async throws {
        let (fleet, image, host) = (lab.fleet(), ImageFile(bytes: 1000), lab.hosts[0])
        for (mode, kind, word) in [
            ("404", Failure.Kind.permanent, "not_found"), ("403", .permanent, "forbidden"), ("503", .retriable, "HTTP 503"),
        ] {
            try await FileServer.run(image, address: lab.serverAddress, mode: mode) { server in
                let refused = await failure { () throws(Failure) in
                    _ = try await fleet.fetch(image.request, with: server.grant(), on: host) { _ in }
                }
                #expect(refused?.kind == kind && refused?.context.contains(word) == true, "\(String(describing: refused))")
                #expect(refused?.description.contains(server.token) == false)
            }
        }
        _ = try await fleet.sweep(olderThanSeconds: 0, on: host)
        await fleet.close()
    }

    @Test func aNodeThatIsAway() async throws {
        let fleet = lab.fleet()
        var host = lab.hosts[0]
        // An address of the node's own network that nobody has.
        host.address = host.address.split(separator: ".").dropLast().joined(separator: ".") + ".250"
        host.ssh.connectTimeoutSeconds = 2
        host.ssh.hostKeyChecking = .off
        let away = await failure { () throws(Failure) in _ = try await fleet.survey(host) }
        #expect(away?.kind == .retriable && away?.description.contains(host.address) == true, "\(String(describing: away))")
    }
}

/// The failure that the operation ended with, if it did.
func failure(_ body: () async throws(Failure) -> Void) async -> Failure? {
    do throws(Failure) {
        try await body()
        return nil
    } catch {
        return error
    }
}
