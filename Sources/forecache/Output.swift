import Daemon
import ForecacheModel
import Glibc
import Synchronization

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

/// The code of the first error on standard output; 0 while all was written.
private let unwritten = Atomic<Int32>(0)

/// Why the answer is not, or not whole, where it was meant to be: a full disk, a closed descriptor.
func reasonUnwritten() -> String? {
    let code = unwritten.load(ordering: .relaxed)
    return code == 0 ? nil : String(cString: strerror(code))
}

/// Standard descriptors that were closed are taken by /dev/null, before a socket or the ledger gets their numbers and our words. Writing to it fails.
func holdStandardDescriptors() {
    for handle in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(handle, F_GETFD) < 0 { _ = open("/dev/null", O_RDONLY) }
}

func write(_ text: String, to handle: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(handle, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else {
            if handle == STDOUT_FILENO { _ = unwritten.compareExchange(expected: 0, desired: errno, ordering: .relaxed) }
            return
        }
        rest = rest.dropFirst(count)
    }
}

/// One row a line, columns as wide as their widest cell. What others wrote into a cell cannot move the cursor.
func table(_ header: [String], _ rows: [[String]]) -> String {
    let lines = [header] + rows.map { $0.map(\.visible) }
    let widths = header.indices.map { column in lines.reduce(0) { max($0, width($1[column])) } }
    var text = ""
    text.reserveCapacity(widths.dropLast().reduce(0) { $0 + $1 + 2 } * lines.count)
    for (number, line) in lines.enumerated() {
        if number > 0 { text += "\n" }
        for (column, cell) in line.enumerated() {
            text += cell
            if column < line.count - 1 { text += String(repeating: " ", count: widths[column] - width(cell) + 2) }
        }
    }
    return text
}

/// Characters: in ASCII, which has no line breaks here, as many as bytes.
private func width(_ cell: String) -> Int { cell.utf8.allSatisfy { $0 < 0x80 } ? cell.utf8.count : cell.count }

/// `42 s`, `3 h 12 min`, `2 d 4 h`.
func durationText(_ seconds: Int) -> String {
    switch seconds {
    case ..<120: "\(seconds) s"
    case ..<7200: "\(seconds / 60) min"
    case ..<172_800: "\(seconds / 3600) h \(seconds % 3600 / 60) min"
    default: "\(seconds / 86400) d \(seconds % 86400 / 3600) h"
    }
}
