import ForecacheModel
import Planning
import StrictYAML

/// TripleO's heat environment files: `NovaImageCacheTTL` in `parameter_defaults`, for all computes and per role (`<Role>Parameters`).
enum TripleOEnvironment {
    static let parameter = "NovaImageCacheTTL"

    /// Everything else in such a file is somebody else's and passed over.
    static func ttl(_ text: String, file: String, over earlier: TTLDefaults, _ problems: inout Problems) -> TTLDefaults {
        var ttl = earlier
        guard let root = Value.parse(text, file: file, problems: &problems), case .mapping(let top) = root.content,
            let defaults = top.first(where: { $0.key == "parameter_defaults" })?.value, case .mapping(let parameters) = defaults.content
        else { return ttl }
        for entry in parameters {
            if entry.key == parameter {
                ttl.seconds = entry.value.integer(parameter, in: 1...Int.max, &problems) ?? ttl.seconds
            } else if entry.key.hasSuffix("Parameters"), case .mapping(let ofRole) = entry.value.content,
                let own = ofRole.first(where: { $0.key == parameter })?.value
            {
                let role = RoleName(String(entry.key.dropLast("Parameters".count)))
                ttl.roles[role] = own.integer("\(parameter) of role \(role)", in: 1...Int.max, &problems)
            }
        }
        return ttl
    }
}
