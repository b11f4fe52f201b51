import ForecacheModel
import Foundation
import Testing

@testable import OpenStackAPI

@Suite struct ImageRecordTests {
    private let id = "07bc2424-753b-4f65-9da5-5a99d8383fe6"

    private func json(_ changes: [String: String] = [:], without: Set<String> = []) -> [UInt8] {
        var fields = [
            "id": "\"\(id)\"", "name": "\"ubuntu\"", "status": "\"active\"", "visibility": "\"public\"", "protected": "true",
            "os_hidden": "true",
            "checksum": "\"0123456789abcdef0123456789abcdef\"", "os_hash_algo": "\"sha512\"",
            "os_hash_value": "\"\(String(repeating: "aB", count: 64))\"",
            "owner": "\"f1c8\"", "size": "1048576", "virtual_size": "null", "container_format": "\"bare\"", "disk_format": "\"qcow2\"",
            "created_at": "\"2026-11-22T16:10:06Z\"", "updated_at": "\"2026-11-22T16:10:07Z\"", "tags": "[\"golden\", \"a\"]",
            "min_ram": "512", "min_disk": "3",
            "self": "\"/v2/images/x\"", "file": "\"/v2/images/x/file\"", "schema": "\"/v2/schemas/image\"", "stores": "\"ceph,file\"",
            "direct_url": "\"rbd://s\"",
            "locations": "[{\"url\": \"rbd://s\", \"metadata\": {}}]", "os_glance_importing_to_stores": "\"\"", "os_distro": "\"ubuntu\"",
            "precache": "\"dcn1\"",
            "newer_list": "[1]", "newer_null": "null",
        ]
        for (key, value) in changes { fields[key] = value }
        for key in without { fields[key] = nil }
        return Array("{\(fields.map { "\"\($0)\": \($1)" }.joined(separator: ", "))}".utf8)
    }

    private func refusal(_ body: [UInt8]) -> String? {
        do throws(ImageRecord.Refusal) {
            _ = try ImageRecord.read(body)
            return nil
        } catch { return error.description }
    }

    @Test func aWholeRecord() throws {
        let facts = try ImageRecord.read(json()).facts
        #expect(
            facts
                == ImageFacts(
                    id: ImageID(id)!, name: "ubuntu", status: .active, visibility: "public", owner: "f1c8", diskFormat: "qcow2",
                    containerFormat: "bare",
                    sizeBytes: 1_048_576, virtualSizeBytes: nil, minDiskGiB: 3, minRAMMiB: 512,
                    digest: Digest(.sha512, hex: String(repeating: "ab", count: 64)), isHidden: true, isProtected: true,
                    tags: ["a", "golden"],
                    properties: ["os_distro": "ubuntu", "precache": "dcn1"], createdAt: Date(timeIntervalSince1970: 1_795_363_806),
                    updatedAt: Date(timeIntervalSince1970: 1_795_363_807)))
    }

    @Test func nullsAreWhatTheySay() throws {
        let nulls = ["name", "owner", "size", "checksum", "os_hash_algo", "os_hash_value", "container_format", "disk_format"]
        let facts = try ImageRecord.read(json(Dictionary(uniqueKeysWithValues: nulls.map { ($0, "null") }))).facts
        #expect(facts.name == "")
        #expect([facts.owner, facts.containerFormat, facts.diskFormat] == [nil, nil, nil])
        #expect(facts.sizeBytes == nil)
        #expect(facts.digest == nil)
    }

    @Test func md5OnlyWhereNothingElseCanBeChecked() throws {
        let md5 = Digest(.md5, hex: "0123456789abcdef0123456789abcdef")
        for (changes, problem) in [
            (["os_hash_value": "null"], nil), (["os_hash_algo": "null"], nil),
            (["os_hash_algo": "\"blake2b\""], "os_hash_algo is 'blake2b', which is not known here"),
            (["os_hash_value": "\"zz\""], "os_hash_value is not the hexadecimal text of a sha512"),
        ] as [([String: String], String?)] {
            let record = try ImageRecord.read(json(changes))
            #expect(record.facts.digest == md5)
            #expect(record.digestProblem == problem)
        }
        let none = try ImageRecord.read(json(["os_hash_algo": "\"a\u{202e}b\"", "checksum": "null"]))
        #expect(none.facts.digest == nil)
        #expect(none.digestProblem == "os_hash_algo is 'a b', which is not known here")
        #expect(try ImageRecord.read(json()).digestProblem == nil)
    }

    @Test func wordsOfTheFutureAreNotActive() throws {
        #expect(try ImageRecord.read(json(["status": "\"hibernating\""])).facts.status == .unknown)
    }

    @Test(arguments: [
        ("id", "\"../../etc\""), ("id", "3"), ("size", "-1"), ("size", "1e300"), ("size", "\"9\""), ("size", "9223372036854775808"),
        ("name", "[]"), ("tags", "[1]"),
        ("tags", "{}"), ("created_at", "\"yesterday\""), ("created_at", "null"), ("protected", "\"yes\""), ("min_ram", "1.5"),
    ])
    func wrongKindsAreRefused(key: String, value: String) {
        #expect(refusal(json([key: value])) != nil)
    }

    @Test func boundsHold() {
        let long = "\"\(String(repeating: "x", count: ImageRecord.mostStringBytes + 1))\""
        #expect(refusal(json(["name": long]))?.contains("longer") == true)
        #expect(refusal(json(["precache": long]))?.contains("longer") == true)
        #expect(refusal(json(["tags": "[\(long)]"]))?.contains("longer") == true)
        #expect(refusal(json(["tags": "[\(Array(repeating: "\"t\"", count: 1001).joined(separator: ","))]"])) == "more than 1000 tags")
        #expect(refusal(json(Dictionary(uniqueKeysWithValues: (0...1000).map { ("p\($0)", "\"\"") }))) == "more than 1000 properties")
        let almost = "\"\(String(repeating: "x", count: ImageRecord.mostStringBytes - 1000))\""
        let four = Dictionary(uniqueKeysWithValues: (0..<4).map { ("p\($0)", almost) })
        #expect(refusal(json(four)) == nil)
        #expect(
            refusal(json(four.merging(["tags": "[\(almost)]"]) { $1 })) == "tags and properties are longer than 262144 bytes in all")
    }

    @Test func noInputCrashes() {
        var random = SystemRandomNumberGenerator()
        let whole = json()
        for _ in 0..<2000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            _ = refusal(Bool.random(using: &random) ? bytes : Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random))))
        }
        for text in ["", "null", "[]", "{}", String(repeating: "[", count: 100_000), String(repeating: "{\"a\":", count: 100_000)] {
            #expect(refusal(Array(text.utf8)) != nil)
        }
    }

    @Test func oneOddImageDoesNotHideTheOthers() throws {
        let good = String(decoding: json(), as: UTF8.self)
        let bad = String(decoding: json(["id": "7"]), as: UTF8.self)
        let page = try ImagePage.read(Array("{\"images\": [\(bad), \(good), 3, \(good)], \"next\": \"/v2/images?marker=x\"}".utf8))
        #expect(page.images.count == 2)
        #expect(page.refused == ["'images.Index 0.id' is not of the expected kind", "'images.Index 2' is not of the expected kind"])
        let odd = String(decoding: json(["size": "-1"]), as: UTF8.self)
        #expect(try ImagePage.read(Array("{\"images\": [\(odd)]}".utf8)).refused == ["image \(id): a size is negative"])
        #expect(page.next == "/v2/images?marker=x")
    }

    @Test(arguments: [
        ("2026-11-22T16:10:06Z", 1_795_363_806.0), ("2026-11-22T16:10:06.500000Z", 1_795_363_806.5), ("2026-11-22 16:10:06", 1_795_363_806),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T12:00:00+02:00", 1_709_200_800), ("1969-12-31T23:59:59Z", -1),
    ])
    func times(text: String, seconds: Double) {
        #expect(Timestamp.date(text)?.timeIntervalSince1970 == seconds)
    }

    @Test(arguments: [
        "", "2026-11-22", "2026-13-01T00:00:00Z", "2026-11-22T25:00:00Z", "2026-11-22T16:10:06X", "2026-11-22T16:10:06Zx",
        "２０２６-11-22T16:10:06Z",
    ])
    func notTimes(text: String) {
        #expect(Timestamp.date(text) == nil)
    }

    // MARK: - URLs

    @Test(arguments: [
        ("http://h:9292", "http://h:9292/v2"), ("http://h:9292/", "http://h:9292/v2"), ("http://h:9292/v2", "http://h:9292/v2"),
        ("http://h/image/v2/", "http://h/image/v2"),
        ("http://h/image", "http://h/image/v2"), ("http://h/v1", "http://h/v2"),
    ])
    func glanceRoots(given: String, expected: String) {
        #expect(ServiceURL.glanceV2(given) == expected)
    }

    @Test func origins() {
        #expect(ServiceURL.origin(of: "HTTP://Host/x") == "http://host:80")
        #expect(ServiceURL.origin(of: "https://host?x") == "https://host:443")
        #expect(ServiceURL.origin(of: "http://[::1]/x") == "http://[::1]:80")
        #expect(ServiceURL.origin(of: "http://[::1]:9292/x") == "http://[::1]:9292")
        #expect(ServiceURL.origin(of: "http://good\\@evil/") == nil)
        #expect(ServiceURL.withoutQuery("http://u:p@h/x?token=1#y") == "http://h/x")
        #expect(ServiceURL.queryValue("a b,\"c\"&é:%") == "a%20b%2C%22c%22%26%C3%A9%3A%25")
    }

    @Test func messagesAreOnePrintableLine() {
        #expect(Printable.text(Array("a\r\n\u{1b}[31m  b\u{202e}c\u{7}".utf8), limit: 200) == "a [31m b c")
        #expect(Printable.text([0xff, 0x41], limit: 200) == "\u{fffd}A")
    }
}
