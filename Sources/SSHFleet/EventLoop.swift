import CSSH2
import Foundation
import HeapModule
import Synchronization

/// Everything that touches libssh2 runs here: one thread for all sessions, so that no handle needs a lock and 200 sessions cost one thread.
///
/// The loop lives as long as the process: it owns no connection, and with nothing to do it sleeps in `epoll_wait`. Connections end with the
/// `SSHFleet` that opened them.
@globalActor
actor SSHLoop {
    static let shared = SSHLoop()

    nonisolated let loop = EventLoop()

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private init() { loop.start() }
}

/// Why a wait came to its end.
enum Wake: Sendable {
    case ready, timedOut, cancelled
}

/// epoll, an eventfd as doorbell, a queue of jobs and a heap of deadlines, as a serial executor.
final class EventLoop: SerialExecutor {
    private struct Deadline: Comparable {
        var at: ContinuousClock.Instant
        var token: UInt64

        static func < (left: Self, right: Self) -> Bool { (left.at, left.token) < (right.at, right.token) }
    }

    private struct State {
        var jobs: [UnownedJob] = []
        var waiters: [UInt64: CheckedContinuation<Wake, Never>] = [:]
        /// Wakes that came before their waiter was there.
        var early: [UInt64: Wake] = [:]
        var deadlines = Heap<Deadline>()
        var lastToken: UInt64 = 0
        var isAsleep = false
        var thread: pthread_t?
    }

    private let epoll: Int32
    private let doorbell: Int32
    private let state = Mutex(State())

    init() {
        epoll = cssh2_epoll_create()
        doorbell = cssh2_eventfd()
        precondition(epoll >= 0 && doorbell >= 0, "no file descriptor is left for the SSH loop: raise the limit on open files")
        precondition(libssh2_init(0) == 0, "libssh2 cannot be initialised")
        precondition(cssh2_epoll_add_doorbell(epoll, doorbell) == 0, "epoll refuses an eventfd")
    }

    func start() {
        let thread = Thread { [self] in run() }
        thread.name = "ssh-loop"
        thread.start()
    }

    // MARK: The thread

    private func run() {
        state.withLock { $0.thread = pthread_self() }
        let tokens = UnsafeMutablePointer<UInt64>.allocate(capacity: 64)
        while true {
            for job in takeJobs() { job.runSynchronously(on: asUnownedSerialExecutor()) }
            let timeout = prepareSleep()
            let count = cssh2_epoll_wait(epoll, tokens, timeout)
            state.withLock { $0.isAsleep = false }
            for index in 0..<Int(count) {
                if tokens[index] == 0 { silenceDoorbell() } else { finish(tokens[index], .ready, keep: false) }
            }
            finishLate()
        }
    }

    private func takeJobs() -> [UnownedJob] {
        state.withLock { state in
            let jobs = state.jobs
            state.jobs = []
            return jobs
        }
    }

    /// Milliseconds until the next deadline, rounded up; 0 where jobs wait, -1 for ever.
    private func prepareSleep() -> Int32 {
        state.withLock { state in
            guard state.jobs.isEmpty else { return 0 }
            // Most deadlines are never reached: their waits ended before. Dead ones are dropped in bulk, which is constant time for each.
            if state.deadlines.count > 64 + 4 * state.waiters.count {
                state.deadlines = Heap(state.deadlines.unordered.filter { state.waiters[$0.token] != nil })
            }
            state.isAsleep = true
            guard let next = state.deadlines.min else { return -1 }
            let left = next.at - .now
            guard left > .zero else { return 0 }
            let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1
            return Int32(clamping: min(milliseconds, 3_600_000))
        }
    }

    private func silenceDoorbell() {
        var count: UInt64 = 0
        _ = read(doorbell, &count, 8)
    }

    private func finishLate() {
        let now = ContinuousClock.now
        let late = state.withLock { state in
            var late: [CheckedContinuation<Wake, Never>] = []
            while let next = state.deadlines.min, next.at <= now {
                state.deadlines.removeMin()
                if let waiter = state.waiters.removeValue(forKey: next.token) { late.append(waiter) }
            }
            return late
        }
        for waiter in late { waiter.resume(returning: .timedOut) }
    }

    // MARK: SerialExecutor

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let wasAsleep = state.withLock { state in
            state.jobs.append(job)
            defer { state.isAsleep = false }
            return state.isAsleep
        }
        guard wasAsleep else { return }
        var one: UInt64 = 1
        _ = write(doorbell, &one, 8)
    }

    func checkIsolated() {
        let thread = state.withLock { $0.thread }
        precondition(thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false, "SSH state was used outside the SSH loop")
    }

    // MARK: Waiting

    /// A name for one wait, so that others can end it.
    func newToken() -> UInt64 {
        state.withLock { state in
            state.lastToken += 1
            return state.lastToken
        }
    }

    /// Waits until the descriptor is ready (directions: 1 in, 2 out; -1 for no descriptor), somebody finishes the token, the deadline comes or the
    /// task is cancelled. One wait a descriptor at a time.
    @SSHLoop
    func wait(
        _ token: UInt64? = nil, on descriptor: Int32 = -1, directions: Int32 = 0, until deadline: ContinuousClock.Instant
    ) async -> Wake {
        let token = token ?? newToken()
        let wake = await withTaskCancellationHandler {
            await withCheckedContinuation { register($0, token, on: descriptor, directions: directions, until: deadline) }
        } onCancel: {
            finish(token, .cancelled)
        }
        if Task.isCancelled { state.withLock { $0.early[token] = nil } }
        return wake
    }

    private func register(
        _ waiter: CheckedContinuation<Wake, Never>, _ token: UInt64, on descriptor: Int32, directions: Int32,
        until deadline: ContinuousClock.Instant
    ) {
        let early = state.withLock { state -> Wake? in
            if let early = state.early.removeValue(forKey: token) { return early }
            state.waiters[token] = waiter
            state.deadlines.insert(Deadline(at: deadline, token: token))
            return nil
        }
        if let early {
            waiter.resume(returning: early)
        } else if descriptor >= 0, cssh2_epoll_arm(epoll, descriptor, directions, token) != 0 {
            // A descriptor that cannot be watched is broken: the call that is tried next says how.
            finish(token, .ready)
        }
    }

    /// Ends a wait, or the one that is about to begin. From any thread.
    func finish(_ token: UInt64, _ wake: Wake) { finish(token, wake, keep: true) }

    /// `keep` is false for descriptors: an event of a wait that ended already means nothing to anybody.
    private func finish(_ token: UInt64, _ wake: Wake, keep: Bool) {
        let waiter = state.withLock { state in
            let waiter = state.waiters.removeValue(forKey: token)
            if waiter == nil, keep { state.early[token] = wake }
            return waiter
        }
        waiter?.resume(returning: wake)
    }
}

/// Lets at most so many through at once, first come, first served.
@SSHLoop
final class Turnstile {
    private var free: Int
    private var queue: [UInt64] = []

    nonisolated init(_ count: Int) { free = count }

    func enter(until deadline: ContinuousClock.Instant) async -> Wake {
        if free > 0 {
            free -= 1
            return .ready
        }
        let loop = SSHLoop.shared.loop
        let token = loop.newToken()
        queue.append(token)
        let wake = await loop.wait(token, until: deadline)
        if wake != .ready {
            // Either still in the queue, or let through at the same moment: then the place goes to the next.
            if let place = queue.firstIndex(of: token) { queue.remove(at: place) } else { leave() }
        }
        return wake
    }

    func leave() {
        if queue.isEmpty { free += 1 } else { SSHLoop.shared.loop.finish(queue.removeFirst(), .ready) }
    }
}
