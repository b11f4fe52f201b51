import ForecacheModel
import Foundation
import Testing

@testable import OpenStackAPI

/// The client against a server that misbehaves. One after the other: each test has a server of its own.
@Suite(.serialized, .timeLimit(.minutes(4))) struct HTTPClientTests {
    private func request(_ url: String, most: Int = 1 << 20) -> HTTPRequest {
        HTTPRequest(service: "Glance", url: url, mostAnswerBytes: most)
    }

    private func failure(_ request: HTTPRequest, _ client: HTTPClient) async -> Failure? {
        do throws(Failure) {
            let response = try await client.send(request)
            Issue.record("answered \(response.status)")
            return nil
        } catch { return error }
    }

    private func seen(_ server: FaultServer) async throws -> [FaultServer.Seen] {
        let response = try await HTTPClient().send(request(server.origin + "/__seen"))
        return try JSONDecoder().decode([FaultServer.Seen].self, from: Data(response.body))
    }

    @Test func sendsAndReceivesOnOneConnection() async throws {
        let server = try FaultServer([
            "POST /a": [.init(status: 201, headers: ["X-Subject-Token": "t"], body: "yes")], "GET /b": [.init(body: "é")],
        ])
        let client = try HTTPClient()
        var post = request(server.origin + "/a?q=1")
        post.method = .post
        post.body = Array("{\"x\": \"\0é\"}".utf8)
        post.headers = [.init("X-Auth-Token", Secret("tok"))]
        let first = try await client.send(post)
        #expect(first.status == 201)
        #expect(first.header("x-subject-token") == "t")
        #expect(String(decoding: try await client.send(request(server.origin + "/b")).body, as: UTF8.self) == "é")
        let asked = try await seen(server)
        #expect(asked.map(\.path) == ["/a?q=1", "/b"])
        #expect(Array(asked[0].body.unicodeScalars.map { UInt8($0.value) }) == post.body)
        #expect(asked[0].headers["user-agent"] == "forecache")
        #expect(asked[0].headers["x-auth-token"] == "tok")
        #expect(asked[0].port == asked[1].port)
    }

    @Test func anEmptyBodyIsSentAsOne() async throws {
        let server = try FaultServer(["POST /a": [.init()]])
        var post = request(server.origin + "/a")
        post.method = .post
        post.body = []
        #expect(try await HTTPClient().send(post).status == 200)
        #expect(try await seen(server)[0].headers["content-length"] == "0")
    }

    @Test func aServerThatSaysNothingIsGivenUp() async throws {
        let server = try FaultServer(["GET /hang": [.init(hang: true)], "GET /stall": [.init(body: "abc", length: 100, stall: true)]])
        let client = try HTTPClient(deadlines: HTTPDeadlines(stallSeconds: 1))
        for path in ["/hang", "/stall"] {
            let error = await failure(request(server.origin + path), client)
            #expect(error?.kind == .retriable)
            #expect(
                error?.description.contains("Glance at \(server.origin) did not answer in time") == true, "\(String(describing: error))")
            #expect(error?.description.contains("GET \(server.origin)\(path)") == true)
        }
    }

    @Test func truncatedAndBrokenAnswersAreRetriable() async throws {
        let server = try FaultServer(["GET /short": [.init(body: "abc", length: 1000)], "GET /close": [.init(close: true)]])
        let client = try HTTPClient()
        for path in ["/short", "/close"] {
            let error = await failure(request(server.origin + path), client)
            #expect(error?.kind == .retriable)
            #expect(error?.description.contains("Glance at \(server.origin) broke off") == true, "\(String(describing: error))")
        }
    }

    @Test func answersAreBoundedWhetherOrNotTheyTellTheirLength() async throws {
        let server = try FaultServer([
            "GET /told": [.init(body: String(repeating: "x", count: 1000), repeat: 100)],
            "GET /untold": [
                .init(
                    headers: ["Transfer-Encoding": "chunked"], body: "400\r\n" + String(repeating: "x", count: 1024) + "\r\n", repeat: 100)
            ],
            "GET /header": [
                .init(headers: Dictionary(uniqueKeysWithValues: (0..<60).map { ("X-\($0)", String(repeating: "h", count: 8000)) }))
            ],
        ])
        let client = try HTTPClient()
        for path in ["/told", "/untold", "/header"] {
            let error = await failure(request(server.origin + path, most: 5000), client)
            #expect(error?.kind == .permanent)
            #expect(error?.about == (path == "/header" ? nil : .answer), "a narrower question does not shorten the header")
            #expect(error?.description.contains("Glance at \(server.origin)") == true, "\(path): \(String(describing: error))")
        }
    }

    @Test func nobodyListening() async throws {
        let gone = try FaultServer([:]).origin
        let error = await failure(request(gone + "/x?secret=1"), try HTTPClient())
        #expect(error?.kind == .retriable)
        #expect(error?.description.contains("Glance at \(gone) is not reachable; is Glance up") == true, "\(String(describing: error))")
        #expect(error?.description.contains("secret") == false)
        let unknown = await failure(request("http://no-such-host.invalid:9292/"), try HTTPClient())
        #expect(unknown?.kind == .retriable)
        #expect(unknown?.description.contains("no-such-host.invalid:9292") == true)
    }

    @Test func redirectsStayAtHome() async throws {
        let away = try FaultServer(["GET /x": [.init(body: "stolen")]])
        let server = try FaultServer([
            "GET /1": [.init(status: 302, headers: ["Location": "/2"])],
            "GET /2": [.init(status: 301, headers: ["Location": "{origin}/3"])],
            "GET /3": [.init(body: "there")], "GET /away": [.init(status: 302, headers: ["Location": away.origin + "/x"])],
            "GET /odd": [.init(status: 302, headers: ["Location": "//127.0.0.1/x"])], "GET /none": [.init(status: 302)],
            "GET /file": [.init(status: 302, headers: ["Location": "file:///etc/passwd"])],
            "GET /loop": [.init(status: 307, headers: ["Location": "/loop"])], "POST /p": [.init(status: 307, headers: ["Location": "/3"])],
            "GET /300": [.init(status: 300, body: "choices")],
        ])
        let client = try HTTPClient()
        #expect(String(decoding: try await client.send(request(server.origin + "/1")).body, as: UTF8.self) == "there")
        #expect(try await client.send(request(server.origin + "/300")).status == 300)
        let error = await failure(request(server.origin + "/away"), client)
        #expect(error?.kind == .permanent)
        #expect(
            error?.description.contains("\(server.origin)/away redirects (302) to \(away.origin)/x") == true, "\(String(describing: error))"
        )
        for path in ["/odd", "/none", "/loop", "/file"] {
            #expect(await failure(request(server.origin + path), client)?.kind == .permanent)
        }
        var post = request(server.origin + "/p")
        post.method = .post
        post.body = [1]
        #expect(await failure(post, client)?.kind == .permanent)
        #expect(try await seen(away).isEmpty)
    }

    @Test(arguments: ["a\r\nX: y", "a\nb", "a\0b", "a\u{7f}"])
    func headersCannotBeSmuggledIn(value: String) async throws {
        var bad = request("http://127.0.0.1:9/")
        bad.headers = [.init("X-Auth-Token", Secret(value))]
        #expect(await failure(bad, try HTTPClient())?.description.contains("not sent") == true)
        bad.headers = [.init(value, "x")]
        #expect(await failure(bad, try HTTPClient())?.kind == .permanent)
    }

    @Test(arguments: ["file:///etc/passwd", "ftp://127.0.0.1/", "http://a b/", "gopher://x", "http://u:p@127.0.0.1/", ""])
    func otherURLsAreRefused(url: String) async throws {
        #expect(await failure(request(url), try HTTPClient())?.kind == .permanent)
    }

    @Test func cancellationEndsAHangingRequest() async throws {
        let server = try FaultServer(["GET /hang": [.init(hang: true)]])
        let client = try HTTPClient()
        let hanging = request(server.origin + "/hang")
        let task = Task { await failure(hanging, client) }
        while try await seen(server).isEmpty { await Task.yield() }
        let began = ContinuousClock.now
        task.cancel()
        #expect(await task.value?.kind == .cancelled)
        #expect(ContinuousClock.now - began < .seconds(10))
        let before = Task { await failure(hanging, client) }
        before.cancel()
        #expect(await before.value?.kind == .cancelled)
    }

    @Test func manyAtOnceAndManyCancelled() async throws {
        let server = try FaultServer(["GET /ok": [.init(body: "ok")], "GET /hang": [.init(hang: true)]])
        let client = try HTTPClient()
        let ok = request(server.origin + "/ok")
        let hang = request(server.origin + "/hang")
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<200 { group.addTask { (try? await client.send(ok).status) == 200 } }
            #expect(await group.allSatisfy { $0 })
        }
        await withTaskGroup(of: Failure.Kind?.self) { group in
            for _ in 0..<50 { group.addTask { await failure(hang, client)?.kind } }
            group.cancelAll()
            #expect(await group.allSatisfy { $0 == .cancelled })
        }
        #expect(try await client.send(ok).status == 200)
    }

    @Test func clientsComeAndGo() async throws {
        let threads = { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count }
        let before = try threads()
        for _ in 0..<100 { _ = try HTTPClient() }
        #expect(try threads() <= before + 20)
    }

    // MARK: - TLS

    @Test func certificatesAreCheckedUnlessTheOperatorSaysNot() async throws {
        let ca = try TestCA()
        let server = try FaultServer(["GET /": [.init(body: "ok")]], tls: .init(cert: ca.path("server.pem"), key: ca.path("server.key")))
        let root = request(server.origin + "/")
        let error = await failure(root, try HTTPClient())
        #expect(error?.kind == .permanent)
        #expect(error?.description.contains("the certificate of Glance at \(server.origin) is not trusted; check OS_CACERT") == true)
        #expect(try await HTTPClient(tls: TLSOptions(caFile: ca.path("ca.pem"))).send(root).status == 200)
        #expect(try await HTTPClient(tls: TLSOptions(isInsecure: true)).send(root).status == 200)
        let otherName = request(server.origin.replacing("127.0.0.1", with: "localhost") + "/")
        #expect(await failure(otherName, try HTTPClient(tls: TLSOptions(caFile: ca.path("ca.pem"))))?.kind == .permanent)
        #expect(await failure(root, try HTTPClient(tls: TLSOptions(caFile: "/no/such.pem")))?.kind == .permanent)
        let plain = request(server.origin.replacing("https", with: "http") + "/")
        #expect(await failure(plain, try HTTPClient())?.kind == .retriable)
    }

    @Test func clientCertificates() async throws {
        let ca = try TestCA()
        let tls = FaultServer.TLS(cert: ca.path("server.pem"), key: ca.path("server.key"), clientCA: ca.path("ca.pem"))
        let server = try FaultServer(["GET /": [.init(body: "ok")]], tls: tls)
        let root = request(server.origin + "/")
        let ours = TLSOptions(caFile: ca.path("ca.pem"), certificateFile: ca.path("client.pem"), keyFile: ca.path("client.key"))
        #expect(try await HTTPClient(tls: ours).send(root).status == 200)
        #expect(await failure(root, try HTTPClient(tls: TLSOptions(caFile: ca.path("ca.pem")))) != nil)
        let missing = TLSOptions(caFile: ca.path("ca.pem"), certificateFile: "/no/such.pem")
        #expect(await failure(root, try HTTPClient(tls: missing))?.description.contains("OS_CERT") == true)
    }
}
