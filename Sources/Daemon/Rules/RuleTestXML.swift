extension RuleTestReport {
    /// JUnit's XML, as CI systems read it: a suite a file, and rules that no test matches as a system-out line.
    public var junit: String {
        var files: [String] = []
        for test in tests where files.last != test.file { files.append(test.file) }
        var lines = ["<?xml version=\"1.0\" encoding=\"UTF-8\"?>"]
        let failures = tests.count { !$0.passed }
        lines.append(
            "<testsuites name=\"forecache rules\" tests=\"\(tests.count + problems.count)\" failures=\"\(failures)\" errors=\"\(problems.count)\">"
        )
        for file in files { lines += suite(of: file) }
        if !problems.isEmpty { lines += suiteOfProblems }
        if !neverMatched.isEmpty {
            lines.append("  <testsuite name=\"coverage\" tests=\"0\" failures=\"0\" errors=\"0\">")
            let rules = neverMatched.map { "never matched by a test: rule \($0.rule) (\($0.file):\($0.line))" }.joined(separator: "\n")
            lines.append("    <system-out>\(rules.xml)</system-out>")
            lines.append("  </testsuite>")
        }
        lines.append("</testsuites>")
        return lines.joined(separator: "\n")
    }

    private func suite(of file: String) -> [String] {
        let tests = tests.filter { $0.file == file }
        let name = file.xml
        var lines = ["  <testsuite name=\"\(name)\" tests=\"\(tests.count)\" failures=\"\(tests.count { !$0.passed })\" errors=\"0\">"]
        for test in tests {
            let head = "    <testcase classname=\"\(name)\" name=\"\(test.name.xml)\" file=\"\(name)\" line=\"\(test.line)\""
            guard !test.passed else {
                lines.append("\(head)/>")
                continue
            }
            lines.append("\(head)>")
            lines.append(
                "      <failure message=\"\((test.differences.first ?? "").xml)\">\(test.differences.joined(separator: "\n").xml)</failure>"
            )
            lines.append("    </testcase>")
        }
        return lines + ["  </testsuite>"]
    }

    /// Files that could not be read: nothing was run.
    private var suiteOfProblems: [String] {
        var lines = ["  <testsuite name=\"files\" tests=\"\(problems.count)\" failures=\"0\" errors=\"\(problems.count)\">"]
        for problem in problems {
            let place = "\(problem.file):\(problem.line):\(problem.column)".xml
            lines.append("    <testcase classname=\"\(problem.file.xml)\" name=\"\(place)\">")
            lines.append("      <error message=\"\(problem.message.xml)\"/>")
            lines.append("    </testcase>")
        }
        return lines + ["  </testsuite>"]
    }
}

extension String {
    /// As text or as an attribute; what XML 1.0 cannot hold at all is replaced.
    fileprivate var xml: String {
        var escaped = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "\n": escaped += "&#10;"
            case "\u{20}"..."\u{d7ff}", "\u{e000}"..."\u{fffd}", "\u{10000}"..."\u{10ffff}": escaped.unicodeScalars.append(scalar)
            default: escaped += "\u{fffd}"
            }
        }
        return escaped
    }
}
