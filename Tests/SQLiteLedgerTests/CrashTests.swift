import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import GRDB
import Planning
import Testing

@testable import SQLiteLedger

@Suite struct CrashTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)
    private let refresh = RefreshSchedule()

    @Test func whatWasCommittedIsThereAfterAKill() async throws {
        try await withLedgerDirectory { directory in
            let ledger = try SQLiteLedger(
                path: directory + "/a.sqlite", refresh: refresh, limits: Limits())
            for number in 0..<50 { try await ledger.request([Samples.imageID(number)], cause: .event, at: now) }
            // The files as a killed process leaves them: nothing was closed or checkpointed.
            try copy(directory + "/a.sqlite", to: directory + "/b.sqlite")
            let reopened = try SQLiteLedger(
                path: directory + "/b.sqlite", refresh: refresh, limits: Limits())
            #expect(try await reopened.workCount() == 50)
            #expect(try await ledger.workCount() == 50)
        }
    }

    /// A power cut tears the log anywhere: each transaction is there whole or not at all, and those before it are.
    @Test func aTornLogLosesNoWholeTransaction() async throws {
        try await withLedgerDirectory { directory in
            let ledger = try SQLiteLedger(
                path: directory + "/a.sqlite", refresh: refresh, limits: Limits())
            for number in 0..<20 {
                try await ledger.request(
                    [Samples.imageID(2 * number), Samples.imageID(2 * number + 1)], cause: .event, at: now)
            }
            // Behind the last whole frame (a head of 24 bytes and a page; the log's own head has 32) lies the room for those to come.
            let room = try Data(contentsOf: URL(fileURLWithPath: directory + "/a.sqlite-wal"))
            let frame = 24 + 4096
            let log = room.prefix(32 + ((room.lastIndex { $0 != 0 } ?? 32) - 32 + frame) / frame * frame)
            var counts: [Int] = []
            for cut in stride(from: log.count, through: 0, by: -max(1, log.count / 23)) {
                let torn = directory + "/torn\(cut).sqlite"
                try copy(directory + "/a.sqlite", to: torn)
                try log.prefix(cut).write(to: URL(fileURLWithPath: torn + "-wal"))
                // A log that is cut within its first transactions leaves a ledger before its tables: it is made anew.
                let reopened = try SQLiteLedger(path: torn, refresh: refresh, limits: Limits())
                counts.append(try await reopened.workCount())
                let verdict = try await reopened.read("check") {
                    try String.fetchOne($0, sql: "PRAGMA integrity_check")
                }
                #expect(verdict == "ok")
            }
            #expect(counts.first == 40)
            #expect(counts == counts.sorted(by: >))
            #expect(counts.allSatisfy { $0.isMultiple(of: 2) }, "\(counts)")
        }
    }

    @Test func marksOfACrashedServiceAreClearedByTheNextOwnerOnly() async throws {
        try await withLedgerDirectory { directory in
            let (path, id) = (directory + "/a.sqlite", Samples.imageID(1))
            do {
                let ledger = try SQLiteLedger(path: path, refresh: refresh, limits: Limits())
                let placement = Placement(
                    image: id, site: "dcn1", role: "Compute", host: "h0", rule: "golden")
                try await ledger.record(
                    Decision(image: ImageFacts(id: id), placements: [placement]), ttlSeconds: ["h0": 100],
                    at: now)
                try await ledger.recordStarted(id, on: ["h0"], at: now)
                let guest = try SQLiteLedger(path: path, refresh: refresh, limits: Limits(), access: .guest)
                #expect(try await guest.placements(of: id).map(\.isInFlight) == [true])
                #expect(
                    try await SQLiteLedger.reading(path: path).placements(of: id).map(\.isInFlight) == [true])
            }
            let reopened = try SQLiteLedger(path: path, refresh: refresh, limits: Limits())
            #expect(try await reopened.placements(of: id).map(\.isInFlight) == [false])
        }
    }

    @Test func aFullDiskFailsTheWholeTransaction() async throws {
        try await withLedgerDirectory { directory in
            let ledger = try SQLiteLedger(
                path: directory + "/a.sqlite", refresh: refresh, limits: Limits())
            try await ledger.request([Samples.imageID(1)], cause: .event, at: now)
            let pages =
                try await ledger.read("count pages") { try Int.fetchOne($0, sql: "PRAGMA page_count") } ?? 0
            try await ledger.write("bound the file") {
                try $0.execute(sql: "PRAGMA max_page_count = \(pages + 2)")
            }
            let many = (0..<5000).map(Samples.imageID)
            let failure = await #expect(throws: Failure.self) {
                try await ledger.request(many, cause: .event, at: now)
            }
            #expect(failure?.kind == .fatal)
            #expect(
                failure?.description.contains("full; free space") == true, "\(String(describing: failure))")
            #expect(try await ledger.workCount() == 1)
        }
    }

    @Test func aCancelledCallerStillCommits() async throws {
        let (ledger, id) = (try SQLiteLedger.inMemory(), Samples.imageID(1))
        let now = now
        // Owned by this test, ended by the line below it.
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await ledger.request([id], cause: .event, at: now)
        }
        try await task.value
        #expect(try await ledger.workCount() == 1)
    }

    private func copy(_ path: String, to other: String) throws {
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(atPath: path + suffix, toPath: other + suffix)
        }
    }
}
