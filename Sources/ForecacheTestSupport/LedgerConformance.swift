public import Engine
import ForecacheModel
import Foundation

/// What every `Ledger` promises, one rule a case. Run each on a new, empty ledger whose `RefreshSchedule` is at 60 %:
/// `@Test(arguments: LedgerRule.allCases) func keeps(_ rule: LedgerRule) async throws { try await rule.check(on: …) }`
public enum LedgerRule: String, CaseIterable, Sendable {
    case aRequestIsOneRowAnImage
    case aRequestRenewsARow
    case resyncLeavesARowThatWaits
    case resyncTakesARowOfAClockThatWasAhead
    case aRefreshNarrowsNoRequest
    case whatIsBroughtForwardKeepsItsAttempts
    case dueWorkIsOldestFirst
    case dueWorkLeavesOutWhatIsExcluded
    case finishDeletesUnlessRequestedAgain
    case aFinishedGenerationNeverComesAgain
    case postponeKeepsTheRowUnlessRequestedAgain
    case aPostponedRowOutlivesOtherRounds
    case aRowAskedForSinceIsDueAtTheSoonerTime
    case aDecisionMakesPlacementsPending
    case aDecisionUpdatesWhatIsKept
    case aDecisionUnwantsTheRest
    case dryRunLeavesNoPlacement
    case aNewTTLMovesTheRefresh
    case wantedAgainIsRefreshedAgain
    case goneIsUnwanted
    case aMatchIsRememberedWhileItLasts
    case startedIsCachingUntilItsOutcome
    case progressIsToldWhileItLasts
    case cachedIsFreshAndRefreshedAhead
    case failuresCountUntilASuccess
    case unsupportedIsNeverRefreshed
    case anOutcomeOfAnUnknownPlacementIsTaken
    case aSurveySeesAgesAndWhatIsMissing
    case anOlderSurveyChangesNothing
    case aClockThatWasAheadIsNotBelieved
    case anUnreachableHostKeepsItsPlacements
    case aHostThatIsBackTellsWhatIsMissingThere
    case countsAgreeWithStates
    case dueRefreshesAreSoonestExpiryFirst
    case aPostponedRefreshComesLater
    case aPutOffRefreshIsDueOnceTheHostAnswers
    case whatIsDueSoonIsTakenAlong
    case aTouchMakesItFresh
    case whatIsMissingIsNotRefreshed
    case whereItIsMissingIsTold
    case anOutcomeMakesNoFileOlder
    case riskIsCounted
    case imagesComeInPages
    case oddMessagesAreKept

    public func check(on ledger: any Ledger) async throws {
        switch self {
        case .aRequestIsOneRowAnImage, .aRequestRenewsARow, .resyncLeavesARowThatWaits, .resyncTakesARowOfAClockThatWasAhead,
            .aRefreshNarrowsNoRequest, .whatIsBroughtForwardKeepsItsAttempts,
            .dueWorkIsOldestFirst, .dueWorkLeavesOutWhatIsExcluded, .finishDeletesUnlessRequestedAgain, .aFinishedGenerationNeverComesAgain,
            .postponeKeepsTheRowUnlessRequestedAgain, .aPostponedRowOutlivesOtherRounds, .aRowAskedForSinceIsDueAtTheSoonerTime,
            .oddMessagesAreKept:
            try await checkWork(on: ledger)
        case .aDecisionMakesPlacementsPending, .aDecisionUpdatesWhatIsKept, .aDecisionUnwantsTheRest, .dryRunLeavesNoPlacement,
            .aNewTTLMovesTheRefresh, .wantedAgainIsRefreshedAgain, .goneIsUnwanted, .aMatchIsRememberedWhileItLasts, .imagesComeInPages,
            .countsAgreeWithStates:
            try await checkDecisions(on: ledger)
        case .startedIsCachingUntilItsOutcome, .progressIsToldWhileItLasts, .cachedIsFreshAndRefreshedAhead, .failuresCountUntilASuccess,
            .unsupportedIsNeverRefreshed, .anOutcomeOfAnUnknownPlacementIsTaken, .aSurveySeesAgesAndWhatIsMissing,
            .anOlderSurveyChangesNothing, .aClockThatWasAheadIsNotBelieved, .anUnreachableHostKeepsItsPlacements,
            .aHostThatIsBackTellsWhatIsMissingThere,
            .dueRefreshesAreSoonestExpiryFirst, .aPostponedRefreshComesLater:
            try await checkOutcomes(on: ledger)
        case .aPutOffRefreshIsDueOnceTheHostAnswers, .whatIsDueSoonIsTakenAlong, .aTouchMakesItFresh,
            .whatIsMissingIsNotRefreshed, .whereItIsMissingIsTold, .anOutcomeMakesNoFileOlder, .riskIsCounted:
            try await checkRefreshes(on: ledger)
        }
    }

    /// Throws what was found instead.
    func expect<Value: Equatable>(_ found: Value, _ wanted: Value, _ what: String) throws {
        guard found == wanted else { throw BrokenLedgerRule(rule: self, what: "\(what): found \(found), wanted \(wanted)") }
    }
}

public struct BrokenLedgerRule: Error, CustomStringConvertible {
    public var rule: LedgerRule
    public var what: String

    public var description: String { "\(rule.rawValue): \(what)" }
}

/// Literal values that the rules speak of.
enum LedgerSample {
    static let now = Date(timeIntervalSince1970: 1_800_000_000)
    static let hosts: [HostName] = ["dcn1-compute-0", "dcn1-compute-1", "dcn2-compute-0"]

    static func decision(_ image: ImageID, on hosts: [HostName], rule: String = "golden", mode: RuleMode = .enforce) -> Decision {
        Decision(
            image: ImageFacts(id: image, name: "image \(image.text.suffix(2))", sizeBytes: 5000),
            placements: hosts.map {
                Placement(image: image, site: SiteName(String($0.rawValue.prefix(4))), role: "Compute", host: $0, rule: rule, mode: mode)
            })
    }

    static func outcome(_ image: ImageID, _ host: HostName, _ kind: OutcomeKind, at moment: Date = now) -> Outcome {
        let isThere = kind == .cached || kind == .existing
        return Outcome(
            image: image, site: SiteName(String(host.rawValue.prefix(4))), host: host, kind: kind, bytes: kind == .cached ? 5000 : 0,
            reason: isThere ? nil : "because", failure: kind == .failed ? .retriable : nil, touchedAt: isThere ? moment : nil)
    }
}

extension Date {
    func later(_ seconds: Double) -> Date { addingTimeInterval(seconds) }
}
