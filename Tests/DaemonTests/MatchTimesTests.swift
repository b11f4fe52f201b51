import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Logging
import Planning
import Rules
import SQLiteLedger
import Testing

@testable import Daemon

/// `for:` outside the service: a match began when the service's ledger says, and without one now.
@Suite struct MatchTimesTests {
    private let folder: Folder
    private let config: String
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let id = "00000000-0000-4000-8000-000000000001"
    private static let image = """
        {"id": "\(id)", "name": "noble", "status": "active", "visibility": "public", "tags": ["golden"], "size": 1000, "disk_format": "qcow2",
         "container_format": "bare", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
        """

    init() throws {
        folder = try Folder()
        try folder.write(
            "inventories/dcn1.yaml",
            """
            dcn1_nova_compute:
              hosts: { a0: { ansible_host: 192.0.2.10 } }
              vars: { tripleo_role_name: Compute }
            dcn1: { children: { dcn1_nova_compute: {} } }
            """)
        try folder.write("rules/r.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: rollout, match: { tag: golden }, for: 14d }\n")
        try folder.write("image.json", Self.image)
        try folder.write("images.json", #"{"images": [\#(Self.image)]}"#)
        config = try folder.write("forecache.yaml", "inventory: [inventories]\nrules: [rules]\nstate: ledger\n")
    }

    private func setup() throws -> Setup {
        var options = Setup.Options(environment: folder.environment)
        options.file = config
        return try Setup.load(options)
    }

    /// The ledger as the service leaves it: the image's match began so many days ago.
    private func remember(days: Double) async throws {
        let setup = try setup()
        let ledger = try SQLiteLedger(path: setup.configuration.state, refresh: RefreshSchedule(), limits: Limits())
        let image = ImageFacts(id: try #require(ImageID(Self.id)), name: "noble", sizeBytes: 1000, tags: ["golden"])
        let began = Date().addingTimeInterval(-days * 86400)
        let decision = setup.rules.decide(image, fleet: setup.fleet, now: began)
        try await ledger.record(decision, ttlSeconds: [:], at: began)
    }

    private func review() async throws -> (review: PlanReview, notes: [String]) {
        let source = PlanReview.Source.saved(file: folder.path + "/images.json", isOffline: true)
        let reviewer = try PlanReview.Reviewer(
            try setup(), from: source, targets: .rules, environment: folder.environment, logger: logger)
        return (try await reviewer.review(nil) { Issue.record("\($0)") }, reviewer.notes)
    }

    @Test func whatIsStillKeptIsPlanned() async throws {
        try await remember(days: 13)
        let (review, notes) = try await review()
        #expect(review.plans.flatMap(\.steps).map(\.host) == ["a0"])
        #expect(review.noLongerWanted.isEmpty)
        #expect(!notes.contains { $0.contains("'for'") })
    }

    @Test func whatWasKeptLongEnoughIsNoLongerWanted() async throws {
        try await remember(days: 15)
        let (review, _) = try await review()
        #expect(review.plans.isEmpty)
        #expect(review.noLongerWanted.map(\.host) == ["a0"])
    }

    @Test func whatARuleOnlyTriesOutIsNoLongerWanted() async throws {
        try await remember(days: 13)
        try folder.write("rules/r.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: rollout, mode: dry-run, match: { tag: golden } }\n")
        #expect(try await review().review.noLongerWanted.map(\.host) == ["a0"])
    }

    @Test func withoutALedgerAMatchBeginsNowAndThatIsSaid() async throws {
        let (review, notes) = try await review()
        #expect(review.plans.flatMap(\.steps).map(\.host) == ["a0"])
        #expect(notes.contains { $0.hasPrefix("what rules keep 'for' a time counts from now: there is no ledger at ") })
        try folder.write("rules/r.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: rollout, match: { tag: golden } }\n")
        #expect(try await self.review().notes == [])
    }

    @Test func byHandTheSameImagesAreTaken() async throws {
        let (setup, catalog) = (try setup(), ScriptedCatalog())
        await catalog.put(ImageFacts(id: try #require(ImageID(Self.id)), name: "noble", sizeBytes: 1000, tags: ["golden"]))
        for (days, count) in [(13.0, 1), (15.0, 0)] {
            try await remember(days: days)
            let choice = ImageChoice(policy: setup.policy, catalog: catalog, matchTimes: setup.matchTimes { Issue.record("\($0)") })
            #expect(try await choice.imagesOfRules().count == count)
        }
    }

    @Test func explainSaysUntilWhenItWasKept() async throws {
        try await remember(days: 15)
        let explain = Explain(setup: try setup(), environment: folder.environment)
        let report = try await explain.report(onFile: folder.path + "/image.json") { Issue.record("\($0)") }
        #expect(report.rules.map(\.matched) == [true])
        #expect(report.rules[0].consequences.contains { $0.hasPrefix("it was to be kept until ") })
        #expect(report.placements.isEmpty)
    }

    /// A rule that is named anew counts from now, so it brings everything back: no flood without approval.
    @Test func aChangedSetIsComparedWithWhatIsKeptStill() async throws {
        let (old, image) = (try setup(), ImageFacts(id: try #require(ImageID(Self.id)), name: "noble", sizeBytes: 1000, tags: ["golden"]))
        try await remember(days: 15)
        try folder.write("rules/r.yaml", "apiVersion: forecache/v1\nrules:\n  - { name: other, match: { tag: golden }, for: 14d }\n")
        let new = try setup()
        let ledger = try #require(try new.serviceLedger())
        let began = try await ledger.matchesBegan([image.id], by: [old.policy.rules, new.policy.rules])
        let difference = await PolicyComparison.difference(from: old.policy, to: new.policy, images: [image], since: began, now: Date())
        #expect(difference.added == 1)
    }

    /// Twenty days ago it was wanted; what the recording alone tells of its end is told.
    @Test func aReplayCountsFromTheFirstEventThatMatched() async throws {
        let setup = try setup()
        func event(_ days: Double) -> String {
            let message = #"{"message_id":"m\#(days)","publisher_id":"image.c0","event_type":"image.update","payload":\#(Self.image)}"#
            let body = message.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
            let time = RFC3339.text(Date().addingTimeInterval(-days * 86400))
            return #"{"received_at":"\#(time)","exchange":"glance","routing_key":"notifications.info","body":"\#(body)"}"#
        }
        try folder.write("events.jsonl", [event(30), event(20), event(15)].joined(separator: "\n"))
        let replay = Replay(setup: setup, environment: folder.environment, logger: logger)
        var hosts: [[HostName]?] = []
        _ = try await replay.run(folder.path + "/events.jsonl", isOffline: true, note: { _ in }, show: { hosts.append($0.then?.hosts) })
        #expect(hosts == [["a0"], ["a0"], []])
    }
}
