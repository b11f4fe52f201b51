import Synchronization

/// Runs the jobs of everything that prefers it one after the other on the thread that drives it, so that virtual time moves only when nothing is left to be done now:
///
///     executor.runUntilIdle()          // all that can happen at this moment has happened
///     clock.advanceToNextSleeper()     // nothing happens before that
///
/// Unstructured tasks do not inherit the preference: what is simulated has none.
public final class StepExecutor: TaskExecutor {
    private let jobs = Mutex<[UnownedJob]>([])

    public init() {}

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
    }

    /// From one thread only; returns when no job is ready.
    public func runUntilIdle() {
        while true {
            let ready = jobs.withLock { jobs in
                let ready = jobs
                jobs.removeAll(keepingCapacity: true)
                return ready
            }
            if ready.isEmpty { return }
            for job in ready { job.runSynchronously(on: asUnownedTaskExecutor()) }
        }
    }
}
