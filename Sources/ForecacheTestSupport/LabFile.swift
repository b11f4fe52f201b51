import Foundation

/// The settings file of a running lab (`deploy/lab/lab up`). Without one its tests fail: a server that is not there must not look like one that works.
public enum LabFile {
    /// Of the lab that the environment's `FORECACHE_LAB_ENV` names, by the names of their variables.
    public static func read() throws -> [String: String] {
        guard let path = ProcessInfo.processInfo.environment["FORECACHE_LAB_ENV"] else {
            throw LabMissing(
                description:
                    "FORECACHE_LAB_ENV is not set: start the lab (deploy/lab/lab up) and set it to the lab's settings file (lab.env)")
        }
        return try read(path)
    }

    /// Of the lab with this file.
    public static func read(_ path: String) throws -> [String: String] {
        let text: String
        do { text = try String(contentsOfFile: path, encoding: .utf8) } catch {
            throw LabMissing(description: "the lab's settings file \(path) cannot be read: is the lab up? (\(error))")
        }
        return text.split(separator: "\n").reduce(into: [:]) { values, line in
            guard let equals = line.firstIndex(of: "=") else { return }
            values[String(line[..<equals])] = line[line.index(after: equals)...].trimmingCharacters(in: CharacterSet(charactersIn: "'"))
        }
    }
}

struct LabMissing: Error, CustomStringConvertible { let description: String }
