/// What the names of rule files say: `x.yaml` holds rules, and `x.test.yaml` beside it their tests. Hidden files are neither.
public enum RuleFileName {
    private static let (ofRules, ofTests) = (".yaml", ".test.yaml")

    public static func isOfRules(_ name: String) -> Bool { !name.hasPrefix(".") && tests(of: name) != nil }

    public static func isOfTests(_ name: String) -> Bool { !name.hasPrefix(".") && rules(testedBy: name) != nil }

    /// Whether somebody may take a file of that name for one of rules or tests.
    public static func isMisspelt(_ name: String) -> Bool { name.hasSuffix(".yml") }

    /// `rules/x.test.yaml` for `rules/x.yaml`; nil for the path of anything but rules.
    public static func tests(of path: String) -> String? {
        path.hasSuffix(ofRules) && !path.hasSuffix(ofTests) ? path.dropLast(ofRules.count) + ofTests : nil
    }

    /// `rules/x.yaml` for `rules/x.test.yaml`; nil for the path of anything but tests.
    public static func rules(testedBy path: String) -> String? {
        path.hasSuffix(ofTests) ? path.dropLast(ofTests.count) + ofRules : nil
    }
}
