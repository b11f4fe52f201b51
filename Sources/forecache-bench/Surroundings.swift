import Engine
import ForecacheModel
import Foundation

/// Values of a lab that is up: `lab.env`, named by FORECACHE_LAB_ENV.
enum LabValues {
    static func url(given: String?) throws(Failure) -> Secret {
        if let given { return Secret(given) }
        guard let path = ProcessInfo.processInfo.environment["FORECACHE_LAB_ENV"] else {
            throw Failure(
                .permanent,
                "no broker: start one with `deploy/lab/lab up --parts rabbitmq` and set FORECACHE_LAB_ENV to its lab.env, or give --url")
        }
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw Failure(
                .permanent, "cannot read \(path), which FORECACHE_LAB_ENV names: is the lab up?", cause: error.localizedDescription)
        }
        let key = "RABBITMQ_URL="
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(key) }) else {
            throw Failure(.permanent, "\(path) has no RABBITMQ_URL: start the lab with the part rabbitmq")
        }
        return Secret(line.dropFirst(key.count).trimmingCharacters(in: CharacterSet(charactersIn: "'")))
    }
}

/// A directory that goes with the measurement.
struct Scratch {
    let path: String

    init(below folder: String) throws {
        path = "\(folder)/forecache-bench-\(UUID().uuidString)"
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Failure(
                .permanent, "cannot make directory \(path): give --state a directory to write in", cause: error.localizedDescription)
        }
    }

    /// Milliseconds that a synced write of 4 KiB into bytes that are there takes here, as each commit needs one; the median of 50.
    func syncMilliseconds() throws -> Double {
        let file = "\(path)/sync"
        _ = FileManager.default.createFile(atPath: file, contents: Data(count: 50 * 4096))
        let handle = try FileHandle(forWritingTo: URL(filePath: file))
        try handle.synchronize()
        let took = try (0..<50).map { index in
            try handle.write(contentsOf: Data(repeating: UInt8(index + 1), count: 4096))
            return try ContinuousClock().measure { try handle.synchronize() }
        }
        return median(took.map { $0.seconds * 1000 })
    }

    func remove() {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            say("forecache-bench: \(path) was left behind: \(error.localizedDescription)")
        }
    }
}
