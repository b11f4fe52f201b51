import ForecacheModel

/// Awaits a condition of what others do in real time, the fastest and the slowest machine alike.
/// - Parameters:
///   - what: names the condition where it does not come true in time, with what can be said by then.
///   - seconds: the bound. Only a test that fails takes so long.
/// - Throws: what the condition throws; `Failure` at the bound, which ends what else the test runs.
public func eventually(
    _ what: @autoclosure () throws -> String, within seconds: Double = 120, _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(seconds)
    while true {
        let began = clock.now
        if try await condition() { return }
        guard began < deadline else { throw Failure(.fatal, "did not happen within \(seconds) s: \(try what())") }
        // To look is not to keep the machine from what is awaited, and some looks start programs on every node.
        try await clock.sleep(for: min(max(.milliseconds(1), (clock.now - began) * 4), .milliseconds(100)))
    }
}
