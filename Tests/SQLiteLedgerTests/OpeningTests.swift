import Engine
import ForecacheModel
import ForecacheTestSupport
import Foundation
import GRDB
import Planning
import SQLiteLedger
import Testing

@Suite struct OpeningTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)

    @Test func makesItsDirectoryAndAPrivateFile() async throws {
        try await withLedgerDirectory { directory in
            let path = directory + "/new/deep/forecache.sqlite"
            let ledger = try open(path)
            try await ledger.request([Samples.imageID(1)], cause: .event, at: now)
            for suffix in ["", "-wal", "-shm", ".lock"] {
                #expect(try mode(path + suffix) == 0o600, "\(suffix)")
            }
            #expect(try mode(directory + "/new/deep") == 0o700)
        }
    }

    @Test func theLogHasRoomFromTheStart() async throws {
        try await withLedgerDirectory { directory in
            let ledger = try open(directory + "/a.sqlite")
            let size = { try FileManager.default.attributesOfItem(atPath: directory + "/a.sqlite-wal")[.size] as? Int }
            #expect(try size() == 8 << 20)
            for number in 0..<300 { try await ledger.request([Samples.imageID(number)], cause: .event, at: now) }
            let rows = try await ledger.dueWork(at: now, excluding: [:], limit: 200)
            try await ledger.finish(rows)
            #expect(try await ledger.workCount() == 100)
            #expect(try size() == 8 << 20, "it is written from the start again after each checkpoint")
        }
    }

    @Test func aSecondServiceIsRefusedAndAReaderIsNot() async throws {
        try await withLedgerDirectory { directory in
            let path = directory + "/a.sqlite"
            var first: SQLiteLedger? = try open(path)
            try await first?.request([Samples.imageID(1)], cause: .event, at: now)
            let failure = #expect(throws: Failure.self) { try open(path) }
            #expect(failure?.kind == .fatal)
            #expect(
                failure?.description.contains("in use by another forecache (process \(getpid()))") == true)
            #expect(try await SQLiteLedger.reading(path: path).workCount() == 1)
            first = nil
            #expect(try await open(path).workCount() == 1)
        }
    }

    @Test func aReaderReadsWithoutAServiceAndNeverWrites() async throws {
        try await withLedgerDirectory { directory in
            let path = directory + "/a.sqlite"
            _ = try open(path)
            let reader = try SQLiteLedger.reading(path: path)
            #expect(try await reader.images(after: nil, limit: 10) == [])
            let failure = await #expect(throws: Failure.self) {
                try await reader.request([Samples.imageID(1)], cause: .event, at: now)
            }
            #expect(failure?.description.contains("opened for reading only") == true)
            let missing = #expect(throws: Failure.self) {
                try SQLiteLedger.reading(path: directory + "/none.sqlite")
            }
            #expect(missing?.description.contains("no ledger at") == true)
            #expect(!FileManager.default.fileExists(atPath: directory + "/none.sqlite"))
        }
    }

    @Test(arguments: ["/proc/forecache/a.sqlite", "/proc/a.sqlite", "/dev/null/a.sqlite"])
    func whereNothingCanBeWrittenItSaysSo(_ path: String) throws {
        let failure = #expect(throws: Failure.self) { try open(path) }
        #expect(failure?.kind == .fatal)
        #expect(failure?.description.contains("`state:`") == true, "\(String(describing: failure))")
    }

    @Test func aDirectoryInItsPlaceIsNamed() async throws {
        try await withLedgerDirectory { directory in
            let failure = #expect(throws: Failure.self) { try open(directory) }
            #expect(
                failure?.description.contains("directory; set `state:` to a file") == true,
                "\(String(describing: failure))")
        }
    }

    @Test func aDamagedFileIsSaidToBe() async throws {
        try await withLedgerDirectory { directory in
            let path = directory + "/a.sqlite"
            try Data(repeating: 0x41, count: 8192).write(to: URL(fileURLWithPath: path))
            let failure = #expect(throws: Failure.self) { try open(path) }
            #expect(failure?.kind == .fatal)
            #expect(
                failure?.description.contains("damaged or not a ledger") == true,
                "\(String(describing: failure))")
        }
    }

    @Test func pagesDamagedLaterAreReportedWhereTheyAreRead() async throws {
        try await withLedgerDirectory { directory in
            let path = directory + "/a.sqlite"
            do {
                let ledger = try open(path)
                try await ledger.request((0..<5000).map(Samples.imageID), cause: .event, at: now)
            }
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            let size = try file.seekToEnd()
            for offset in stride(from: UInt64(65536), to: size, by: 4096) {
                try file.seek(toOffset: offset)
                try file.write(contentsOf: Data(repeating: 0xff, count: 512))
            }
            try file.close()
            let failure = await #expect(throws: Failure.self) {
                _ = try await open(path).dueWork(at: now, excluding: [:], limit: 5000)
            }
            #expect(failure?.description.contains("damaged") == true, "\(String(describing: failure))")
        }
    }

    @Test func anotherProgramsDatabaseIsLeftAlone() async throws {
        try await withLedgerDirectory { directory in
            let path = directory + "/other.sqlite"
            let queue = try DatabaseQueue(path: path)
            try await queue.write { try $0.execute(sql: "CREATE TABLE theirs (id INTEGER)") }
            try queue.close()
            let failure = #expect(throws: Failure.self) { try open(path) }
            #expect(
                failure?.description.contains("another program's database") == true,
                "\(String(describing: failure))")
        }
    }

    @Test func aNewerVersionsLedgerIsRefused() async throws {
        try await withLedgerDirectory { directory in
            let path = directory + "/a.sqlite"
            _ = try open(path)
            let queue = try DatabaseQueue(path: path)
            try await queue.write {
                try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('of the future')")
            }
            try queue.close()
            let failure = #expect(throws: Failure.self) { try open(path) }
            #expect(
                failure?.description.contains("newer version") == true, "\(String(describing: failure))")
        }
    }

    private func open(_ path: String) throws -> SQLiteLedger {
        try SQLiteLedger(path: path, refresh: RefreshSchedule(), limits: Limits())
    }

    private func mode(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    }
}
