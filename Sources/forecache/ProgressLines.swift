import Engine
import ForecacheModel
import Glibc
import Synchronization

/// One live line a host on a terminal; on a pipe only how each host ended.
final class ProgressLines: Sendable {
    private struct State {
        var lines: [HostName: String] = [:]
        var drawn = 0
    }

    private let state = Mutex(State())
    private let isTerminal = isatty(STDERR_FILENO) == 1

    func show(_ report: ExecutionReport) {
        switch report {
        case .started(_, let host): draw { $0.lines[host] = "\(host): started" }
        case .progress(_, let host, let source, let bytes, let total):
            let share = total > 0 ? " \(bytes * 100 / total) %" : ""
            draw { $0.lines[host] = "\(host): \(sizeText(bytes)) of \(sizeText(total))\(share) from \(source)" }
        case .ended(let outcome):
            let reason = outcome.reason.map { ": \($0.printable)" } ?? ""
            let line = "\(outcome.kind.rawValue): [\(outcome.host)] \(outcome.image)\(reason)"
            draw(above: line) { $0.lines[outcome.host] = nil }
        }
    }

    private func draw(above: String? = nil, _ change: (inout State) -> Void) {
        state.withLock { state in
            change(&state)
            guard isTerminal else {
                if let above { say(above) }
                return
            }
            var text = state.drawn > 0 ? "\u{1B}[\(state.drawn)A\u{1B}[J" : ""
            if let above { text += above + "\n" }
            text += state.lines.sorted { $0.key < $1.key }.map(\.value).joined(separator: "\n")
            state.drawn = state.lines.count
            if !text.isEmpty { say(text.hasSuffix("\n") ? String(text.dropLast()) : text) }
        }
    }
}
