import Foundation

/// Quantities as sentences have them.
enum Spoken {
    static func age(_ seconds: Double) -> String {
        let whole = Int(max(0, min(seconds, 1e12)))
        switch whole {
        case ..<120: return "\(whole) s"
        case ..<7200: return "\(whole / 60) min"
        case ..<172_800: return "\(whole / 3600) h"
        default: return "\(whole / 86400) days"
        }
    }

    static func moment(_ date: Date) -> String { date.formatted(.iso8601) }
}
