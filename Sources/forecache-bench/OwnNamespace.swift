import ArgumentParser
import ForecacheModel
import Foundation

/// Runs this program again in network, mount and process namespaces of its own: whatever it starts there ends with it.
enum OwnNamespace {
    /// With this command's own arguments and `--inside`, which names a directory below `folder` that goes with the measurement.
    static func runAgain(below folder: String) async throws {
        let scratch = try Scratch(below: folder)
        defer { scratch.remove() }
        try await run(CommandLine.arguments.dropFirst() + ["--inside", scratch.path])
    }

    private static func run(_ arguments: some Sequence<String>) async throws {
        guard getuid() == 0 else {
            throw Failure(.permanent, "it makes a network namespace of its own: run it as root")
        }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/unshare")
        let own = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().path
        process.arguments =
            [
                "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c",
                // sshd wants its directory to be there; a private one leaves the machine's alone.
                "ip link set lo up && mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec \"$@\"", "sh", own,
            ] + arguments
        let status = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do {
                try process.run()
            } catch {
                continuation.resume(
                    throwing: Failure(.permanent, "cannot run /usr/bin/unshare: install util-linux", cause: error.localizedDescription))
            }
        }
        if status != 0 { throw ExitCode(status) }
    }
}
