import Foundation
import Testing

/// Starts a program with nothing on its standard input; its process id.
func spawn(_ path: String, _ arguments: [String], environment: [String: String] = [:]) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    // Threads of Swift's pool block all signals, and a child inherits that: no SIGTERM would ever reach it.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var noSignals = sigset_t()
    sigemptyset(&noSignals)
    posix_spawnattr_setsigmask(&attributes, &noSignals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { strdup("\($0)=\($1)") } + [nil]
    let words = ([path] + arguments).map { strdup($0) } + [nil]
    defer { for text in variables + words { free(text) } }
    var pid: pid_t = 0
    let status = posix_spawn(&pid, path, &actions, &attributes, words, variables)
    try #require(status == 0, "\(path) cannot be started: \(String(cString: strerror(status)))")
    return pid
}

/// Waits for a program that ends soon; its exit code, or -1 for a signal.
func exitCode(of pid: pid_t) -> Int32 {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    return status & 0x7f == 0 ? status >> 8 & 0xff : -1
}

func tool(_ name: String, _ arguments: String...) throws { try tool(name, arguments) }

func tool(_ name: String, _ arguments: [String], environment: [String: String] = [:]) throws {
    let code = exitCode(of: try spawn("/usr/bin/\(name)", arguments, environment: environment))
    try #require(code == 0, "\(name) \(arguments.joined(separator: " "))")
}
