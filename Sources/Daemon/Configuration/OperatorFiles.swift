import ForecacheModel
import FoundationEssentials
import StrictYAML

/// The operator's files as the service reads them: bounded, in name order, with a reason where one cannot be read.
struct OperatorFiles: Sendable {
    let home: String

    init(environment: [String: String]) { home = environment["HOME"] ?? "/" }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// `~` is the home directory; relative paths count from `directory`.
    func absolute(_ path: String, from directory: String) -> String {
        if path == "~" { return home }
        if path.hasPrefix("~/") { return home + path.dropFirst() }
        if path.hasPrefix("/") || directory == "." { return path }
        return "\(directory)/\(path)"
    }

    func text(_ path: String) -> Result<String, Failure> {
        guard let data = FileManager.default.contents(atPath: path) else {
            return .failure(Failure(.permanent, "cannot read \(path): \(reasonUnreadable(path))"))
        }
        guard data.count <= Value.largestFileBytes, let text = String(validating: data, as: UTF8.self) else {
            return .failure(Failure(.permanent, "cannot read \(path): not UTF-8 text of at most \(Value.largestFileBytes) bytes"))
        }
        return .success(text)
    }

    /// The files at a path: itself, or those of the directory (not deeper) whose names count, in name order.
    func files(at path: String, where counts: (String) -> Bool) -> Result<[(path: String, text: String)], Failure> {
        var isDirectory = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            return .failure(Failure(.permanent, "cannot read \(path): no such file or directory"))
        }
        var paths = [path]
        if isDirectory {
            do {
                let base = path.hasSuffix("/") ? String(path.dropLast()) : path
                paths = try FileManager.default.contentsOfDirectory(atPath: path).filter(counts).sorted().map { "\(base)/\($0)" }
                    .filter { !self.isDirectory($0) }
            } catch {
                return .failure(Failure(.permanent, "cannot list \(path): \(reasonUnreadable(path))"))
            }
        }
        var texts: [(path: String, text: String)] = []
        for path in paths {
            switch text(path) {
            case .success(let text): texts.append((path, text))
            case .failure(let failure): return .failure(failure)
            }
        }
        return .success(texts)
    }

    /// In name order; none where the directory cannot be listed.
    func subdirectories(of path: String) -> [String] {
        // Whoever reads the directory itself says why it cannot be.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.sorted().map { "\(path)/\($0)" }.filter(isDirectory)
    }

    func isDirectory(_ path: String) -> Bool {
        var isDirectory = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory
    }

    private func reasonUnreadable(_ path: String) -> String {
        if !FileManager.default.fileExists(atPath: path) { return "no such file" }
        return isDirectory(path) ? "is a directory" : "permission denied"
    }
}
