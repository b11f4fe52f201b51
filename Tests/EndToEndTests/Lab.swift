import ForecacheTestSupport
import Foundation
import Testing

/// The running lab of deploy/lab, as its `lab.env` tells it.
struct Lab {
    let values: [String: String]

    init() throws { values = try LabFile.read() }

    private init(_ values: [String: String]) { self.values = values }

    /// With one more site of these many nodes in a lab of its own, behind a WAN of that rate. Its nodes reach this lab's Glance.
    func withSite(of nodes: Int, wan: String, _ body: (Lab) async throws -> Void) async throws {
        let name = "edge\(ProcessInfo.processInfo.processIdentifier)"
        let state = "/tmp/forecache-\(name)"
        let program = String(self["LAB"].prefix { $0 != " " })
        // What cannot be ended is shown by the lab's own lists; the test has its result by then.
        defer { _ = try? run(program, ["down", "--purge", "--name", name, "--state", state]) }
        let options = ["--parts", "nodes", "--sites", "edge:\(nodes)", "--node-disk", "512M", "--wan", wan]
        try run(program, ["up", "--name", name, "--state", state] + options)
        try await body(Lab(values.merging(try LabFile.read("\(state)/lab.env")) { $1 }))
    }

    subscript(_ key: String) -> String { values[key] ?? "" }
    /// What `lab.env` has for each node.
    subscript(_ key: String, _ node: String) -> String { self["\(key)_" + node.replacingOccurrences(of: "-", with: "_")] }

    var nodes: [String] { self["NODES"].split(separator: " ").map(String.init) }

    func baseFile(_ image: String, on node: String) throws -> URL {
        let name = try run("/bin/sh", ["-c", "printf %s \"$1\" | sha1sum | cut -d' ' -f1", "sh", image]).trimmingCharacters(in: .newlines)
        return URL(filePath: instances(on: node)).appending(path: "_base/\(name)")
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

    /// Length of the image's own.
    func temporaryBytes(of image: String, on node: String) throws -> Int {
        guard let file = try leftovers(of: image).first(where: { $0.hasPrefix(node + "/") && $0.hasSuffix(".part") }) else { return 0 }
        // Published since it was listed.
        return (try? FileManager.default.attributesOfItem(atPath: place(of: file).path))?[.size] as? Int ?? 0
    }

    /// Length of the longest of them.
    func temporaryBytes(on node: String) throws -> Int {
        try temporaries(on: node).map { name in
            // Published since it was listed.
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(temporaryFolder(on: node))/\(name)")
            return attributes?[.size] as? Int ?? 0
        }.max() ?? 0
    }

    /// All of ours that belongs to the image, whatever its kind, as `node/file`: what would wait for the sweep.
    func leftovers(of image: String) throws -> [String] {
        try nodes.flatMap { node in
            let name = try baseFile(image, on: node).lastPathComponent
            let folder = temporaryFolder(on: node)
            guard FileManager.default.fileExists(atPath: folder) else { return [String]() }
            return try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix(name) }.map { "\(node)/\($0)" }
        }
    }

    func removeLeftovers(of image: String) throws {
        for file in try leftovers(of: image) { try FileManager.default.removeItem(at: place(of: file)) }
    }

    private func place(of leftover: String) -> URL {
        let parts = leftover.split(separator: "/").map(String.init)
        return URL(filePath: temporaryFolder(on: parts[0])).appending(path: parts[1])
    }

    private func temporaryFolder(on node: String) -> String { instances(on: node) + "/_base/.forecache" }

    func instances(on node: String) -> String { self["INSTANCES", node] }

    /// What this machine has sent to the node's site so far, with the headers of every packet.
    func wanBytes(to node: String) throws -> Int {
        let network = self["ADDRESS", node].split(separator: ".").dropLast().joined(separator: ".")
        let bridge = try run("/sbin/ip", ["-o", "address", "show", "to", network + ".1"]).split(separator: " ")
        guard bridge.count > 1 else { throw CommandFailed(description: "no interface of this machine is in the site of \(node)") }
        let bytes = try String(contentsOfFile: "/sys/class/net/\(bridge[1])/statistics/tx_bytes", encoding: .utf8)
        return Int(bytes.trimmingCharacters(in: .newlines)) ?? 0
    }

    // MARK: - What a node can be made to be

    /// With the script in the place of that program on the node, until the body ends.
    func with<Result>(_ program: String, on node: String, being script: String, _ body: () async throws -> Result) async throws -> Result {
        let file = "\(self["NODES_DIR"])/\(node)/usr-local-bin/\(program)"
        try "#!/bin/sh\n\(script)\n".write(toFile: file, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file)
        defer { try? FileManager.default.removeItem(atPath: file) }  // it was written a moment ago
        return try await body()
    }

    /// With `force_raw_images` true on these nodes and false on the others.
    func forcingRaw(on nodes: [String], _ body: () async throws -> Void) async throws {
        func set(_ value: Bool) throws {
            for node in nodes {
                try run("/bin/sed", ["-i", "s/^force_raw_images *=.*/force_raw_images = \(value)/", self["NOVA_CONF", node]])
            }
        }
        try set(true)
        defer { try? set(false) }  // it was set a moment ago
        try await body()
    }

    /// With a disk on the node that has this much room left.
    func leavingFree(_ bytes: Int, on node: String, _ body: () async throws -> Void) async throws {
        let disk = instances(on: node)
        func resize(_ size: String) throws { try run("/bin/mount", ["-o", "remount,size=\(size)", disk]) }
        let figures = try run("/bin/df", ["-B1", "--output=size,used", disk]).split(whereSeparator: \.isWhitespace).suffix(2).compactMap {
            Int($0)
        }
        guard figures.count == 2 else { throw CommandFailed(description: "df tells nothing of \(disk)") }
        try resize("\((figures[1] + bytes) / 4096 * 4096)")
        defer { try? resize("\(figures[0])") }  // growing a tmpfs back needs nothing
        try await body()
    }

    /// `deploy/lab/lab VERB …` of this lab.
    func lab(_ words: String...) throws {
        let command = self["LAB"].split(separator: " ").map(String.init)
        try run(command[0], words + command.dropFirst())
    }
}

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
