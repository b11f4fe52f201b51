import Engine
import ForecacheModel
import FoundationEssentials
public import Logging
import Notifications
import Rules

/// Recorded notifications through the rules as they are now: what each image would have been placed on as its payload had it, beside what is so now.
public struct Replay: Sendable {
    /// What "now" is.
    private enum Present {
        case glance([ImageID: ImageFacts], Rivals)
        case ledger(any Ledger)
        /// Nobody could be asked.
        case unknown

        var rivals: Rivals? {
            if case .glance(_, let rivals) = self { rivals } else { nil }
        }

        var name: String? {
            switch self {
            case .glance: "glance"
            case .ledger: "ledger"
            case .unknown: nil
            }
        }
    }

    private let setup: Setup
    private let environment: [String: String]
    private let logger: Logger

    public init(setup: Setup, environment: [String: String], logger: Logger) {
        self.setup = setup
        self.environment = environment
        self.logger = logger
    }

    /// Calls `show` for each line of the file, in order. "Now" is Glance's record under the same rules; with `isOffline`, or where Glance cannot be asked, what the
    /// ledger wants; without a ledger nothing is compared. `note` says which. Throws `.failed` where the file cannot be read.
    public func run(
        _ path: String, isOffline: Bool, note: (String) -> Void, show: (ReplayReport.Event) -> Void
    ) async throws(Refusal) -> ReplayReport.Summary {
        let limits = setup.configuration.limits
        var summary = ReplayReport.Summary()
        do throws(Failure) {
            // A body's base64 is a third longer than the body, its JSON text at worst six times.
            var lines = try LineReader(path, mostBytes: limits.messageBytes * 6 + 4096)
            let present = await present(isOffline: isOffline, note)
            var times = MatchTimes(ledger: setup.matchTimes(note: note))
            summary.comparedWith = present.name
            var recent = RecentMessages()
            var number = 0
            while let line = try lines.next() {
                number += 1
                if line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }) { continue }
                var event = ReplayReport.Event(line: number)
                do throws(Failure) {
                    let (record, body) = try RecordedEvent.read(line)
                    try await replay(record, body, limits, present, &recent, &times, into: &event)
                } catch {
                    guard error.kind == .permanent else { throw error }
                    event.odd = error.description
                }
                summary.count(event)
                show(event)
                if Task.isCancelled { throw Failure(.cancelled, "told to stop after line \(number)") }
            }
        } catch {
            throw .failed(error)
        }
        return summary
    }

    private func replay(
        _ record: RecordedEvent, _ body: [UInt8], _ limits: Limits, _ present: Present, _ recent: inout RecentMessages,
        _ times: inout MatchTimes, into event: inout ReplayReport.Event
    ) async throws(Failure) {
        event.receivedAt = record.receivedAt
        event.exchange = record.exchange
        event.routingKey = record.routingKey
        switch NotificationDecoder.decode(body, limits: limits) {
        case .irrelevant(let type): event.type = type
        case .odd(let reason): event.odd = reason
        case .image(let image):
            event.type = image.type
            event.image = image.image
            event.isDuplicate = image.messageID.map { !recent.isNew($0) } ?? false
            let then = PayloadFacts.read(body, limits: limits)
            event.name = then?.facts.name
            event.unknownFields = then?.unknownFields ?? []
            if let then {
                // The others as they are now: nobody recorded them as they were.
                var rivals = present.rivals
                _ = rivals?.note(then.facts)
                let decision = setup.rules.decide(
                    then.facts, fleet: setup.fleet, now: record.receivedAt, among: rivals,
                    since: try await times.began(image.image, by: record.receivedAt))
                times.note(decision)
                event.then = ReplayReport.Decision(decision)
            }
            event.now = try await now(of: image.image, present, times)
            if let then = event.then, let now = event.now { event.difference = ReplayReport.Difference(from: then, to: now) }
        }
    }

    private func now(of image: ImageID, _ present: Present, _ times: MatchTimes) async throws(Failure) -> ReplayReport.Decision? {
        switch present {
        case .unknown: return nil
        case .glance(let images, let rivals):
            guard let facts = images[image] else { return ReplayReport.Decision(refusal: "image is gone from Glance") }
            let now = Date()
            return ReplayReport.Decision(
                setup.rules.decide(facts, fleet: setup.fleet, now: now, among: rivals, since: try await times.began(image, by: now)))
        case .ledger(let ledger):
            let wanted = try await ledger.placements(of: image).filter { $0.isWanted && setup.fleet.host($0.host) != nil }
            return ReplayReport.Decision(hosts: wanted.map(\.host), rules: Set(wanted.map(\.rule)).sorted())
        }
    }

    private func present(isOffline: Bool, _ note: (String) -> Void) async -> Present {
        var reason = "--offline"
        if !isOffline {
            do throws(Refusal) {
                let catalog = try Shells.catalog(setup, environment: environment, logger: logger)
                do throws(Failure) {
                    let images = try await catalog.images(named: nil)
                    return .glance(
                        Dictionary(images.map { ($0.id, $0) }) { first, _ in first }, Rivals(setup.rules, among: images, now: Date()))
                } catch {
                    throw Refusal(error)
                }
            } catch {
                reason = error.message ?? "Glance cannot be asked"
            }
        }
        do throws(Failure) {
            guard let ledger = try setup.serviceLedger() else {
                note("nothing is compared with now: \(reason), and there is no ledger at \(setup.configuration.state)")
                return .unknown
            }
            note("now is what the ledger has: \(reason)")
            return .ledger(ledger)
        } catch {
            note("nothing is compared with now: \(reason); \(error)")
            return .unknown
        }
    }
}

/// Since when rules with `for:` match: as the service's ledger has it and, for what it has not, as the events so far do.
private struct MatchTimes {
    let ledger: (any Ledger)?
    private var recorded: [ImageID: [String: Date]] = [:]

    init(ledger: (any Ledger)?) { self.ledger = ledger }

    /// By rule name. What the ledger has begun only after `moment` does not count then.
    func began(_ image: ImageID, by moment: Date) async throws(Failure) -> [String: Date] {
        let known = try await ledger?.matchesBegan(image) ?? [:]
        return (recorded[image] ?? [:]).merging(known.filter { $0.value <= moment }) { _, known in known }
    }

    /// A rule that matches no longer begins anew when it matches again.
    mutating func note(_ decision: Decision) {
        recorded[decision.image.id] = Dictionary(decision.rules.compactMap { rule in rule.began.map { (rule.rule, $0) } }) { first, _ in
            first
        }
    }
}
