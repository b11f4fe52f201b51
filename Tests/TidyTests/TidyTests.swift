import Foundation
import Testing

/// The layout rules of Sources/README.md, read from the sources themselves.
@Suite struct TidyTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Each target with its floor; siblings on a floor never import each other.
    private static let floors: [String: Int] = [
        "CCurl": 0, "CRabbitMQ": 0, "CSSH2": 0,
        "ForecacheModel": 1, "StrictYAML": 1,
        "Inspection": 2, "Inventory": 2, "Notifications": 2, "Planning": 2, "Rules": 2, "Signatures": 2,
        "Engine": 3,
        "OpenStackAPI": 4, "RabbitMQSource": 4, "SQLiteLedger": 4, "SSHFleet": 4, "StatusServer": 4,
        "Daemon": 5,
        "forecache": 6, "forecache-bench": 6,
        "ForecacheTestSupport": 7,
    ]

    /// The only target that may import each outside library that has an owner.
    private static let owners: [String: Set<String>] = [
        "CCurl": ["OpenStackAPI"], "CRabbitMQ": ["RabbitMQSource"], "CSSH2": ["SSHFleet"], "Yams": ["StrictYAML"],
        "SwiftASN1": ["Signatures"], "GRDB": ["SQLiteLedger"],
        "Hummingbird": ["StatusServer"], "ServiceLifecycle": ["Daemon", "StatusServer"],
        "ArgumentParser": ["forecache", "forecache-bench"],
    ]

    private struct Source {
        let target: String
        let path: String
        let lines: [String]

        var imports: [String] {
            lines.compactMap { line in
                let words = line.split(separator: " ")
                guard let at = words.firstIndex(of: "import"), at <= 1, words.count > at + 1, at == 0 || words[0] != "//" else {
                    return nil
                }
                return words[at + 1].split(separator: ".").first.map(String.init)
            }
        }
    }

    private static func sources(below folder: String) throws -> [Source] {
        let base = root.appending(path: folder)
        let paths = try FileManager.default.subpathsOfDirectory(atPath: base.path).filter { $0.hasSuffix(".swift") }.sorted()
        return try paths.map { path in
            let text = try String(contentsOf: base.appending(path: path), encoding: .utf8)
            return Source(
                target: path.split(separator: "/").first.map(String.init) ?? "", path: "\(folder)/\(path)",
                lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
        }
    }

    @Test func everyTargetHasAFloorAndALineInTheReadme() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.root.appending(path: "Sources").path).filter {
            !$0.contains(".")
        }
        #expect(Set(folders) == Set(Self.floors.keys))
        let readme = try String(contentsOf: Self.root.appending(path: "Sources/README.md"), encoding: .utf8)
        for folder in folders { #expect(readme.contains("`\(folder)`"), "Sources/README.md does not name \(folder)") }
    }

    @Test func aFileImportsOnlyFromFloorsBelow() throws {
        for source in try Self.sources(below: "Sources") {
            let floor = try #require(Self.floors[source.target])
            for name in source.imports {
                if let other = Self.floors[name] { #expect(other < floor, "\(source.path) imports \(name)") }
                if let owners = Self.owners[name] { #expect(owners.contains(source.target), "\(source.path) imports \(name)") }
            }
        }
    }

    @Test func thePureFloorsHaveNoTimeChanceOrConcurrency() throws {
        let banned = [
            "Date()", ".random(", "SystemRandomNumberGenerator", "ContinuousClock", " async ", "await ", "import Logging", "print(",
        ]
        for source in try Self.sources(below: "Sources") where Self.floors[source.target] ?? 9 <= 2 {
            for (number, line) in source.lines.enumerated() where !line.drop(while: { $0 == " " }).hasPrefix("//") {
                for word in banned { #expect(!line.contains(word), "\(source.path):\(number + 1) has \(word)") }
            }
        }
    }

    @Test func nothingIsAssertedToBeSafeOrLeftUnfinished() throws {
        let banned = [
            "@unchecked " + "Sendable", "nonisolated(" + "unsafe)", "@pre" + "concurrency", "try" + "!", "fatal" + "Error(", " as" + "! ",
            "TO" + "DO", "FIX" + "ME",
            "DispatchQueue." + "global", "attributes: ." + "concurrent", "Thread." + "sleep", "usleep(",
        ]
        for source in try Self.sources(below: "Sources") + Self.sources(below: "Tests") where !source.path.contains("TidyTests") {
            for (number, line) in source.lines.enumerated() {
                for word in banned { #expect(!line.contains(word), "\(source.path):\(number + 1) has \(word)") }
            }
        }
    }

    @Test func filesStayReadable() throws {
        for source in try Self.sources(below: "Sources") {
            #expect(source.lines.count <= 420, "\(source.path) has \(source.lines.count) lines: is it still one thing?")
        }
        for source in try Self.sources(below: "Sources") {
            let name = source.path.split(separator: "/").last.map(String.init) ?? ""
            for word in ["Manager", "Helper", "Util", "+Extensions"] { #expect(!name.contains(word), "\(source.path)") }
        }
    }

    @Test func theTopLevelIsWhatWasFixed() throws {
        let allowed: Set<String> = ["Package.swift", "Package.resolved", "Sources", "Tests", "rules", "deploy", "README.md", "LICENSE"]
        let found = try FileManager.default.contentsOfDirectory(atPath: Self.root.path).filter { !$0.hasPrefix(".") }
        #expect(Set(found).subtracting(allowed).isEmpty)
    }
}
