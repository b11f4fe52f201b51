import ForecacheModel
import FoundationEssentials
import Inventory
import Rules
public import StrictYAML

/// `rules test`: the `*.test.yaml` files of an operator, read with what they name, and run.
public struct RuleTesting: Sendable {
    private let configuration: Configuration
    private let files: OperatorFiles
    private let environment: [String: String]

    /// `configuration` says how inventories are read that tests name.
    public init(configuration: Configuration, environment: [String: String]) {
        self.configuration = configuration
        self.environment = environment
        self.files = OperatorFiles(environment: environment)
    }

    /// `paths` are test files, rule files (then the tests beside them) or directories. Throws `.invalid` with every problem of every file, `.usage` where there
    /// is nothing to run or `pattern` is no regular expression.
    public func run(_ paths: [String], matching pattern: String?) throws(Refusal) -> RuleTestReport {
        let filter = try pattern.map { pattern throws(Refusal) in
            do throws(Problem) { return try RuleTestFilter(pattern) } catch { throw .usage("--run: \(error.message)") }
        }
        var problems = Problems()
        let suites = testFiles(paths, &problems).compactMap { suite($0, &problems) }
        var rules = suites.flatMap { $0.rules.rules }
        for path in paths where files.isDirectory(path) {
            let (more, found, _) = Setup.readRules(at: [path], environment: environment)
            rules += more.rules
            problems.add(contentsOf: found)
        }
        guard problems.isEmpty else { throw .invalid(Problems(Array(Set(problems.list)))) }
        guard !suites.isEmpty else { throw .usage("no *.test.yaml file in \(paths.joined(separator: ", "))") }
        let results = suites.map { suite in
            (suite, suite.file.tests.filter { filter?.admits($0) ?? true }.map { $0.run(suite.rules, fleet: suite.fleet) })
        }
        guard results.contains(where: { !$0.1.isEmpty }) else { throw .usage("--run: no test has a name like that") }
        let matched = Set(results.flatMap { suite, results in suite.places(ofRules: results.flatMap(\.matched)).map(spelt) })
        return RuleTestReport(results.flatMap(\.1), neverMatched: filter == nil ? unmatched(rules, matched) : [])
    }

    private struct Suite {
        let file: RuleTestFile
        let rules: RuleSet
        let fleet: Fleet

        func places(ofRules names: [String]) -> [Place] {
            let names = Set(names)
            return rules.rules.filter { names.contains($0.name) }.map { Place(file: $0.file, line: $0.line) }
        }
    }

    /// A file may be read under `rules/x.yaml` and `./rules/x.yaml`: its rules are the same.
    private func spelt(_ place: Place) -> Place { Place(file: path(place.file, from: "."), line: place.line) }

    private func unmatched(_ rules: [Rule], _ matched: Set<Place>) -> [RuleTestReport.Unmatched] {
        var seen = matched
        return rules.compactMap { rule in
            guard seen.insert(spelt(Place(file: rule.file, line: rule.line))).inserted else { return nil }
            return RuleTestReport.Unmatched(rule: rule.name, file: rule.file, line: rule.line)
        }.sorted { ($0.file, $0.line) < ($1.file, $1.line) }
    }

    private func testFiles(_ paths: [String], _ problems: inout Problems) -> [OperatorFiles.File] {
        var seen: Set<String> = []
        var texts: [OperatorFiles.File] = []
        for path in paths {
            let tests = files.isDirectory(path) ? path : RuleFileName.tests(of: path) ?? path
            texts += files.texts(at: tests, where: RuleFileName.isOfTests, &problems)
        }
        return texts.filter { seen.insert($0.path).inserted }
    }

    private func suite(_ text: OperatorFiles.File, _ problems: inout Problems) -> Suite? {
        guard let file = RuleTestFile.parse(text.text, path: text.path, &problems) else { return nil }
        let directory = OperatorFiles.parent(of: text.path)
        let (rules, found, _) = Setup.readRules(at: file.rules.map { path($0.text, from: directory) }, environment: environment)
        problems.add(contentsOf: found)
        guard found.isEmpty else { return nil }
        let fleet: Fleet
        switch file.fleet {
        case .literal(let literal): fleet = literal
        case .inventory(let paths, let place):
            let before = problems.list.count
            var configuration = configuration
            configuration.inventory = paths.map { path($0, from: directory) }
            fleet = Setup.readInventory(configuration, hasAllSites: false, files, &problems)?.fleet ?? Fleet(sites: [])
            if fleet.hosts.isEmpty, problems.list.count == before { problems.add(place, "the inventory has no compute host") }
        }
        for test in file.tests { problems.add(contentsOf: test.problems(rules, fleet: fleet)) }
        return Suite(file: file, rules: rules, fleet: fleet)
    }

    /// One spelling for one file, so that its rules are told apart by place.
    private func path(_ path: String, from directory: String) -> String { files.plain(files.absolute(path, from: directory)) }
}

/// `rules test --output json`.
public struct RuleTestReport: Encodable, Sendable {
    public struct Test: Encodable, Sendable {
        public var file: String
        public var line: Int
        public var name: String
        public var passed: Bool
        public var differences: [String]
    }

    public struct Unmatched: Encodable, Sendable {
        public var rule: String
        public var file: String
        public var line: Int
    }

    public struct Problem: Encodable, Sendable {
        public var file: String
        public var line: Int
        public var column: Int
        public var message: String
    }

    public var tests: [Test] = []
    /// Rules that matched no test's image; empty where only some tests were run.
    public var neverMatched: [Unmatched] = []
    public var problems: [Problem] = []
    public var summary: [String: Int]

    init(_ results: [RuleTestResult], neverMatched: [Unmatched]) {
        tests = results.map {
            Test(
                file: $0.test.place.file, line: $0.test.place.line, name: $0.test.name, passed: $0.passed, differences: $0.differences)
        }
        self.neverMatched = neverMatched
        summary = ["passed": results.count(where: \.passed), "failed": results.count { !$0.passed }]
    }

    /// Invalid files: nothing was run.
    public init(_ problems: Problems) {
        self.problems = problems.list.sorted().map {
            Problem(file: $0.place.file, line: $0.place.line, column: $0.place.column, message: $0.message)
        }
        summary = ["passed": 0, "failed": 0]
    }
}
