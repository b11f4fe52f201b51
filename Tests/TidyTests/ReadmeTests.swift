import Foundation
import Testing

/// The steps of README.md do what they say, and agree with the files that they name.
@Suite struct ReadmeTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func text(_ path: String) throws -> String { try String(contentsOf: root.appending(path: path), encoding: .utf8) }

    /// The commands of one numbered step.
    private func commands(ofStep number: Int) throws -> [String] {
        let lines = try Self.text("README.md").components(separatedBy: "\n")
        let start = try #require(lines.firstIndex { $0.hasPrefix("\(number). **") })
        let end = lines[(start + 1)...].firstIndex { $0.hasPrefix("\(number + 1). **") || $0.hasPrefix("## ") } ?? lines.count
        return lines[start..<end].filter { $0.hasPrefix("       ") }.map { String($0.dropFirst(7)) }
    }

    @Test func inventoriesThatOnlyTheirOwnerMayReadAreReadableForTheService() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "forecache-readme-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }  // the system clears its temporary directory
        let stack = folder.appending(path: "home/overcloud-deploy/overcloud/config-download/overcloud")
        try FileManager.default.createDirectory(at: stack, withIntermediateDirectories: true)
        try FileManager.default.createDirectory(at: folder.appending(path: "etc/inventories"), withIntermediateDirectories: true)
        let inventory = stack.appending(path: "tripleo-ansible-inventory.yaml")
        try Data("Compute: {}\n".utf8).write(to: inventory)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: inventory.path)

        var script = try commands(ofStep: 6).joined(separator: "\n")
        for (word, here) in [
            ("~stack", "\(folder.path)/home"), ("/etc/forecache", "\(folder.path)/etc"), ("-g forecache", "-g \(getgid())"),
        ] {
            #expect(script.contains(word))
            script = script.replacingOccurrences(of: word, with: here)
        }
        let shell = Process()
        shell.executableURL = URL(filePath: "/bin/bash")
        shell.arguments = ["-euc", script]
        try shell.run()
        shell.waitUntilExit()
        #expect(shell.terminationStatus == 0)
        let copy = folder.appending(path: "etc/inventories/overcloud.yaml").path
        #expect(try String(contentsOfFile: copy, encoding: .utf8) == "Compute: {}\n")
        #expect(try FileManager.default.attributesOfItem(atPath: copy)[.posixPermissions] as? Int == 0o640)
    }

    @Test func whatIsLaidDownForTheServiceIsOfItsGroup() throws {
        for step in 1...7 {
            let lines = try commands(ofStep: step).joined(separator: "\n").replacing("\\\n", with: " ").split(separator: "\n")
            // The transport URL is written into a file that was laid down before.
            for line in lines where line.contains("/etc/forecache/") && !line.hasPrefix("\"${EDITOR:-vi}\" ") {
                #expect(line.contains("-g forecache "), "\(line)")
            }
        }
    }

    @Test func theLookBeforehandIsTheServicesOwn() throws {
        let commands = try commands(ofStep: 8)
        #expect(commands.contains { $0.contains("runuser -u forecache -- forecache \"$@\"") })
        #expect(commands.filter { $0.hasPrefix("as_service ") }.count == 6)
        #expect(!commands.contains { $0.hasPrefix("forecache ") })
    }

    @Test func theProgramThatIsInstalledNeedsNoToolchain() throws {
        let flags = "-c release --static-swift-stdlib"
        #expect(try commands(ofStep: 1).contains("deploy/swift build \(flags) --product forecache"))
        for script in ["deploy/quickstart", "deploy/package"] { #expect(try Self.text(script).contains(flags), "\(script)") }
    }

    @Test func noMessageOfAnothersQueueIsDropped() throws {
        let policies = try commands(ofStep: 2).filter { $0.contains("set_policy") }
        #expect(policies.count == 1)
        #expect(policies.first?.contains(" '^forecache$' ") == true)
    }

    /// Bash and what the script calls before it looks for apt-get, and no more.
    @Test func withoutAptTheNeedsAreNamed() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "forecache-path-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }  // the system clears its temporary directory
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in ["dirname", "readlink"] {
            try FileManager.default.createSymbolicLink(atPath: folder.appending(path: name).path, withDestinationPath: "/usr/bin/\(name)")
        }
        let (shell, errors) = (Process(), Pipe())
        shell.executableURL = URL(filePath: "/bin/bash")
        shell.arguments = [Self.root.appending(path: "deploy/install-packages").path, "build"]
        shell.environment = ["PATH": folder.path]
        shell.standardError = errors
        try shell.run()
        let text = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        shell.waitUntilExit()
        #expect(shell.terminationStatus == 69)
        #expect(text.hasPrefix("install-packages: no apt-get here: ") && text.contains(" librabbitmq-dev "), "\(text)")
    }

    @Test func everyFileOfThisTreeThatIsNamedIsThere() throws {
        for name in try Self.text("README.md").matches(of: /\]\(([A-Za-z][^):]*)\)/).map({ String($0.output.1) }) {
            #expect(FileManager.default.fileExists(atPath: Self.root.appending(path: name).path), "\(name)")
        }
    }
}
