public import ForecacheModel

/// How many hosts work at once (Ansible's word): waiters are served in order of arrival, and a cancelled waiter leaves the line.
public actor Forks {
    private var free: Int
    private var line: [(id: Int, ticket: CheckedContinuation<Bool, Never>)] = []
    private var lastID = 0

    public init(_ count: Int) { free = max(1, count) }

    /// Runs `body` in one of the forks. Throws `.cancelled` where the task is cancelled while it waits.
    public nonisolated func run<Result: Sendable>(_ body: @Sendable () async throws(Failure) -> Result) async throws(Failure) -> Result {
        guard await enter() else { throw Failure(.cancelled, "told to stop while waiting for a free fork") }
        do throws(Failure) {
            let result = try await body()
            await leave()
            return result
        } catch {
            await leave()
            throw error
        }
    }

    private func enter() async -> Bool {
        if Task.isCancelled { return false }
        if free > 0 {
            free -= 1
            return true
        }
        lastID += 1
        let id = lastID
        return await withTaskCancellationHandler {
            await withCheckedContinuation { line.append((id, $0)) }
        } onCancel: {
            // Lives until the waiter has left the line: a few microseconds.
            Task { await self.giveUp(id) }
        }
    }

    private func leave() {
        if line.isEmpty { free += 1 } else { line.removeFirst().ticket.resume(returning: true) }
    }

    private func giveUp(_ id: Int) {
        guard let index = line.firstIndex(where: { $0.id == id }) else { return }
        line.remove(at: index).ticket.resume(returning: false)
    }
}
