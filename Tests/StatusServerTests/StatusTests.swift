import ForecacheModel
import ForecacheTestSupport
import Foundation
import SQLiteLedger
import Synchronization
import Testing

@Suite struct StatusTests {
    @Test func theReportHasEveryKeyOfTheContract() async throws {
        try await RunningServer.with { server in
            try await server.ledger.want(Samples.imageID(1), name: "ubuntu \"24.04\"")
            try await server.ledger.request([Samples.imageID(1)], cause: .event, at: RunningServer.now)
            server.world.counters.withLock { $0.received = [.image: 3] }
            let answer = try await server.get("/api/v1/status")
            #expect(answer.status == 200)
            #expect(answer.headers["content-type"] == "application/json")
            let json = try #require(
                try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
            #expect(Set(json.keys) == ["images", "queue", "notifications", "policy"])
            let first = try #require((json["images"] as? [[String: Any]])?.first)
            #expect(first["name"] as? String == "ubuntu \"24.04\"")
            let placements = try #require(first["placements"] as? [[String: Any]])
            let keys: Set = [
                "site", "role", "host", "state", "age_seconds", "ttl_seconds", "expires_at", "refresh_at",
                "transfer", "at_risk", "bytes", "rule", "error",
            ]
            #expect(placements.map { Set($0.keys) } == [keys, keys])
            #expect(placements[0]["age_seconds"] as? Int == 60)
            #expect(placements[0]["expires_at"] as? String == "2027-01-16T07:58:59Z")
            #expect(placements[1]["state"] as? String == "pending")
            #expect(placements[1]["expires_at"] is NSNull)
            let queue = try #require(json["queue"] as? [String: Any])
            #expect(queue["length"] as? Int == 1 && queue["next_due_at"] as? String == RFC3339.text(RunningServer.now))
            let notifications = try #require(json["notifications"] as? [String: Any])
            #expect(notifications["received"] as? [String: Int] == ["image": 3, "duplicate": 0, "irrelevant": 0, "odd": 0])
        }
    }

    @Test func whatOnlyARunningServiceKnowsIsNull() throws {
        let lone = StatusReport(images: [], queue: StatusQueue(length: 0, nextDueAt: nil), notifications: StatusNotifications())
        #expect(
            try ContractJSON.text(lone, pretty: false) == """
                {"images":[],"notifications":{"last_event_at":null,"received":null,"subscribed":null},"policy":{"at_restart":[],"changed":null,\
                "max_new_placements":null,"new_placements":null,"problems":[],"removed_placements":null,"set":null,"since":null,"state":null},\
                "queue":{"length":0,"next_due_at":null}}
                """)
    }

    @Test func theServerSpellsKeysAsTheCommandDoes() throws {
        let (moment, way) = (RunningServer.now, TransferProgress(source: "glance", receivedBytes: 1, totalBytes: 2))
        let records = [
            PlacementRecord(
                image: Samples.imageID(1), site: "dcn1", role: "Compute", host: "h0", isInFlight: true, transfer: way, updatedAt: moment),
            PlacementRecord(
                image: Samples.imageID(1), site: "dcn1", role: "Compute", host: "h1", touchedAt: moment, refreshAt: moment,
                updatedAt: moment),
        ]
        let shown = StatusImage(id: Samples.imageID(1), name: "image", placements: records.map { StatusPlacement($0, at: moment) })
        #expect(try ContractJSON.text(shown, keys: .useDefaultKeys) == ContractJSON.text(shown))
    }

    @Test func aTransferUnderWayTellsHowFarItIs() async throws {
        try await RunningServer.with { server in
            let (id, half) = (Samples.imageID(1), TransferProgress(source: "<glance>", receivedBytes: 550, totalBytes: 1000))
            try await server.ledger.want(id, name: "image")
            try await server.ledger.recordStarted(id, on: ["h0"], at: RunningServer.now)
            try await server.ledger.recordProgress(id, ["h0": half])
            let answer = try await server.get("/api/v1/status")
            let json = try #require(try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
            let placements = try #require((json["images"] as? [[String: Any]])?.first?["placements"] as? [[String: Any]])
            let transfer = try #require(placements[0]["transfer"] as? [String: Any])
            #expect(transfer["source"] as? String == "<glance>")
            #expect(transfer["received_bytes"] as? Int == 550 && transfer["total_bytes"] as? Int == 1000)
            #expect(placements[0]["state"] as? String == "caching" && placements[1]["transfer"] is NSNull)
            #expect(try await server.get("/").body.contains("caching 55 % from &lt;glance&gt;"))
        }
    }

    @Test func manyImagesComeWholeAndInOrder() async throws {
        try await RunningServer.with { server in
            let ids = (0..<250).map(Samples.imageID)
            for id in ids { try await server.ledger.want(id, name: "image \(id)") }
            let whole = try await report(server, "")
            #expect(whole.images.map(\.id) == ids)
            #expect(whole.images.allSatisfy { $0.placements.count == 2 })
            let rest = try await report(server, "?after=\(ids[248])")
            #expect(rest.images.map(\.id) == [ids[249]])
        }
    }

    @Test func filtersBySiteAndImage() async throws {
        try await RunningServer.with { server in
            for number in [0, 1, 2] {
                try await server.ledger.want(
                    Samples.imageID(number), name: "image", on: number == 2 ? ["h0"] : ["h0", "h1"])
            }
            let bySite = try await report(server, "?site=dcn2")
            let both = [Samples.imageID(0), Samples.imageID(1)]
            #expect(bySite.images.map(\.id) == both)
            #expect(Set(bySite.images.flatMap(\.placements).map(\.host)) == ["h1"])
            let byImage = try await report(server, "?image=\(Samples.imageID(1))")
            #expect(byImage.images.map(\.id) == [both[1]])
            #expect(try await report(server, "?image=\(Samples.imageID(9))").images.isEmpty)
            #expect(try await report(server, "?site=&image=").images.count == 3)
            #expect(try await server.get("/api/v1/status?image=nonsense").status == 400)
            #expect(try await server.get("/api/v1/status?host=h0").status == 400)
        }
    }

    private struct Report: Decodable {
        struct Image: Decodable {
            var id: ImageID
            var placements: [Placement]
        }

        struct Placement: Decodable {
            var host: HostName
        }

        var images: [Image]
    }

    private func report(_ server: RunningServer, _ query: String) async throws -> Report {
        try JSONDecoder().decode(Report.self, from: Data(try await server.get("/api/v1/status" + query).body.utf8))
    }
}
