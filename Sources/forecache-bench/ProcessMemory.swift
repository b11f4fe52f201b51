import ForecacheModel
import Foundation

/// What Linux says of a process's memory, and of its threads.
struct ProcessMemory {
    var residentMiB: Double
    /// The most that was ever resident.
    var peakMiB: Double
    var threads: Int

    /// Of another process, or of this one.
    init(of process: Int32 = ProcessInfo.processInfo.processIdentifier) throws {
        let status: String
        do {
            status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        } catch {
            throw Failure(.permanent, "cannot read /proc/\(process)/status: it needs Linux, and the process running", cause: "\(error)")
        }
        func number(_ key: String) throws -> Double {
            let line = status.split(separator: "\n").first { $0.hasPrefix(key + ":") }
            let words = line?.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard let value = words?.dropFirst().first.flatMap({ Double($0) }) else {
                throw Failure(.permanent, "/proc/\(process)/status has no \(key): the process has ended")
            }
            return value
        }
        // In KiB there.
        residentMiB = try number("VmRSS") / 1024
        peakMiB = try number("VmHWM") / 1024
        threads = Int(try number("Threads"))
    }
}
