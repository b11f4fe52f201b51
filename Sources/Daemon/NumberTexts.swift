/// Numbers of things, for people.
public enum CountText {
    /// `1 host`, `2 hosts`.
    public static func of(_ number: Int, _ noun: String) -> String { number == 1 ? "1 \(noun)" : "\(number) \(noun)s" }
}

/// `512 B`, `1.5 GiB`.
public enum ByteText {
    public static func of(_ bytes: Int64) -> String {
        var (amount, unit) = (Double(bytes), 0)
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        while amount >= 1024, unit < units.count - 1 { (amount, unit) = (amount / 1024, unit + 1) }
        return unit == 0 ? "\(bytes) B" : "\((amount * 10).rounded() / 10) \(units[unit])"
    }
}
