import Foundation

/// A new directory that is removed at the end, whatever happened.
func withLedgerDirectory<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
        "forecache-ledger-\(UUID().uuidString)"
    ).path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer {
        // What is left in the temporary directory fails no test.
        try? FileManager.default.removeItem(atPath: directory)
    }
    return try await body(directory)
}
