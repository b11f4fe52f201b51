import ForecacheModel
import ForecacheTestSupport
import Foundation
import Notifications
import Testing

@Suite struct CachingReportTests {
    private static let image = "16a1ce60-e5fb-4da6-891d-942309a20d50"
    private static let aggregate = "eb603dcb-c874-49e7-bafb-5bdbfdeb5b13"
    private static let request = "req-973a7040-9321-4c79-9450-d86620292f3b"

    private func decode(_ text: String) -> CachingReport? { CachingReport.decode(Array(text.utf8), limits: Limits()) }

    @Test func capturedProgressAndEndAreReports() throws {
        let reports = try Fixture.all().compactMap { CachingReport.decode($0.body, limits: Limits()) }
        let image = try #require(ImageID(Self.image))
        let expected: [CachingReport.News] = [
            .host("dcn0-compute-0.localdomain", cached: [image], failed: []),
            .host("dcn0-compute-1.localdomain", cached: [image], failed: []), .end,
        ]
        #expect(reports == expected.map { CachingReport(aggregate: Self.aggregate, request: Self.request, news: $0) })
    }

    /// The same words bare, as the driver `messaging` sends them.
    private func progress(_ data: String, type: String = "aggregate.cache_images.progress", request: String = #""req-1""#) -> String {
        #"{"event_type":"\#(type)","_context_request_id":\#(request),"payload":{"nova_object.name":"AggregateCachePayload","nova_object.data":{\#(data)}}}"#
    }

    @Test func whatIsNotThereIsNotBelieved() throws {
        let image = try #require(ImageID(Self.image))
        let data = #""uuid":"a","host":"h","images_cached":[],"images_failed":["\#(Self.image)",1,"no uuid",["x"]]"#
        #expect(decode(progress(data)) == CachingReport(aggregate: "a", request: "req-1", news: .host("h", cached: [], failed: [image])))
        #expect(decode(progress(data, request: "null"))?.request == nil)
        #expect(decode(progress(#""uuid":"a","host":"h""#))?.news == .host("h", cached: [], failed: []))
        #expect(decode(progress(#""uuid":"a","images_cached":[]"#)) == nil)
        #expect(decode(progress(#""host":"h""#)) == nil)
        #expect(decode(progress(#""uuid":"a","host":"\#(String(repeating: "x", count: 300))""#)) == nil)
        #expect(decode(progress(#""uuid":"a""#, type: "aggregate.cache_images.start")) == nil)
        #expect(decode(progress(#""uuid":"a""#, type: "instance.create.end")) == nil)
        #expect(decode(#"{"event_type":"aggregate.cache_images.end","payload":"words"}"#) == nil)
        #expect(decode(#"{"event_type":"aggregate.cache_images.end","payload":{"nova_object.data":[]}}"#) == nil)
        for text in ["", "{", "[]", #"{"oslo.message":"{"}"#, "\u{1}"] { #expect(decode(text) == nil) }
        #expect(CachingReport.decode([0x7B, 0xFF, 0x7D], limits: Limits()) == nil)
    }

    @Test(arguments: [3, 20_261_122] as [UInt64]) func mutatedMessagesNeverTrap(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let bodies = try Fixture.all().map(\.body).filter { CachingReport.decode($0, limits: Limits()) != nil }
        for round in 0..<4000 {
            var body = bodies[round % bodies.count]
            for _ in 0...Int.random(in: 0...3, using: &random) {
                body[Int.random(in: 0..<body.count, using: &random)] = Array("{}[]\",:\\0a".utf8).randomElement(using: &random) ?? 0
            }
            if case .host(let name, _, _)? = CachingReport.decode(body, limits: Limits())?.news { #expect(name.utf8.count <= 255) }
        }
    }
}
