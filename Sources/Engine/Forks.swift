public import ForecacheModel
import Synchronization

/// Told true where somebody has to stand in a line, and false once the wait is over, however it ended.
public typealias InLine = @Sendable (Bool) async -> Void

/// How many hosts work at once (Ansible's word): waiters are served higher priority first, then in order of arrival, and a cancelled waiter leaves the line.
public final class Forks: Sendable {
    private struct State {
        var free: Int
        var line: [(id: Int, priority: Int, ticket: CheckedContinuation<Bool, Never>)] = []
        var lastID = 0

        mutating func takeFree() -> Bool {
            guard free > 0 else { return false }
            free -= 1
            return true
        }
    }

    private let state: Mutex<State>

    public init(_ count: Int) { state = Mutex(State(free: max(1, count))) }

    /// Runs `body` in one of the forks. Throws `.cancelled` where the task is cancelled while it waits.
    public func run<Result: Sendable>(
        priority: Int = 50, inLine: InLine = { _ in }, _ body: @Sendable () async throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        if Task.isCancelled || !state.withLock({ $0.takeFree() }) {
            await inLine(true)
            let hasEntered = await enter(priority)
            await inLine(false)
            guard hasEntered else { throw Failure(.cancelled, "told to stop while waiting for a free fork") }
        }
        defer { leave() }
        return try await body()
    }

    /// How many stand in the line.
    public var waiting: Int { state.withLock { $0.line.count } }

    private func enter(_ priority: Int) async -> Bool {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { ticket in
                let answer: Bool? = state.withLock { state in
                    if Task.isCancelled { return false }
                    if state.takeFree() { return true }
                    let place = state.line.lastIndex { $0.priority >= priority }.map { $0 + 1 } ?? 0
                    state.line.insert((id, priority, ticket), at: place)
                    return nil
                }
                if let answer { ticket.resume(returning: answer) }
            }
        } onCancel: {
            giveUp(id)
        }
    }

    private func leave() {
        let next = state.withLock { state in
            if state.line.isEmpty { state.free += 1 }
            return state.line.isEmpty ? nil : state.line.removeFirst().ticket
        }
        next?.resume(returning: true)
    }

    private func giveUp(_ id: Int) {
        let ticket = state.withLock { state in
            state.line.firstIndex(where: { $0.id == id }).map { state.line.remove(at: $0).ticket }
        }
        ticket?.resume(returning: false)
    }
}

/// The forks of each site or host, shared by all plans that run at once and bound them to the same number: rules may deliver to one site in several ways, each
/// with a number of its own.
actor ForksByKey<Key: Hashable & Sendable> {
    private struct Bound: Hashable {
        let key: Key
        let count: Int
    }

    private var known: [Bound: Forks] = [:]

    func forks(of key: Key, count: Int) -> Forks {
        let bound = Bound(key: key, count: count)
        if let forks = known[bound] { return forks }
        let forks = Forks(count)
        known[bound] = forks
        return forks
    }
}
