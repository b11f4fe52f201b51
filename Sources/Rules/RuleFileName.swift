/// What the names of rule files say: `x.yaml` holds rules, and `x.test.yaml` beside it their tests; `.yml` is as good. Hidden files are neither.
public enum RuleFileName {
    private static let endings = [".yaml", ".yml"]

    public static func isOfRules(_ name: String) -> Bool { !name.hasPrefix(".") && tests(of: name) != nil }

    public static func isOfTests(_ name: String) -> Bool { !name.hasPrefix(".") && rules(testedBy: name) != nil }

    /// `rules/x.test.yaml` for `rules/x.yaml`; nil for the path of anything but rules.
    public static func tests(of path: String) -> String? {
        guard rules(testedBy: path) == nil else { return nil }
        return endings.first(where: path.hasSuffix).map { "\(path.dropLast($0.count)).test\($0)" }
    }

    /// `rules/x.yaml` for `rules/x.test.yaml`; nil for the path of anything but tests.
    public static func rules(testedBy path: String) -> String? {
        endings.first { path.hasSuffix(".test\($0)") }.map { "\(path.dropLast(".test\($0)".count))\($0)" }
    }
}
