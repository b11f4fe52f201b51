import ForecacheModel
import ForecacheTestSupport
import Foundation
import Notifications
import Testing

@Suite struct NotificationDecoderTests {
    // MARK: - Captured messages

    @Test func capturedMessagesAreUnderstoodAsTheirDecodedForm() throws {
        let fixtures = try Fixture.all()
        #expect(fixtures.count == 24)
        for fixture in fixtures {
            let decoded = NotificationDecoder.decode(fixture.body, limits: Limits())
            let payload = fixture.decoded["payload"] as? [String: Any] ?? [:]
            let type = try #require(fixture.decoded["event_type"] as? String)
            if type.hasPrefix("image."), type != "image.send" {
                let image = try #require((payload["id"] ?? payload["image_id"]) as? String)
                let event = ImageEvent(
                    image: try #require(ImageID(image)), type: type, messageID: fixture.decoded["message_id"] as? String,
                    publisher: fixture.decoded["publisher_id"] as? String)
                #expect(decoded == .image(event), "\(fixture.name)")
            } else {
                #expect(decoded == .irrelevant(type: type), "\(fixture.name)")
            }
        }
    }

    @Test func theBareFormSaysTheSameAsTheEnvelope() throws {
        for fixture in try Fixture.all() where fixture.isEnveloped {
            let outer = try #require(try JSONSerialization.jsonObject(with: Data(fixture.body)) as? [String: Any])
            let inner = Array(try #require(outer["oslo.message"] as? String).utf8)
            #expect(NotificationDecoder.decode(inner, limits: Limits()) == NotificationDecoder.decode(fixture.body, limits: Limits()))
        }
    }

    // MARK: - Made messages

    private static let id = "fe2168c3-ba9d-4df2-a74c-ca4bc7282c5f"
    private static let other = "8ae24326-3be8-45c2-aa18-202b8273e3fd"

    private func decode(_ text: String) -> DecodedNotification { NotificationDecoder.decode(Array(text.utf8), limits: Limits()) }
    private func image(_ type: String, messageID: String? = nil) -> DecodedNotification {
        .image(ImageEvent(image: ImageID(Self.id)!, type: type, messageID: messageID))
    }

    @Test func whatNamesAnImage() {
        let id = Self.id
        #expect(decode(#"{"event_type":"image.update","payload":{"id":"\#(id)"}}"#) == image("image.update"))
        #expect(decode(#" { "payload" : { "id" : "\#(id.uppercased())" } , "event_type" : "image.update" } "#) == image("image.update"))
        #expect(
            decode(#"{"event_type":"image.update","payload":{"id":"\#(id)"},"_unique_id":"u"}"#) == image("image.update", messageID: "u"))
        // Names from deeper down are not taken for the image's or the event's own.
        #expect(
            decode(
                #"{"event_type":"image.update","x":{"event_type":"no","payload":1},"payload":{"properties":{"id":"p"},"a":[{"id":"q"}],"id":"\#(id)","z":{"id":"r"}}}"#
            )
                == image("image.update"))
        // Escapes in keys and values; numbers of every form; of a repeated key the last counts.
        #expect(
            decode(#"{"e\u0076ent_type":"image\u002eupdate","payload":{"id":"\#(id)","n":[-0.5e+3,0,1E9,NaN,-Infinity]}}"#)
                == image("image.update"))
        #expect(decode(#"{"event_type":"x","event_type":"image.update","payload":{"id":"no","id":"\#(id)"}}"#) == image("image.update"))
        // An emoji as Python writes it, and half of one.
        #expect(decode(#"{"event_type":"image.update","payload":{"id":"\#(id)","name":"\ud83d\ude00 \ud83d"}}"#) == image("image.update"))
    }

    @Test func aFailedUploadNamesItsImageInWords() {
        let type = "image.upload"
        #expect(
            decode(#"{"event_type":"\#(type)","payload":"Error in store configuration. Image \#(Self.id) could not be saved"}"#)
                == image(type))
        #expect(decode(#"{"event_type":"\#(type)","payload":"image \#(Self.id): \"\#(Self.id)\""}"#) == image(type))
        #expect(decode(#"{"event_type":"\#(type)","payload":"\#(Self.id) or \#(Self.other)"}"#) == .irrelevant(type: type))
        #expect(decode(#"{"event_type":"\#(type)","payload":"No space left on device"}"#) == .irrelevant(type: type))
    }

    @Test func othersAreIrrelevant() {
        #expect(
            decode(#"{"event_type":"compute.instance.create.end","payload":{"id":"\#(Self.id)"}}"#)
                == .irrelevant(type: "compute.instance.create.end"))
        #expect(decode(#"{"event_type":"image.send","payload":{"image_id":"\#(Self.id)"}}"#) == .irrelevant(type: "image.send"))
        #expect(decode(#"{"event_type":"imagery","payload":[]}"#) == .irrelevant(type: "imagery"))
    }

    @Test(arguments: [
        ("", "JSON object"), ("[]", "JSON object"), ("null", "JSON object"), ("{}", "event_type"), ("{", "expected"),
        ("{}x", "after the JSON object"),
        (#"{"event_type":1}"#, "event_type"), (#"{"event_type":""}"#, "event_type"), (#"{"event_type":"a\nb"}"#, "event_type"),
        (#"{"event_type":"image.update"}"#, "without a payload"), (#"{"event_type":"image.update","payload":null}"#, "without a payload"),
        (#"{"event_type":"image.update","payload":{}}"#, "names no image"),
        (#"{"event_type":"image.update","payload":{"id":7}}"#, "names no image"),
        (#"{"event_type":"image.update","payload":{"id":"../../etc"}}"#, "not a UUID"), (#"{"event_type":"x",}"#, "expected"),
        (#"{"a":01}"#, "expected"),
        (#"{"a":"\x"}"#, "escape"), (#"{"a":"\u12g4"}"#, "escape"), (#"{"a":tru}"#, "JSON value"), (#"{"a":-}"#, "JSON value"),
        ("{\"a\":\"\u{1}\"}", "control"),
        (#"{"oslo.version":"3.0","oslo.message":"{}"}"#, "version"), (#"{"oslo.version":"2.0","oslo.message":"{"}"#, "expected"),
        (#"{"oslo.version":"2.0","oslo.message":{"event_type":"image.send"}}"#, "event_type"), (#"{"oslo.message":"{}"}"#, "event_type"),
    ])
    func whatCannotBeUnderstood(text: String, reason: String) {
        guard case .odd(let said) = decode(text) else {
            Issue.record("\(text) was understood")
            return
        }
        #expect(said.contains(reason))
    }

    @Test func bounds() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(decode("{\"a\":\(deep)") == .odd(reason: "more than 64 levels at byte 68"))
        #expect(
            decode("{\"oslo.version\":\"2.0\",\"oslo.message\":\"{\\\"a\\\":\(deep)\"}") == .odd(reason: "more than 64 levels at byte 68"))
        #expect(
            decode("{\"event_type\":\"x\",\"a\":\(String(repeating: "[", count: 63))\(String(repeating: "]", count: 63))}")
                == .irrelevant(type: "x"))
        var limits = Limits()
        limits.messageBytes = 10
        #expect(NotificationDecoder.decode(Array(repeating: 0x20, count: 11), limits: limits) == .odd(reason: "larger than 10 bytes"))
        #expect(NotificationDecoder.decode([0x7B, 0xFF, 0x7D], limits: Limits()) == .odd(reason: "not UTF-8"))
        #expect(decode(#"{"event_type":"\#(String(repeating: "x", count: 256))"}"#) == .odd(reason: "no event_type"))
    }

    // MARK: - Any bytes

    /// Mutated captures never trap, are either refused or JSON to Foundation too, and what comes out keeps to its bounds.
    @Test(arguments: [1, 20_260_801] as [UInt64]) func mutatedMessagesNeverTrap(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let bodies = try Fixture.all().map(\.body)
        for round in 0..<4000 {
            var body = bodies[round % bodies.count]
            for _ in 0...Int.random(in: 0...3, using: &random) { mutate(&body, using: &random) }
            switch NotificationDecoder.decode(body, limits: Limits()) {
            case .odd(let reason): #expect(!reason.isEmpty)
            case .irrelevant(let type): #expect(type.utf8.count <= 255)
            case .image(let event):
                #expect(event.type.hasPrefix("image.") && event.type.utf8.count <= 255 && (event.messageID ?? "").utf8.count <= 255)
                // Our grammar is no laxer than Foundation's, but for Python's two words, which no mutation writes.
                #expect(throws: Never.self, "seed \(seed), round \(round)") { try JSONSerialization.jsonObject(with: Data(body)) }
            }
        }
    }

    private func mutate(_ body: inout [UInt8], using random: inout SplitMix64) {
        guard !body.isEmpty else { return }
        let at = Int.random(in: 0..<body.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: body[at] = UInt8.random(in: .min ... .max, using: &random)
        case 1: body.removeSubrange(at...)
        case 2: body.remove(at: at)
        case 3: body.insert(Array("{}[]\",:\\u0-e".utf8).randomElement(using: &random) ?? 0, at: at)
        default:
            let from = Int.random(in: 0..<body.count, using: &random)
            body.insert(contentsOf: body[from..<min(body.count, from + 40)], at: at)
        }
    }

    /// A floor far below what it does (a debug build on a busy machine included), so that a slip into quadratic work shows.
    @Test func aLargeMessageTakesLinearTime() {
        let filler = String(repeating: #"\\\"a\\u00e9\\\","#, count: 60_000)
        let text =
            #"{"oslo.version":"2.0","oslo.message":"{\"event_type\":\"image.update\",\"payload\":{\"id\":\"\#(Self.id)\",\"x\":[\#(filler.replacing(#"\\\""#, with: #"\""#))1]}}"}"#
        let began = ContinuousClock.now
        #expect(decode(text) == image("image.update"))
        #expect(ContinuousClock.now - began < .seconds(10))
    }
}

/// A captured message: the body as it was on the wire, and what Python made of it.
struct Fixture {
    var name: String
    var body: [UInt8]
    var isEnveloped: Bool
    var decoded: [String: Any]

    static func all() throws -> [Fixture] {
        let folder = try #require(Bundle.module.url(forResource: "Fixtures", withExtension: nil))
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".json") }.sorted()
        return try names.map { name in
            let file = try JSONSerialization.jsonObject(with: Data(contentsOf: folder.appendingPathComponent(name)))
            let record = try #require(file as? [String: Any])
            return Fixture(
                name: name, body: Array(try #require(record["body"] as? String).utf8),
                isEnveloped: try #require(record["enveloped"] as? Bool),
                decoded: try #require(record["decoded"] as? [String: Any]))
        }
    }
}
