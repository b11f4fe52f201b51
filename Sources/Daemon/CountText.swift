/// Numbers of things, for people.
public enum CountText {
    /// `1 host`, `2 hosts`.
    public static func of(_ number: Int, _ noun: String) -> String { number == 1 ? "1 \(noun)" : "\(number) \(noun)s" }
}
