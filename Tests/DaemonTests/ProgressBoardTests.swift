import Engine
import ForecacheModel
import FoundationEssentials
import Planning
import Testing

@testable import Daemon

/// What a terminal shows while hosts are at work.
@Suite struct ProgressBoardTests {
    private let start = Date(timeIntervalSince1970: 1_800_000_000)
    private let image: ImageFacts

    init() throws {
        let id = try #require(ImageID("07bc2424-753b-4f65-9da5-5a99d8383fe6"))
        image = ImageFacts(id: id, name: "ubuntu\u{1B}[2J\n\u{202E}22", status: .active, sizeBytes: 1 << 30)
    }

    private func board(_ hosts: [(SiteName, [HostName])]) -> ProgressBoard {
        var board = ProgressBoard()
        let sites = hosts.map { site, hosts in
            SitePlan(
                site: site, via: .direct, forks: 5, copiesAtOnce: 5,
                steps: hosts.map {
                    Step(host: $0, role: "Compute", action: .fetch, rule: "golden", priority: 50, ttlSeconds: 86400, reasons: [])
                })
        }
        board.planned(Plan(image: image, sites: sites))
        return board
    }

    private func progress(_ host: HostName, _ mebibytes: Int64, from source: String = "glance") -> ExecutionReport {
        .progress(image: image.id, host: host, source: source, bytes: mebibytes << 20, of: 1 << 30)
    }

    @Test func aHostsLineHasBytesRateTimeLeftAndSource() {
        var board = board([("dcn1", ["a", "b"])])
        board.told(.started(image: image.id, host: "a"), at: start)
        board.told(.started(image: image.id, host: "b"), at: start)
        board.told(progress("a", 512, from: "b"), at: start)
        for second in 1...4 { board.told(progress("a", 512 + Int64(second) * 64, from: "b"), at: start.addingTimeInterval(Double(second))) }
        let lines = board.lines(rows: 20, columns: 200)
        #expect(
            lines == [
                "a: ubuntu\u{FFFD}[2J\u{FFFD}\u{FFFD}22, 768.0 MiB of 1.0 GiB, 75 %, 64.0 MiB/s, 0:04 left, from b",
                "b: ubuntu\u{FFFD}[2J\u{FFFD}\u{FFFD}22, started", "= dcn1: 0 of 2 done, 2 at work, 64.0 MiB/s",
            ])
        board.told(.ended(Outcome(image: image.id, site: "dcn1", host: "a", kind: .cached)), at: start)
        board.told(.ended(Outcome(image: image.id, site: "dcn1", host: "b", kind: .failed, reason: "no")), at: start)
        #expect(board.lines(rows: 20, columns: 200).isEmpty)
    }

    @Test func hundredsOfHostsNeverScroll() {
        let sites: [(SiteName, [HostName])] = (1...40).map { site in
            (SiteName("dcn\(site)"), (0..<50).map { HostName("dcn\(site)-compute-\($0)") })
        }
        var board = board(sites)
        for (_, hosts) in sites { for host in hosts.prefix(5) { board.told(progress(host, 1), at: start) } }
        for rows in [1, 2, 3, 10, 22] {
            let lines = board.lines(rows: rows, columns: 79)
            #expect(lines.count <= rows)
            #expect(lines.allSatisfy { $0.count <= 79 })
        }
        let lines = board.lines(rows: 22, columns: 79)
        #expect(lines.contains { $0.hasPrefix("… and ") && $0.hasSuffix("more hosts at work") })
        #expect(lines.last?.hasPrefix("= 34 sites: 0 of 1700 done, 170 at work") == true, "\(lines.last ?? "")")
    }

    @Test func linesAreCutByTheColumnsThatTheyTake() {
        #expect(ProgressBoard.cut("映像映像", to: 5) == "映像")
        #expect(ProgressBoard.cut("abcdef", to: 3) == "abc")
        #expect(ProgressBoard.cut("e\u{301}e\u{301}e\u{301}", to: 2) == "e\u{301}e\u{301}")
    }

    @Test func scriptsGetOneObjectALine() throws {
        let line = try ContractJSON.text(ProgressEvent(progress("a", 1), at: start), pretty: false)
        #expect(
            line == """
                {"at":"2027-01-15T08:00:00Z","bytes":1048576,"event":"progress","host":"a","image":"07bc2424-753b-4f65-9da5-5a99d8383fe6",\
                "outcome":null,"reason":null,"source":"glance","total_bytes":1073741824}
                """)
    }
}
