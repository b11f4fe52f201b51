import Engine
public import ForecacheModel
public import FoundationEssentials
import Planning
import SQLiteLedger

/// `approve`: what a running service holds, and the word that releases it, through the ledger beside the service.
public struct Approval: Sendable {
    /// `approve --output json`.
    public struct Report: Encodable, Sendable {
        public struct Row: Encodable, Sendable {
            public var image: ImageID
            public var name: String
            public var site: SiteName
            public var added: Int
            public var removed: Int
            public var rules: [String]
        }

        @OrNull public var state: String?
        /// The set that waits; nil where none does.
        @OrNull public var set: String?
        @OrNull public var since: Date?
        public var approved: Bool
        @OrNull public var newPlacements: Int?
        @OrNull public var removedPlacements: Int?
        @OrNull public var maxNewPlacements: Int?
        /// Bytes that the new ones take on the hosts' disks, all together.
        @OrNull public var addedBytes: Int64?
        public var images: Int
        public var rows: [Row]
        public var moreRows: Int
        public var problems: [String]
    }

    private let setup: Setup

    public init(setup: Setup) { self.setup = setup }

    /// What waits; released at the same time unless `isCheck`. `set`: only this one (its digest or the beginning of it), so that what was looked at is what is
    /// released. Throws `.failed` where another one waits.
    public func report(set wanted: String?, isCheck: Bool) async throws(Refusal) -> Report {
        do throws(Failure) {
            let path = setup.configuration.state
            let last = try await SQLiteLedger.reading(path: path).reloadReport()
            guard let last, last.state == .held, let waiting = last.changed else { return Report(last, approved: false) }
            if let wanted, !waiting.hasPrefix(wanted) {
                throw Failure(.permanent, "the set \(wanted.printable) does not wait for approval (any longer): now it is \(waiting)")
            }
            if !isCheck {
                let refresh = RefreshSchedule(atFraction: setup.configuration.refreshFraction)
                let ledger = try SQLiteLedger(path: path, refresh: refresh, limits: setup.configuration.limits, access: .guest)
                try await ledger.approve(waiting, at: Date())
            }
            return Report(last, approved: !isCheck)
        } catch {
            throw .failed(error)
        }
    }
}

extension Approval.Report {
    fileprivate init(_ report: ReloadReport?, approved: Bool) {
        let isHeld = report?.state == .held
        let difference = isHeld ? report?.difference : nil
        self.init(
            state: report?.state.rawValue, set: isHeld ? report?.changed : nil, since: report?.since, approved: approved,
            newPlacements: difference?.added, removedPlacements: difference?.removed, maxNewPlacements: report?.maxNewPlacements,
            addedBytes: difference?.addedBytes, images: difference?.images ?? 0,
            rows: (difference?.rows ?? []).map {
                Row(image: $0.image, name: $0.name, site: $0.site, added: $0.added, removed: $0.removed, rules: $0.rules)
            },
            moreRows: difference?.moreRows ?? 0, problems: report?.problems ?? [])
    }
}
