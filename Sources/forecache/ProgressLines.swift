import Engine
import ForecacheModel
import Glibc
import Synchronization

/// How each host ended, and on a terminal one live line for each that works.
final class ProgressLines: Sendable {
    private struct State {
        var names: [ImageID: String] = [:]
        var lines: [String: String] = [:]
        var drawn = 0
    }

    private let state = Mutex(State())
    private let isTerminal = isatty(STDERR_FILENO) == 1
    /// Whether the ends are the answer, or talk beside an answer in JSON.
    private let answers: Bool

    init(answers: Bool) { self.answers = answers }

    /// Tells what to call an image.
    func name(_ image: ImageFacts) { state.withLock { $0.names[image.id] = "\(image.id) (\(image.name.printable))" } }

    func show(_ report: ExecutionReport) {
        switch report {
        case .started(let image, let host): draw { $0.lines["\(host) \(image)"] = "\(host): started" }
        case .progress(let image, let host, let source, let bytes, let total):
            let share = total > 0 ? " \(bytes * 100 / total) %" : ""
            draw { $0.lines["\(host) \(image)"] = "\(host): \(sizeText(bytes)) of \(sizeText(total))\(share) from \(source)" }
        case .ended(let outcome): draw(ended: outcome) { $0.lines["\(outcome.host) \(outcome.image)"] = nil }
        }
    }

    private func draw(ended outcome: Outcome? = nil, _ change: (inout State) -> Void) {
        state.withLock { state in
            change(&state)
            if isTerminal, state.drawn > 0 { write("\u{1B}[\(state.drawn)A\u{1B}[J", to: STDERR_FILENO) }
            state.drawn = 0
            if let outcome {
                let line = text(outcome, image: state.names[outcome.image] ?? outcome.image.text)
                if answers { answer(line) } else { say(line) }
            }
            guard isTerminal else { return }
            let size = terminalSize()
            // Lines that wrap or scroll could not be taken back.
            for line in state.lines.sorted(by: { $0.key < $1.key }).map(\.value).prefix(size.rows - 2) {
                say(String(visible(line).prefix(size.columns - 1)))
                state.drawn += 1
            }
        }
    }

    /// `cached      dcn1-compute-0: IMAGE, 1.2 GiB in 14 s from glance`
    private func text(_ outcome: Outcome, image: String) -> String {
        var text = outcome.kind.rawValue
        text += String(repeating: " ", count: max(1, 13 - text.count)) + "\(outcome.host): \(image)"
        if outcome.kind == .cached {
            text += ", \(sizeText(outcome.bytes)) in \((outcome.seconds * 10).rounded() / 10) s"
            if let source = outcome.source { text += " from \(source)" }
        }
        if let reason = outcome.reason { text += ": \(visible(reason))" }
        return text
    }

    private func terminalSize() -> (rows: Int, columns: Int) {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 3, size.ws_col > 20 else { return (24, 80) }
        return (Int(size.ws_row), Int(size.ws_col))
    }
}
