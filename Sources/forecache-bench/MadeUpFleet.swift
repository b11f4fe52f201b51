import ForecacheModel
import Rules
import StrictYAML

/// Sites, hosts and rules in any number.
enum MadeUpFleet {
    static func fleet(sites: Int, hosts: Int) -> Fleet {
        Fleet(
            sites: (0..<sites).map { index in
                let site = SiteName("dcn\(index)")
                let hosts = (0..<hosts).map {
                    Host(name: HostName("\(site)-compute-\($0)"), site: site, role: "Compute", address: "127.0.0.1")
                }
                return Site(name: site, hosts: hosts)
            })
    }

    /// Rules written in the rule language, one item of the list a line.
    static func ruleSet(_ items: String) -> RuleSet {
        let (rules, problems) = RuleSet.parse([(path: "bench.yaml", text: "apiVersion: forecache/v1\nrules:\n\(items)\n")])
        precondition(problems.isEmpty, "our own rules: \(problems)")
        return rules
    }
}
