import ForecacheModel
import ForecacheTestSupport
import Foundation
import SQLiteLedger
import Testing

@Suite struct PageTests {
    @Test func namesOfTenantsAreTextAndNothingElse() async throws {
        try await RunningServer.with { server in
            let hostile = "<script>alert(1)</script>\"'&\u{202e}\u{1b}[31m<img src=x onerror=alert(2)>"
            try await server.ledger.want(Samples.imageID(1), name: hostile, rule: "</td><b>")
            let answer = try await server.get("/?site=%22%3E%3Cscript%3E")
            #expect(answer.body.contains("value=\"&quot;&gt;&lt;script&gt;\""))
            let page = try await server.get("/").body
            #expect(
                page.contains(
                    "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{FFFD}\u{FFFD}[31m&lt;img src=x"))
            #expect(page.contains("&lt;/td&gt;&lt;b&gt;"))
            #expect(page.components(separatedBy: "<script").count == 2, "its own script is the only one")
            #expect(!page.contains("<img") && !page.contains("<b>") && !page.contains("\u{202e}"))
        }
    }

    @Test func thePolicyAllowsItsOwnScriptOnly() async throws {
        try await RunningServer.with { server in
            let (first, second) = (try await server.get("/"), try await server.get("/"))
            let policy = try #require(first.headers["content-security-policy"])
            let nonce = try #require(
                policy.components(separatedBy: "'nonce-").dropFirst().first?.prefix { $0 != "'" })
            #expect(nonce.count == 32)
            #expect(
                first.body.contains("<script nonce=\"\(nonce)\">")
                    && first.body.contains("<style nonce=\"\(nonce)\">"))
            #expect(policy.hasPrefix("default-src 'none'; ") && !policy.contains("unsafe"))
            #expect(second.headers["content-security-policy"] != policy, "a nonce is used once")
        }
    }

    @Test func manyPlacementsAreManyPages() async throws {
        try await RunningServer.with { server in
            let hosts = (0..<400).map { HostName("h\($0)") }
            for number in 0..<5 {
                try await server.ledger.want(Samples.imageID(number), name: "image \(number)", on: hosts)
            }
            let first = try await server.get("/").body
            #expect(first.components(separatedBy: "<tr><td").count - 1 == 1200)
            #expect(first.contains("<a href=\"/?after=\(Samples.imageID(2))\">more</a>"))
            let second = try await server.get("/?after=\(Samples.imageID(2))").body
            #expect(second.components(separatedBy: "<tr><td").count - 1 == 800)
            #expect(!second.contains(">more<"))
        }
    }
}
