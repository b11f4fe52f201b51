public import ForecacheModel

extension Plan {
    /// The same plan with what the look at the image's bytes found: what hosts have to prove and how they convert. Whoever may not have an image that large is
    /// refused, before anything is moved.
    public func inspected(_ image: InspectedImage) -> Plan {
        var plan = self
        for site in plan.sites.indices { plan.sites[site].take(image, bytes: self.image.sizeBytes ?? 0) }
        return plan
    }

    /// Why hosts do not get the image, each reason once.
    public var refusals: [String] {
        var seen: [String] = []
        for step in steps {
            if case .none(.refused(let reason)) = step.action, !seen.contains(reason) { seen.append(reason) }
        }
        return seen
    }
}

extension SitePlan {
    fileprivate mutating func take(_ image: InspectedImage, bytes: Int64) {
        inspected = image
        let largest = max(bytes, image.virtualSizeBytes)
        for index in steps.indices {
            if image.qemuFormat == nil { steps[index].format = .original }
            guard let limit = deliver.maxSizeBytes, largest > limit, steps[index].movesBytes else { continue }
            steps[index].refuse(
                "the image takes \(largest) bytes (\(bytes) as stored, \(image.virtualSizeBytes) as a disk); deliver.max_size is \(limit)")
        }
    }
}

extension Step {
    mutating func refuse(_ reason: String) {
        action = .none(.refused(reason))
        reasons.append(reason)
    }

    static let silentContainer =
        "Nova's container there does not answer (it restarts, or was stopped; node.container names it)"

    /// As of a host that is away: to be tried again.
    mutating func postpone(_ reason: String) {
        action = .none(.unreachable(reason))
        reasons.append(reason)
    }
}
