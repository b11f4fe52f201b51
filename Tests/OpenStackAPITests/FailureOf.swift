import ForecacheModel
import Testing

/// What `body` fails with; nil where it does not, and an issue where it fails with anything else.
func failure<T>(_ body: () async throws -> T) async -> Failure? {
    do {
        _ = try await body()
    } catch let failure as Failure {
        return failure
    } catch {
        Issue.record(error)
    }
    return nil
}
