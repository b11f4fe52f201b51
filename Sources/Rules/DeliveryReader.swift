public import ForecacheModel
public import StrictYAML

/// Reads the keys of `deliver:`; a site of the configuration has the same ones.
public enum DeliveryReader {
    public static let fanOuts = 1...16
    public static let streams = 1...16

    /// Takes its keys from `keys` and leaves the others. `what` names the mapping in messages: "deliver".
    public static func read(_ keys: inout Mapping, _ what: String, _ problems: inout Problems) -> DeliverySettings {
        var settings = DeliverySettings()
        settings.via = keys.take("via")?.word("\(what).via", as: Via.self, &problems)
        settings.fanOut = keys.take("fan_out")?.integer("\(what).fan_out", in: fanOuts, &problems)
        settings.rateLimit = keys.take("rate_limit").flatMap { rate($0, "\(what).rate_limit", &problems) }
        settings.window = keys.take("window").flatMap { window($0, "\(what).window", &problems) }
        settings.maxSizeBytes = keys.take("max_size").flatMap { size($0, "\(what).max_size", &problems) }
        settings.streams = keys.take("streams")?.integer("\(what).streams", in: streams, &problems)
        settings.source = keys.take("source")?.word("\(what).source", as: DeliverySource.self, &problems)
        return settings
    }

    /// Bytes a second: a size with `/s` behind it or without.
    private static func rate(_ value: Value, _ what: String, _ problems: inout Problems) -> Int64? {
        var unread = Problems()
        if case .scalar(let text, let isPlain) = value.content {
            let size = text.hasSuffix("/s") ? String(text.dropLast(2)) : text
            if let bytes = Value(.scalar(size, isPlain: isPlain), at: value.place).bytes(what, &unread), bytes > 0 { return bytes }
        }
        problems.add(value.place, "\(what) must be a rate of more than 0 such as 20MiB/s or 500KiB/s, not \(value.kind)")
        return nil
    }

    private static func size(_ value: Value, _ what: String, _ problems: inout Problems) -> Int64? {
        guard let bytes = value.bytes(what, &problems) else { return nil }
        guard bytes > 0 else {
            problems.add(value.place, "\(what) must be more than 0, or no image would do")
            return nil
        }
        return bytes
    }

    private static func window(_ value: Value, _ what: String, _ problems: inout Problems) -> Window? {
        guard let text = value.string(what, &problems) else { return nil }
        guard let window = Window(text) else {
            problems.add(
                value.place, "\(what) must be a window such as \"01:00-05:00 Europe/Berlin\" (UTC without a zone), not \(value.kind)")
            return nil
        }
        guard window.isKnown else {
            problems.add(
                value.place,
                "\(what) names the time zone '\(window.timeZone.prefix(60))', which the time zone database has not; write one like Europe/London"
            )
            return nil
        }
        return window
    }
}
