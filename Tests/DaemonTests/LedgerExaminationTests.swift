import ForecacheModel
import Foundation
import Planning
import SQLiteLedger
import Testing

@testable import Daemon

/// What `doctor` finds in the ledger that the service writes.
@Suite struct LedgerExaminationTests {
    /// A link to itself stands for all that cannot be looked at: unlike a directory of somebody else's it stops root, too.
    @Test func aLedgerThatMayNotBeLookedAtIsNotSaidToBeMissing() async throws {
        let folder = try Folder()
        var options = Setup.Options(environment: folder.environment)
        options.file = try folder.write("forecache.yaml", "state: loop/ledger\n")
        let setup = try Setup.load(options)
        #expect(await LedgerExamination(setup: setup).findings().map(\.level) == [.ok])
        #expect(try setup.serviceLedger() == nil)
        try FileManager.default.createSymbolicLink(atPath: "\(folder.path)/loop", withDestinationPath: "loop")
        #expect(await LedgerExamination(setup: setup).findings().map(\.level) == [.fail])
        #expect(throws: Failure.self) { try setup.serviceLedger() }
    }

    @Test func aNotificationThatWasNotUnderstoodIsShownAndNotObeyed() async throws {
        let folder = try Folder()
        var options = Setup.Options(environment: folder.environment)
        options.file = try folder.write("forecache.yaml", "state: ledger\n")
        let setup = try Setup.load(options)
        let ledger = try SQLiteLedger(path: setup.configuration.state, refresh: RefreshSchedule(), limits: Limits())
        #expect(await LedgerExamination(setup: setup).findings().map(\.level) == [.ok])
        try await ledger.keep(
            OddMessage(
                receivedAt: Date(timeIntervalSince1970: 1_790_000_000), exchange: "glance", routingKey: "notifications.info",
                reason: "no JSON object",
                excerpt: "\u{1B}[2Jhostile"))
        let finding = try #require(await LedgerExamination(setup: setup).findings().last)
        #expect(finding.level == .warn && finding.check == "notifications")
        #expect(finding.text.contains("glance/notifications.info, 2026-09-21T14:13:20Z") && finding.text.contains("no JSON object"))
        #expect(finding.text.contains("hostile") && !finding.text.contains("\u{1B}"))
    }
}
