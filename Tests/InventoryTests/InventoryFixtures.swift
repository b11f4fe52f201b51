import ForecacheModel
import Foundation
import Inventory
import StrictYAML

/// Test data and short ways to read it.
enum Fixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")

    static func file(_ name: String) throws -> InventoryFile {
        InventoryFile(path: name, text: try String(contentsOf: folder.appending(path: name), encoding: .utf8))
    }

    /// All files of a folder, as the caller of the reader collects them.
    static func directory(_ name: String) throws -> [InventoryFile] {
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder.appending(path: name).path)
        return try names.sorted()
            .filter { $0.contains("_vars/") || Inventory.isInventoryFile($0) }
            .map { try file("\(name)/\($0)") }
    }
}

func read(_ files: [InventoryFile], _ change: (inout InventoryOptions) -> Void = { _ in }) -> InventoryReading {
    var options = InventoryOptions()
    change(&options)
    return Inventory.read(files, options: options)
}

func read(_ text: String, _ change: (inout InventoryOptions) -> Void = { _ in }) -> InventoryReading {
    read([InventoryFile(path: "inventory/dcn1.yaml", text: text)], change)
}

extension InventoryReading {
    /// `site: host host` for each site.
    var layout: [String] { fleet.sites.map { "\($0.name): \($0.hosts.map(\.name.rawValue).joined(separator: " "))" } }
    var said: [String] { problems.list.map(\.description) }
    var noted: [String] { notices.list.map(\.description) }
}
