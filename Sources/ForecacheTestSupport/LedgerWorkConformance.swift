import Engine
import ForecacheModel
import Foundation

extension LedgerRule {
    /// Intents and messages.
    func checkWork(on ledger: any Ledger) async throws {
        let now = LedgerSample.now
        let (first, second, third) = (Samples.imageID(1), Samples.imageID(2), Samples.imageID(3))
        switch self {
        case .aRequestIsOneRowAnImage:
            try expect(try await ledger.nextWorkDue(), nil, "next due of an empty ledger")
            try expect(try await ledger.request([], cause: .event, at: now), [], "rows of no image")
            let made = try await ledger.request([first, second, first], cause: .event, at: now)
            try expect(Set(made), Set(try await ledger.dueWork(at: now, excluding: [:], limit: 9)), "rows as they are")
            try await ledger.request([second], cause: .event, at: now)
            try expect(try await ledger.workCount(), 2, "rows")
            try expect(try await ledger.nextWorkDue(), now, "next due")
        case .aRequestRenewsARow:
            try await ledger.request([first], cause: .event, at: now)
            let row = try await onlyRow(ledger, at: now)
            try await ledger.postpone(row, until: now.later(100), reason: "later")
            let told = try await ledger.request([first], cause: .reload, at: now.later(5))
            let renewed = try await onlyRow(ledger, at: now.later(5))
            try expect(told, [renewed], "the row as it is")
            try expect(renewed.generation > row.generation, true, "generation raised")
            try expect(renewed.attempts, 0, "attempts")
            try expect(renewed.cause, .reload, "cause")
            try expect(renewed.dueAt, now.later(5), "due")
            try expect(renewed.queuedAt, now, "queued")
        case .resyncLeavesARowThatWaits:
            try await ledger.request([first], cause: .event, at: now)
            let row = try await onlyRow(ledger, at: now)
            try await ledger.postpone(row, until: now.later(100), reason: "later")
            let waiting = try await onlyRow(ledger, at: now.later(100))
            let made = try await ledger.request([first, second], cause: .resync, at: now.later(1))
            try expect(made.map(\.image), [second], "rows made or renewed")
            try expect(try await ledger.dueWork(at: now.later(1), excluding: [:], limit: 9).map(\.image), [second], "due")
            let later = try await ledger.dueWork(at: now.later(100), excluding: [second: .max], limit: 9)
            try expect(waiting.attempts, 1, "attempts of the row that waited")
            try expect(later, [waiting], "that row")
        case .resyncTakesARowOfAClockThatWasAhead:
            try await ledger.request([first], cause: .event, at: now.later(9000))
            let longest = Limits().longestBackoffSeconds
            try await ledger.postpone(try await onlyRow(ledger, at: now.later(9000)), until: now.later(longest + 1), reason: "later")
            let made = try await ledger.request([first], cause: .resync, at: now)
            try expect(made, [try await onlyRow(ledger, at: now)], "the row as it is")
            try expect(made.map(\.attempts), [0], "attempts")
            try await ledger.postpone(made[0], until: now.later(longest), reason: "later")
            try expect(try await ledger.request([first], cause: .resync, at: now), [], "rows made of one that waits as long as it may")
        case .aRefreshNarrowsNoRequest:
            try await ledger.request([first], cause: .event, at: now)
            try await ledger.request([first, second], cause: .refresh, at: now.later(1))
            let due = try await ledger.dueWork(at: now.later(1), excluding: [:], limit: 9)
            try expect(due.map(\.image), [first, second], "rows")
            try expect(due.map(\.cause), [.event, .refresh], "causes")
            try await ledger.postpone(due[1], until: now.later(500), reason: "later", isFailure: true)
            try expect(try await ledger.dueWork(at: now.later(500), excluding: [first: .max], limit: 9).map(\.cause), [.refresh], "put off")
            try await ledger.request([second], cause: .resync, at: now.later(2))
            try expect(
                try await ledger.dueWork(at: now.later(2), excluding: [first: .max], limit: 9).map(\.cause), [.resync], "for all again")
        case .whatIsBroughtForwardKeepsItsAttempts:
            try await ledger.request([first], cause: .event, at: now)
            try await ledger.postpone(try await onlyRow(ledger, at: now), until: now.later(100), reason: "later")
            try await ledger.request([third], cause: .event, at: now)
            try await ledger.postpone(try await onlyRow(ledger, at: now), until: now.later(100), reason: "later")
            try await ledger.request([second], cause: .event, at: now)
            try await ledger.bringForward([first, second], at: now.later(5))
            try expect(try await ledger.dueWork(at: now.later(5), excluding: [:], limit: 9).map(\.image), [second, first], "rows")
            let due = try await ledger.dueWork(at: now.later(100), excluding: [:], limit: 9).sorted { $0.dueAt < $1.dueAt }
            try expect(due.map(\.image), [second, first, third], "in the end")
            try expect(due.map(\.dueAt), [now, now.later(5), now.later(100)], "what was due already, or was not meant, stays so")
            try expect(due.map(\.attempts), [0, 1, 1], "attempts")
            try await ledger.finish(due)
            try await ledger.bringForward([first], at: now.later(6))
            try expect(try await ledger.workCount(), 0, "rows of what nobody asked for")
        case .dueWorkIsOldestFirst:
            try await ledger.request([third], cause: .event, at: now)
            try await ledger.request([first], cause: .event, at: now.later(1))
            try await ledger.request([second], cause: .event, at: now.later(9))
            try expect(try await ledger.dueWork(at: now.later(1), excluding: [:], limit: 9).map(\.image), [third, first], "due")
            try expect(try await ledger.dueWork(at: now.later(9), excluding: [:], limit: 2).map(\.image), [third, first], "two of three")
            try expect(try await ledger.dueWork(at: now.later(9), excluding: [:], limit: 0).count, 0, "none asked for")
            try expect(try await ledger.dueWork(at: now.later(-1), excluding: [:], limit: 9).count, 0, "before any is due")
        case .dueWorkLeavesOutWhatIsExcluded:
            try await ledger.request([first, second, third], cause: .event, at: now)
            try expect(try await ledger.dueWork(at: now, excluding: [first: .max, second: .max], limit: 1).map(\.image), [third], "due")
        case .finishDeletesUnlessRequestedAgain:
            try await ledger.request([first], cause: .event, at: now)
            let row = try await onlyRow(ledger, at: now)
            try await ledger.request([first], cause: .event, at: now.later(1))
            try await ledger.finish([row])
            let again = try await onlyRow(ledger, at: now.later(1))
            try await ledger.request([second, third], cause: .event, at: now.later(1))
            let others = try await ledger.dueWork(at: now.later(1), excluding: [first: .max], limit: 9)
            try await ledger.request([third], cause: .event, at: now.later(2))
            try await ledger.finish(others + [again])
            let left = try await ledger.dueWork(at: now.later(2), excluding: [:], limit: 9)
            try expect(left.map(\.image), [third], "rows after all were finished")
            try await ledger.finish([again])
        case .aFinishedGenerationNeverComesAgain:
            try await ledger.request([first], cause: .event, at: now)
            let row = try await onlyRow(ledger, at: now)
            try await ledger.finish([row])
            try await ledger.request([first], cause: .event, at: now.later(1))
            try await ledger.finish([row])
            try expect(try await ledger.workCount(), 1, "rows after a second finish of the old row")
        case .postponeKeepsTheRowUnlessRequestedAgain:
            try await ledger.request([first], cause: .event, at: now)
            var row = try await onlyRow(ledger, at: now)
            try await ledger.postpone(row, until: now.later(50), reason: "later")
            try expect(try await ledger.dueWork(at: now.later(49), excluding: [:], limit: 9).count, 0, "due before its time")
            try expect(try await ledger.nextWorkDue(), now.later(50), "next due")
            row = try await onlyRow(ledger, at: now.later(50))
            try expect(row.attempts, 1, "attempts")
            try await ledger.request([first], cause: .event, at: now.later(60))
            try await ledger.postpone(row, until: now.later(900), reason: "later")
            try expect(try await onlyRow(ledger, at: now.later(60)).attempts, 0, "attempts of the newer request")
            // Another round has settled the image meanwhile, and knew nothing of what this one failed at.
            let newer = try await onlyRow(ledger, at: now.later(60))
            try await ledger.finish([newer])
            try await ledger.postpone(newer, until: now.later(70), reason: "later")
            row = try await onlyRow(ledger, at: now.later(70))
            try expect(row.attempts, 1, "attempts of the row that came back")
            try expect(row.cause, .retry, "its cause")
        case .aPostponedRowOutlivesOtherRounds:
            try await ledger.request([first], cause: .event, at: now)
            let row = try await onlyRow(ledger, at: now)
            try await ledger.postpone(row, until: now.later(50), reason: "a host of one site")
            // Another round of the same row, at another site.
            try await ledger.finish([row])
            try expect(try await onlyRow(ledger, at: now.later(50)).attempts, 1, "attempts after the other round")
            // A newer round has left out what this one is at work on.
            let newer = try await ledger.request([first], cause: .event, at: now.later(60))
            var failed = row
            failed.generation = newer[0].generation
            try await ledger.postpone(failed, until: now.later(70), reason: "a host that was left out")
            try await ledger.finish(newer)
            try expect(try await ledger.nextWorkDue(), now.later(70), "due after the newer round")
            try expect(try await onlyRow(ledger, at: now.later(70)).attempts, 1, "attempts after the newer round")
        case .aRowAskedForSinceIsDueAtTheSoonerTime:
            try await ledger.request([first], cause: .event, at: now)
            let row = try await onlyRow(ledger, at: now)
            try await ledger.postpone(row, until: now.later(50), reason: "later")
            let waiting = try await onlyRow(ledger, at: now.later(50))
            for (until, due) in [(90.0, 50.0), (40, 40)] {
                try await ledger.postpone(row, until: now.later(until), reason: "later")
                try expect(try await ledger.nextWorkDue(), now.later(due), "due after another round's \(until)")
            }
            try expect(try await onlyRow(ledger, at: now.later(40)).attempts, waiting.attempts, "attempts")
            try await ledger.finish([try await onlyRow(ledger, at: now.later(40))])
            try await ledger.request([first], cause: .refresh, at: now.later(60))
            try await ledger.postpone(row, until: now.later(90), reason: "later")
            let widened = try await onlyRow(ledger, at: now.later(60))
            try expect(widened.cause, .retry, "cause of a row for some hosts, with a failure of a round for all")
        case .oddMessagesAreKept:
            let message = OddMessage(receivedAt: now, exchange: "glance", routingKey: "notifications.info", reason: "no JSON", excerpt: "{")
            try await ledger.keep(message)
            var newer = message
            newer.receivedAt = now.later(1)
            try await ledger.keep(newer)
            try expect(try await ledger.oddMessages(limit: 1), [newer], "newest")
            try expect(try await ledger.oddMessages(limit: 9), [newer, message], "all")
        default: throw BrokenLedgerRule(rule: self, what: "has no check")
        }
    }

    private func onlyRow(_ ledger: any Ledger, at now: Date) async throws -> WorkRow {
        let rows = try await ledger.dueWork(at: now, excluding: [:], limit: 9)
        guard let row = rows.first, rows.count == 1 else { throw BrokenLedgerRule(rule: self, what: "one row is due: found \(rows)") }
        return row
    }
}
