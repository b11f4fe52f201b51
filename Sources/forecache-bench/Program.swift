import Engine
import ForecacheModel
import Foundation
import Synchronization

/// Another program that a measurement runs.
struct Program {
    struct Ended {
        /// As a shell has it: 128 and the signal's number where one ended it.
        var status: Int32
        var seconds: Double
        /// What it wrote on standard output and standard error, the last 64 KiB.
        var text: String
    }

    let path: String
    let arguments: [String]
    let environment: [String: String]

    /// - Parameter environment: nil means our own.
    init(_ path: String, _ arguments: [String], environment: [String: String]? = nil) {
        (self.path, self.arguments) = (path, arguments)
        self.environment = environment ?? ProcessInfo.processInfo.environment
    }

    /// Where the program `forecache` is: FORECACHE_BINARY, or beside this one.
    static func forecache() throws(Failure) -> String {
        let beside = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().appending(path: "forecache")
        let binary = ProcessInfo.processInfo.environment["FORECACHE_BINARY"] ?? beside.path
        guard FileManager.default.isExecutableFile(atPath: binary) else {
            throw Failure(.permanent, "no program \(binary): build the product forecache as well, or name it with FORECACHE_BINARY")
        }
        return binary
    }

    /// Runs it to its end, or until the task that waits is cancelled.
    func run(log: String) async throws(Failure) -> Ended {
        let started = ContinuousClock.now
        let running = try start(log: log)
        let status = await running.status()
        let seconds = started.duration(to: .now).seconds
        // Without its log there is nothing to show.
        let text = (try? Data(contentsOf: URL(filePath: log))) ?? Data()
        return Ended(status: status, seconds: seconds, text: String(decoding: text.suffix(65536), as: UTF8.self))
    }

    /// As `run`, and throws with its last words where it failed.
    @discardableResult
    func succeed(log: String) async throws(Failure) -> Ended {
        let ended = try await run(log: log)
        guard ended.status == 0 else {
            throw Failure(
                .permanent, "\(path) \(arguments.prefix(3).joined(separator: " ")) … ended with status \(ended.status)",
                cause: String(ended.text.suffix(2000)))
        }
        return ended
    }

    /// Starts it with nothing on standard input; what it writes goes to the file, which cannot fill up as a pipe does.
    ///
    /// Not Foundation's `Process`: that one takes a program for running as long as any of its children holds what it inherited, and ssh's masters do.
    func start(log: String) throws(Failure) -> Running {
        var files = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&files)
        defer { posix_spawn_file_actions_destroy(&files) }
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&files, 1, 2)
        var words = ([path] + arguments).map { strdup($0) } + [nil]
        var values = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + values { free(text) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, path, &files, nil, &words, &values)
        guard code == 0 else {
            throw Failure(.permanent, "cannot run \(path): is it installed?", cause: String(cString: strerror(code)))
        }
        return Running(process)
    }
}

/// A program that was started. Whoever started it ends it.
final class Running: Sendable {
    private enum State {
        case running([CheckedContinuation<Int32, Never>])
        case ended(Int32)
    }

    let process: pid_t
    private let state = Mutex(State.running([]))

    fileprivate init(_ process: pid_t) {
        self.process = process
        // Ends with the program.
        Thread.detachNewThread { self.wait() }
    }

    var isRunning: Bool {
        state.withLock { state in
            switch state {
            case .running: true
            case .ended: false
            }
        }
    }

    /// Its status once it has ended; cancellation ends it.
    func status() async -> Int32 {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let status: Int32? = state.withLock { state in
                    switch state {
                    case .ended(let status): return status
                    case .running(let waiting):
                        state = .running(waiting + [continuation])
                        return nil
                    }
                }
                if let status { continuation.resume(returning: status) }
            }
        } onCancel: {
            end()
        }
    }

    func end(_ signal: Int32 = SIGTERM) {
        // While it is not waited for, its number is nobody else's.
        state.withLock { state in
            if case .running = state { kill(process, signal) }
        }
    }

    private func wait() {
        var about = siginfo_t()
        // Seen, but not yet taken off the kernel's list, so that `end` never meets another process of this number.
        while waitid(P_PID, id_t(process), &about, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
        let (status, waiting) = state.withLock { state in
            var code: Int32 = 0
            waitpid(process, &code, 0)
            let status = code & 0x7f == 0 ? code >> 8 & 0xff : 128 + code & 0x7f
            defer { state = .ended(status) }
            guard case .running(let waiting) = state else { return (status, [CheckedContinuation<Int32, Never>]()) }
            return (status, waiting)
        }
        for continuation in waiting { continuation.resume(returning: status) }
    }
}
