import Foundation

/// CPU seconds, user's and system's.
enum ProcessorTime {
    static var ours: Double { seconds(of: 0) }
    /// Of programs that we ran and that have ended, with those that they ran.
    static var ofEndedChildren: Double { seconds(of: -1) }

    /// RUSAGE_SELF and RUSAGE_CHILDREN, which Glibc has as another type than its own function takes.
    private static func seconds(of whose: Int32) -> Double {
        var usage = rusage()
        getrusage(whose, &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }
}
