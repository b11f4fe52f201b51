import ForecacheModel
import Glibc

/// A file's lines one after the other, each of bounded length: a record of a month is larger than memory should be.
struct LineReader: ~Copyable {
    private let path: String
    private let descriptor: Int32
    private let mostBytes: Int
    private var buffer: [UInt8] = []
    private var isAtEnd = false

    /// A line longer than `mostBytes` throws.
    init(_ path: String, mostBytes: Int) throws(Failure) {
        self.path = path
        self.mostBytes = mostBytes
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(.permanent, "cannot read \(path)", cause: String(cString: strerror(errno))) }
    }

    deinit { close(descriptor) }

    /// Nil at the end.
    mutating func next() throws(Failure) -> [UInt8]? {
        var searched = 0
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(buffer[..<end])
                buffer.removeFirst(end + 1)
                return line
            }
            searched = buffer.count
            guard searched <= mostBytes else { throw Failure(.permanent, "\(path) has a line of more than \(mostBytes) bytes") }
            if isAtEnd {
                guard !buffer.isEmpty else { return nil }
                defer { buffer = [] }
                return buffer
            }
            try fill()
        }
    }

    private mutating func fill() throws(Failure) {
        let old = buffer.count
        buffer.append(contentsOf: repeatElement(0, count: 1 << 16))
        var count = 0
        repeat {
            count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress?.advanced(by: old), 1 << 16) }
        } while count < 0 && errno == EINTR
        buffer.removeLast(buffer.count - old - max(0, count))
        guard count >= 0 else { throw Failure(.permanent, "cannot read \(path)", cause: String(cString: strerror(errno))) }
        isAtEnd = count == 0
    }
}
