import ForecacheModel
import Foundation

/// CPU seconds, user's and system's.
enum ProcessorTime {
    static var ours: Double { seconds(of: 0) }
    /// Of programs that we ran and that have ended, with those that they ran.
    static var ofEndedChildren: Double { seconds(of: -1) }

    /// Of everything on this machine since it started, on all processors together.
    static func ofTheMachine() throws -> Double {
        // Times in ticks: user, nice, system, idle, iowait, irq, softirq, and what a hypervisor took.
        let words = try String(contentsOfFile: "/proc/stat", encoding: .utf8).prefix { $0 != "\n" }.split(separator: " ").dropFirst()
        let ticks = words.compactMap { Double($0) }
        guard ticks.count >= 7 else { throw Failure(.permanent, "/proc/stat does not begin with the times of all processors") }
        return (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// RUSAGE_SELF and RUSAGE_CHILDREN, which Glibc has as another type than its own function takes.
    private static func seconds(of whose: Int32) -> Double {
        var usage = rusage()
        getrusage(whose, &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }
}
