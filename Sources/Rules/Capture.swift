/// What a pattern can capture for use in targets.
enum Capture: String, Hashable, Sendable, CaseIterable {
    case site, role

    var token: String { "{\(rawValue)}" }
}

/// The names that one match captured; nil where the branch that matched captures none.
struct Binding: Hashable, Sendable {
    var site: String?
    var role: String?

    subscript(capture: Capture) -> String? {
        get {
            switch capture {
            case .site: site
            case .role: role
            }
        }
        set {
            switch capture {
            case .site: site = newValue
            case .role: role = newValue
            }
        }
    }

    /// Both bindings in one; nil where they give one capture two names.
    func joined(_ other: Binding) -> Binding? {
        if let site, let theirs = other.site, site != theirs { return nil }
        if let role, let theirs = other.role, role != theirs { return nil }
        return Binding(site: site ?? other.site, role: role ?? other.role)
    }
}
