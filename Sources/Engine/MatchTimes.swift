public import ForecacheModel
public import FoundationEssentials
public import Rules

extension Ledger {
    /// Since when rules with `for:` match each of the images, by rule name. Nothing is asked where none of the rule sets has such a rule.
    public func matchesBegan(_ images: some Sequence<ImageID>, by sets: [RuleSet]) async throws(Failure) -> [ImageID: [String: Date]] {
        guard sets.contains(where: \.lasts) else { return [:] }
        var began: [ImageID: [String: Date]] = [:]
        for image in images { began[image] = try await matchesBegan(image) }
        return began
    }
}
