public import ForecacheModel
public import FoundationEssentials
import Rules

/// What a new policy would place otherwise than the one in force.
public enum PolicyComparison {
    /// Both policies decide on each of the images; hosts are told apart by name. `began`: since when rules with `for:` match each image. Gives way to other tasks
    /// between images.
    public static func difference(
        from old: Policy, to new: Policy, images: [ImageFacts], since began: [ImageID: [String: Date]], now: Date
    ) async -> PlacementDifference {
        var difference = PlacementDifference()
        var rows: [PlacementDifference.Row] = []
        let (oldRivals, newRivals) = (Rivals(old.rules, among: images, now: now), Rivals(new.rules, among: images, now: now))
        for image in images {
            let since = began[image.id] ?? [:]
            let found = rowsOf(
                image, wanted(image, by: old, among: oldRivals, since, now), wanted(image, by: new, among: newRivals, since, now))
            if !found.isEmpty { difference.images += 1 }
            for row in found {
                difference.added += row.added
                difference.removed += row.removed
                let bytes = (image.sizeBytes ?? 0).multipliedReportingOverflow(by: Int64(row.added))
                difference.addedBytes = difference.addedBytes.saturating(plus: bytes.overflow ? .max : bytes.partialValue)
            }
            rows += found
            await Task.yield()
        }
        rows.sort { ($1.added + $1.removed, $0.name, $0.image, $0.site) < ($0.added + $0.removed, $1.name, $1.image, $1.site) }
        difference.rows = Array(rows.prefix(PlacementDifference.mostRows))
        difference.moreRows = rows.count - difference.rows.count
        return difference
    }

    private static func wanted(
        _ image: ImageFacts, by policy: Policy, among rivals: Rivals, _ began: [String: Date], _ now: Date
    ) -> [Placement] {
        policy.rules.decide(image, fleet: policy.fleet, now: now, among: rivals, since: began).placements.filter { $0.mode == .enforce }
    }

    private static func rowsOf(_ image: ImageFacts, _ old: [Placement], _ new: [Placement]) -> [PlacementDifference.Row] {
        let (before, after) = (Set(old.map(\.host)), Set(new.map(\.host)))
        guard before != after else { return [] }
        let added = Dictionary(grouping: new.filter { !before.contains($0.host) }, by: \.site)
        let removed = Dictionary(grouping: old.filter { !after.contains($0.host) }, by: \.site)
        return Set(added.keys).union(removed.keys).map { site in
            PlacementDifference.Row(
                image: image.id, name: image.name, site: site, added: added[site]?.count ?? 0, removed: removed[site]?.count ?? 0,
                rules: Set((added[site] ?? []).map(\.rule)).sorted())
        }
    }
}
