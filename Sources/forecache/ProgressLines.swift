import ArgumentParser
import Daemon
import Engine
import ForecacheModel
import FoundationEssentials
import Glibc
import Planning
import Synchronization

/// How `cache` and `refresh` tell what goes on.
struct ProgressOptions: ParsableArguments {
    @Option(
        help: """
            auto: on a terminal one live line for each host at work and one for each site, nothing into a pipe. json: one JSON object a line on standard \
            error as it happens ("event": started, progress at most once a second a host, ended). none: nothing.
            """)
    var progress: ProgressStyle = .auto
}

enum ProgressStyle: String, ExpressibleByArgument, CaseIterable {
    case auto, json, none
}

/// How each host ended, and what goes on meanwhile.
final class ProgressLines: Sendable {
    private struct State {
        var names: [ImageID: String] = [:]
        var board = ProgressBoard()
        var drawn = 0
        var drawnAt = Date.distantPast
        /// When each host's last `progress` was told as JSON.
        var toldAt: [String: Date] = [:]
    }

    private let state = Mutex(State())
    private let isLive: Bool
    private let isJSON: Bool
    /// Whether the ends are the answer, or talk beside an answer in JSON.
    private let answers: Bool

    init(answers: Bool, style: ProgressStyle = .auto) {
        self.answers = answers
        isLive = style == .auto && isatty(STDERR_FILENO) == 1
        isJSON = style == .json
    }

    func planned(_ plan: Plan) {
        state.withLock { state in
            state.names[plan.image.id] = "\(plan.image.id) (\(plan.image.name.printable))"
            state.board.planned(plan)
        }
    }

    func show(_ report: ExecutionReport) {
        let now = Date()
        state.withLock { state in
            state.board.told(report, at: now)
            if isJSON { tell(report, at: now, &state) }
            if case .ended(let outcome) = report {
                takeBack(&state)
                let line = text(outcome, image: state.names[outcome.image] ?? outcome.image.text)
                if answers { answer(line) } else if !isJSON { say(line) }
                draw(at: now, &state)
            } else if now.timeIntervalSince(state.drawnAt) >= 0.1 {
                takeBack(&state)
                draw(at: now, &state)
            }
        }
    }

    private func tell(_ report: ExecutionReport, at now: Date, _ state: inout State) {
        switch report {
        case .started: break
        case .progress(let image, let host, _, let bytes, let total):
            let key = "\(host) \(image)"
            guard bytes == total || now.timeIntervalSince(state.toldAt[key] ?? .distantPast) >= 1 else { return }
            state.toldAt[key] = now
        case .ended(let outcome): state.toldAt["\(outcome.host) \(outcome.image)"] = nil
        }
        // Our own values of plain types always encode; a line that could not be is no reason to stop the work.
        if let line = try? ContractJSON.text(ProgressEvent(report, at: now), pretty: false) { say(line) }
    }

    private func takeBack(_ state: inout State) {
        if state.drawn > 0 { write("\u{1B}[\(state.drawn)A\u{1B}[J", to: STDERR_FILENO) }
        state.drawn = 0
    }

    private func draw(at now: Date, _ state: inout State) {
        guard isLive else { return }
        let size = terminalSize()
        let lines = state.board.lines(rows: size.rows - 2, columns: size.columns - 1)
        if !lines.isEmpty { say(lines.joined(separator: "\n")) }
        (state.drawn, state.drawnAt) = (lines.count, now)
    }

    /// `cached      dcn1-compute-0: IMAGE, 1.2 GiB in 14 s from glance`
    private func text(_ outcome: Outcome, image: String) -> String {
        var text = outcome.kind.rawValue
        text += String(repeating: " ", count: max(1, 13 - text.count)) + "\(outcome.host.rawValue.printable): \(image)"
        if outcome.kind == .cached {
            text += ", \(ByteText.of(outcome.bytes)) in \((outcome.seconds * 10).rounded() / 10) s"
            if let source = outcome.source { text += " from \(source.printable)" }
        }
        if let reason = outcome.reason { text += ": \(reason.visible)" }
        return text
    }

    private func terminalSize() -> (rows: Int, columns: Int) {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 3, size.ws_col > 20 else { return (24, 80) }
        return (Int(size.ws_row), Int(size.ws_col))
    }
}
