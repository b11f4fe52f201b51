import ArgumentParser
import ForecacheModel
import Foundation
import UnixSignals

enum OutputForm: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

/// One figure, with the peer's own where there is one.
struct Reading: Codable {
    var name: String
    var unit: String
    var value: Double
    var peer: Double?
    /// How many times better than the peer, whichever direction is better for the unit.
    var ratio: Double?
    /// The promise in words; nil where nothing is promised.
    var bar: String?
    var isMet: Bool?

    enum CodingKeys: String, CodingKey {
        case name, unit, value, peer, ratio, bar
        case isMet = "met"
    }

    init(_ name: String, _ value: Double, _ unit: String) {
        (self.name, self.value, self.unit) = (name, value, unit)
    }

    /// The same, held to an upper bound.
    func below(_ bound: Double, _ bar: String) -> Reading {
        var held = self
        (held.bar, held.isMet) = (bar, value < bound)
        return held
    }

    /// The same, held to a bound that is still allowed.
    func atMost(_ bound: Double) -> Reading { held(value <= bound, "at most \(number(bound))\(unit)") }

    /// The same, held to a condition.
    func held(_ isMet: Bool, _ bar: String) -> Reading {
        var held = self
        (held.bar, held.isMet) = (bar, isMet)
        return held
    }

    /// The same beside the peer's reading; `ratio` is told by the caller, who may have it as a median of rounds.
    func beside(_ peer: Double, ratio: Double, atLeast bound: Double? = nil) -> Reading {
        var held = self
        (held.peer, held.ratio) = (peer, ratio)
        if let bound { (held.bar, held.isMet) = ("at least \(number(bound))x", ratio >= bound) }
        return held
    }
}

/// What a measurement found, as it is printed.
struct Report: Codable {
    var bench: String
    /// Whom the `peer` column is about.
    var peer: String?
    /// How it was measured: counts, machine, what is left out.
    var notes: [String] = []
    var readings: [Reading] = []

    /// Prints it; throws exit code 2 where a bar was missed.
    func print(as form: OutputForm) throws {
        switch form {
        case .text: Swift.print(text)
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            Swift.print(String(decoding: try encoder.encode(self), as: UTF8.self))
        }
        if readings.contains(where: { $0.isMet == false }) { throw ExitCode(2) }
    }

    private var text: String {
        let header = [bench, "forecache"] + (peer.map { [$0, "ratio"] } ?? []) + ["bar"]
        let rows = readings.map { reading in
            let own = [reading.name, "\(number(reading.value)) \(reading.unit)"]
            let other = [reading.peer.map { "\(number($0)) \(reading.unit)" } ?? "", reading.ratio.map { "\(number($0))x" } ?? ""]
            let bar = reading.bar.map { "\($0): \(reading.isMet == true ? "met" : "MISSED")" } ?? ""
            return own + (peer == nil ? [] : other) + [bar]
        }
        return (table(header, rows) + [""] + notes).joined(separator: "\n")
    }
}

/// Columns as wide as their widest cell.
private func table(_ header: [String], _ rows: [[String]]) -> [String] {
    let lines = [header] + rows
    let widths = header.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
        let padded = line.indices.map { line[$0] + String(repeating: " ", count: widths[$0] - line[$0].count) }
        return padded.joined(separator: "  ").trimmingCharacters(in: .whitespaces)
    }
}

/// Three significant digits where it is small, whole where it is large.
func number(_ value: Double) -> String {
    switch abs(value) {
    case 0: "0"
    case ..<10: String(format: "%.2f", value)
    case ..<100: String(format: "%.1f", value)
    default: String(format: "%.0f", value)
    }
}

/// Talk, on standard error.
func say(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

/// Runs a measurement; a failure ends the process with its own words and exit code 1.
func reporting(_ body: () async throws -> Void) async throws {
    do {
        try await body()
    } catch let failure as Failure {
        say("forecache-bench: \(failure)")
        throw ExitCode(1)
    } catch is CancellationError {
        throw ExitCode(1)
    }
}

/// As `reporting`, and cancelled by SIGINT or SIGTERM, so that what was started is ended and what was made is removed.
func interruptible(_ body: @escaping @Sendable () async throws -> Void) async throws {
    let work = Task { try await reporting(body) }
    let watch = Task {
        for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) {
            say("forecache-bench: interrupted; ends what it started")
            work.cancel()
        }
    }
    defer { watch.cancel() }
    try await work.value
}

/// The value below which `share` of the values lie; nil without values.
func percentile(_ share: Double, of values: [Double]) -> Double? {
    guard !values.isEmpty else { return nil }
    return values.sorted()[min(values.count - 1, Int(Double(values.count) * share))]
}

func median(_ values: [Double]) -> Double { percentile(0.5, of: values) ?? 0 }
