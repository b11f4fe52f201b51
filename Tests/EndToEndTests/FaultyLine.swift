import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// `faulty_line.py` between the hosts and Glance; ends with this object.
final class FaultyLine {
    /// What a site's `glance:` is to be.
    let url: String
    private let process = Process()
    private let input = Pipe()

    /// What befalls one download once so many of its bytes have passed; the script explains the words.
    struct Fault: Encodable {
        enum Then: String, Encodable { case close, stall, hold, more }
        var after = 0
        var then: Then
    }

    struct Download: Decodable {
        var token: String
        var range: String?
        var status: Int
        var sent: Int
        var isHeld: Bool

        /// Where it was asked to begin.
        var offset: Int { range?.split(separator: "=").last?.split(separator: "-").first.flatMap { Int($0) } ?? 0 }
    }

    init(_ lab: Lab, _ faults: [Fault]) throws {
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "faulty_line.py").path
        // Where the nodes reach this machine.
        let address = URL(string: lab["GLANCE_URL"])?.host ?? ""
        process.executableURL = URL(filePath: "/usr/bin/python3")
        process.arguments = [script, address, lab["GLANCE_URL"], lab["OS_AUTH_URL"]]
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: try JSONEncoder().encode(faults) + Data("\n".utf8))
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        guard let port = Int(line.trimmingCharacters(in: .newlines)) else {
            throw CommandFailed(description: "faulty_line.py did not start on \(address)")
        }
        url = "http://\(address):\(port)"
    }

    deinit {
        try? input.fileHandleForWriting.close()  // closed already is as good
        process.waitUntilExit()
    }

    /// The downloads so far, in the order of their beginning.
    func seen() async throws -> [Download] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode([Download].self, from: try await get("/__seen"))
    }

    /// What becomes of a download that is held; the script explains the words.
    enum Wish: String { case on, end, refuse }

    func letGo(_ wish: Wish) async throws { _ = try await get("/__go?\(wish.rawValue)") }

    private func get(_ path: String) async throws -> Data {
        guard let url = URL(string: url + path) else { throw CommandFailed(description: "not a URL: \(path)") }
        return try await URLSession.shared.data(from: url).0
    }
}
