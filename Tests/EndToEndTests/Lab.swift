import Foundation
import Testing

/// The running lab of deploy/lab, as its `lab.env` tells it.
struct Lab {
    let values: [String: String]

    /// Throws where Tests/run did not start a lab: these tests need the real servers.
    init() throws {
        guard let path = ProcessInfo.processInfo.environment["FORECACHE_LAB_ENV"] else {
            throw LabMissing(description: "FORECACHE_LAB_ENV is not set: start these tests with Tests/run, which starts the lab")
        }
        var values: [String: String] = [:]
        for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { continue }
            values[String(line[..<equals])] = line[line.index(after: equals)...].trimmingCharacters(in: CharacterSet(charactersIn: "'"))
        }
        self.values = values
    }

    subscript(_ key: String) -> String { values[key] ?? "" }

    var nodes: [String] { self["NODES"].split(separator: " ").map(String.init) }

    func baseFile(_ image: String, on node: String) throws -> URL {
        let instances = self["INSTANCES_" + node.replacingOccurrences(of: "-", with: "_")]
        let name = try run("/bin/sh", ["-c", "printf %s \"$1\" | sha1sum | cut -d' ' -f1", "sh", image]).trimmingCharacters(in: .newlines)
        return URL(filePath: instances).appending(path: "_base/\(name)")
    }

    /// The nodes on which the image's base file lies.
    func holders(of image: String) throws -> [String] {
        try nodes.filter { FileManager.default.fileExists(atPath: try baseFile(image, on: $0).path) }
    }

    func modified(_ image: String, on node: String) throws -> Date? {
        try FileManager.default.attributesOfItem(atPath: try baseFile(image, on: node).path)[.modificationDate] as? Date
    }

    func sha512(_ image: String, on node: String) throws -> String {
        String(try run("/usr/bin/sha512sum", [try baseFile(image, on: node).path]).prefix(128))
    }

    /// What lies in our own folder of temporaries.
    func temporaries(on node: String) throws -> [String] {
        let folder = temporaryFolder(on: node)
        guard FileManager.default.fileExists(atPath: folder) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".part") }
    }

    /// Length of the longest of them.
    func temporaryBytes(on node: String) throws -> Int {
        try temporaries(on: node).map { name in
            // Published since it was listed.
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(temporaryFolder(on: node))/\(name)")
            return attributes?[.size] as? Int ?? 0
        }.max() ?? 0
    }

    /// What would wait for the sweep.
    func removeTemporaries(of image: String) throws {
        for node in nodes {
            let name = try baseFile(image, on: node).lastPathComponent
            let folder = temporaryFolder(on: node)
            guard FileManager.default.fileExists(atPath: folder) else { continue }
            for file in try FileManager.default.contentsOfDirectory(atPath: folder) where file.hasPrefix(name) {
                try FileManager.default.removeItem(atPath: "\(folder)/\(file)")
            }
        }
    }

    private func temporaryFolder(on node: String) -> String {
        self["INSTANCES_" + node.replacingOccurrences(of: "-", with: "_")] + "/_base/.forecache"
    }

    /// `deploy/lab/lab VERB …` of this lab.
    func lab(_ words: String...) throws {
        let command = self["LAB"].split(separator: " ").map(String.init)
        try run(command[0], words + command.dropFirst())
    }
}

struct LabMissing: Error, CustomStringConvertible { let description: String }

/// Runs a program to its end; throws with its output where it fails.
@discardableResult
func run(_ program: String, _ arguments: [String], environment: [String: String]? = nil, allow: Set<Int32> = [0]) throws -> String {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    if let environment { process.environment = environment }
    let output = Pipe()
    let errors = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
    process.standardOutput = output
    process.standardError = try FileHandle(forWritingTo: errors)
    defer { try? FileManager.default.removeItem(at: errors) }  // a leftover in the temporary directory harms nobody
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard allow.contains(process.terminationStatus) else {
        let said = try String(contentsOf: errors, encoding: .utf8)
        throw CommandFailed(
            description:
                "\(program) \(arguments.joined(separator: " ")) ended with \(process.terminationStatus): \(said.suffix(2000))\(text.suffix(500))"
        )
    }
    return text
}

struct CommandFailed: Error, CustomStringConvertible { let description: String }

/// Awaits a condition of the real world; the error names it.
func eventually(_ what: String, within seconds: Double = 60, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now.advanced(by: .seconds(seconds))
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(100))
    }
    throw CommandFailed(description: "did not happen within \(Int(seconds)) s: \(what)")
}
