import Daemon
import ForecacheModel
import Glibc

/// To standard error: talk and progress.
func say(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

/// To standard output: what was asked for.
func answer(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }

func answer(json report: some Encodable, pretty: Bool = true) throws(Refusal) {
    do {
        answer(try ContractJSON.text(report, pretty: pretty))
    } catch {
        throw .failed(Failure(.fatal, "the answer could not be written as JSON", cause: "\(error)"))
    }
}

/// A pipe that nobody reads any longer ends the writing quietly.
func write(_ text: String, to handle: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(handle, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
    }
}

/// One row a line, columns as wide as their widest cell. What others wrote into a cell cannot move the cursor.
func table(_ header: [String], _ rows: [[String]]) -> String {
    let lines = [header] + rows.map { $0.map(visible) }
    let widths = header.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
        line.indices.map { $0 == line.count - 1 ? line[$0] : line[$0] + String(repeating: " ", count: widths[$0] - line[$0].count) }
            .joined(separator: "  ")
    }.joined(separator: "\n")
}

/// The whole text, with control characters shown and not obeyed.
func visible(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
}

/// `512 B`, `1.5 GiB`.
func sizeText(_ bytes: Int64) -> String { ByteText.of(bytes) }

/// `42 s`, `3 h 12 min`, `2 d 4 h`.
func durationText(_ seconds: Int) -> String {
    switch seconds {
    case ..<120: "\(seconds) s"
    case ..<7200: "\(seconds / 60) min"
    case ..<172_800: "\(seconds / 3600) h \(seconds % 3600 / 60) min"
    default: "\(seconds / 86400) d \(seconds % 86400 / 3600) h"
    }
}
