import Engine
public import ForecacheModel
import FoundationEssentials
public import Logging
import OpenStackAPI
public import Planning
import Rules
import SSHFleet

/// `plan`: what would be done, what it comes to, and what is left to Nova; from Glance and the hosts as they are, or without asking them.
public struct PlanReview: Sendable {
    public var plans: [Plan]
    public var totals: PlanTotals
    public var noLongerWanted: [NoLongerWanted]

    /// What a plan is made from.
    public enum Source: Hashable, Sendable {
        /// Glance and the hosts.
        case live
        /// The images of a file instead of Glance's. `isOffline`: hosts are not asked either, and count as if no base file lay there.
        case saved(file: String, isOffline: Bool)

        fileprivate var file: String? {
            switch self {
            case .live: nil
            case .saved(let file, _): file
            }
        }

        var isOffline: Bool {
            switch self {
            case .live: false
            case .saved(_, let isOffline): isOffline
            }
        }
    }

    /// What `plan` needs beside rules and fleet.
    public struct Reviewer: Sendable {
        private let setup: Setup
        private let source: Source
        private let targets: ByHand.Targets
        private let choice: ImageChoice
        private let byHand: ByHand
        private let close: @Sendable () async -> Void
        /// What the plan is made without.
        public let notes: [String]

        /// Throws `.failed` where a file of images cannot be read, `.misconfigured` where Glance is to be asked and there are no credentials.
        /// `via`: as in `ByHand`.
        public init(
            _ setup: Setup, from source: Source, targets: ByHand.Targets, via: [SiteName: Via] = [:], environment: [String: String],
            logger: Logger
        ) throws(Refusal) {
            self.setup = setup
            self.source = source
            self.targets = targets
            let fleet = Shells.hosts(setup, logger: logger)
            close = { await fleet.close() }
            let catalog: any ImageCatalog
            var notes: [String] = []
            switch source {
            case .live: catalog = try Shells.catalog(setup, environment: environment, logger: logger)
            case .saved(let file, _):
                let saved = try SavedCatalog(file: file, environment: environment)
                catalog = saved
                notes = saved.saved.notes
            }
            let matchTimes = targets == .rules ? setup.matchTimes { notes.append($0) } : nil
            if setup.configuration.verifiesSignatures {
                notes.append(
                    "signatures are not looked at here: an image may have to be read as a whole for it, before its bytes go anywhere")
            }
            self.notes = notes
            choice = ImageChoice(policy: setup.policy, catalog: catalog, catalogFile: source.file, matchTimes: matchTimes)
            byHand = ByHand(
                choice, limits: setup.configuration.limits, peerNetwork: setup.configuration.peer.network, via: via, hosts: fleet,
                inspects: source == .live, logger: logger)
        }

        /// The images named; nil: all.
        public func review(_ selectors: [String]?, note: (String) -> Void) async throws(Refusal) -> PlanReview {
            let result: Result<PlanReview, Refusal>
            do throws(Refusal) { result = .success(try await made(selectors, note)) } catch { result = .failure(error) }
            await close()
            return try result.get()
        }

        private func made(_ selectors: [String]?, _ note: (String) -> Void) async throws(Refusal) -> PlanReview {
            let images = if let selectors { try await choice.images(selectors) } else { try await choice.all() }
            var planned = try await byHand.planned(for: images, targets: targets, isOffline: source.isOffline)
            planned.plans.removeAll { $0.steps.isEmpty }
            for proxy in byHand.withoutPeerAddress(planned.plans) { note("'cache' refuses this: \(proxy)") }
            var unwanted: [NoLongerWanted] = []
            if targets == .rules {
                // Of all the images that there are, those that are gone count as well; of some, only these.
                let concerned = selectors == nil && source == .live ? nil : Set(images.map(\.id))
                unwanted = await NoLongerWanted.find(setup, besides: planned.plans, of: concerned, note: note)
            }
            let totals = PlanTotals(
                planned.withoutWindows, observed: planned.observed, isSurveyed: !source.isOffline, noLongerWanted: unwanted.count)
            return PlanReview(plans: planned.plans, totals: totals, noLongerWanted: unwanted)
        }
    }
}
