import Testing

@Suite(.timeLimit(.minutes(4))) struct ApproveCommandTests {
    @Test func withoutALedgerThereIsNothingToApprove() async throws {
        let program = try Program()
        try program.write("f.yaml", "state: ledger.sqlite\n")
        let ended = try await program.run("approve", "--config", "f.yaml", "--output", "json")
        #expect((ended.code, ended.output) == (1, ""))
        #expect(ended.errors.contains("forecache watch"))
    }

    @Test func theBoundIsANumber() async throws {
        let program = try Program()
        try program.write("f.yaml", "reload: { max_new_placement: 3 }\n")
        let ended = try await program.run("approve", "--config", "f.yaml")
        #expect(ended.code == 78)
        #expect(ended.errors.contains("max_new_placements"))
    }
}
