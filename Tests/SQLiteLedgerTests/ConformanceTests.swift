import Engine
import ForecacheModel
import ForecacheTestSupport
import Planning
import SQLiteLedger
import Testing

@Suite struct LedgerConformanceTests {
    @Test(arguments: LedgerRule.allCases) func keeps(_ rule: LedgerRule) async throws {
        try await withLedgerDirectory { directory in
            try await rule.check(
                on: try SQLiteLedger(
                    path: directory + "/a.sqlite", refresh: RefreshSchedule(atFraction: 0.6), limits: Limits()
                ))
        }
    }

    @Test(arguments: LedgerRule.allCases) func keepsInMemory(_ rule: LedgerRule) async throws {
        try await rule.check(on: try SQLiteLedger.inMemory(refresh: RefreshSchedule(atFraction: 0.6)))
    }
}

/// The one of `ForecacheTestSupport`, which simulations run on.
@Suite struct MemoryLedgerConformanceTests {
    @Test(arguments: LedgerRule.allCases) func keeps(_ rule: LedgerRule) async throws {
        try await rule.check(on: MemoryLedger(refresh: RefreshSchedule(atFraction: 0.6)))
    }
}
