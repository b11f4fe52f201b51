import Engine
import ForecacheModel
import FoundationEssentials
import Planning
import Testing

@testable import Daemon

/// The contract's JSON, to the letter.
@Suite struct ReportTests {
    private let image: ImageID
    private let facts: ImageFacts

    init() throws {
        image = try #require(ImageID("07bc2424-753b-4f65-9da5-5a99d8383fe6"))
        facts = ImageFacts(id: image, name: "image_0", status: .active, sizeBytes: 512)
    }

    @Test func whatOthersWroteIsShownAndNotObeyed() {
        #expect("golden ~ é 日本".visible == "golden ~ é 日本")
        #expect("a\u{1b}[2J\nb\u{7f}".visible == "a\u{FFFD}[2J\u{FFFD}b\u{FFFD}")
        #expect("a\u{202e}b\u{2028}ü\u{E000}".visible == "a\u{FFFD}b\u{FFFD}ü\u{FFFD}")
    }

    @Test func outcomes() throws {
        let digest = try #require(Digest(.md5, hex: "d41d8cd98f00b204e9800998ecf8427e"))
        let report = OutcomeReport([
            Outcome(
                image: image, site: "dcn1", host: "b", kind: .cached, via: .proxy, source: "a", bytes: 512, seconds: 1.23456,
                digest: digest),
            Outcome(image: image, site: "dcn1", host: "a", kind: .failed, reason: "no way", failure: .permanent),
        ])
        #expect(
            try ContractJSON.text(report) == """
                {
                  "outcomes" : [
                    {
                      "bytes" : 0,
                      "digest" : null,
                      "host" : "a",
                      "image" : "07bc2424-753b-4f65-9da5-5a99d8383fe6",
                      "outcome" : "failed",
                      "reason" : "no way",
                      "seconds" : 0,
                      "site" : "dcn1",
                      "source" : null,
                      "via" : null
                    },
                    {
                      "bytes" : 512,
                      "digest" : "md5:d41d8cd98f00b204e9800998ecf8427e",
                      "host" : "b",
                      "image" : "07bc2424-753b-4f65-9da5-5a99d8383fe6",
                      "outcome" : "cached",
                      "reason" : null,
                      "seconds" : 1.235,
                      "site" : "dcn1",
                      "source" : "a",
                      "via" : "proxy"
                    }
                  ],
                  "summary" : {
                    "cached" : 1,
                    "existing" : 0,
                    "failed" : 1,
                    "skipped" : 0,
                    "unsupported" : 0
                  }
                }
                """)
    }

    @Test func plans() throws {
        let step = { (host: HostName, action: Step.Action) in
            Step(host: host, role: "Compute", action: action, rule: "golden", priority: 50, ttlSeconds: 86400, reasons: ["tag golden"])
        }
        let site = SitePlan(
            site: "dcn1", via: .proxy, forks: 5, copiesAtOnce: 5,
            steps: [step("a", .fetch), step("b", .copy(from: "a", fallsBackToGlance: true)), step("c", .none(.dryRun))])
        let plan = Plan(image: facts, sites: [site])
        let row = { (host: String, action: String, source: String) in
            #"{"action":"\#(action)","host":"\#(host)","reasons":["tag golden"],"role":"Compute","rule":"golden","site":"dcn1","#
                + #""source":\#(source),"via":"proxy"}"#
        }
        let rows = [row("a", "fetch", #""glance""#), row("b", "copy", #""a""#), row("c", "none", "null")].joined(separator: ",")
        #expect(
            try ContractJSON.text(PlanReport([plan]), pretty: false)
                == #"{"images":[{"id":"07bc2424-753b-4f65-9da5-5a99d8383fe6","name":"image_0","placements":[\#(rows)]}]}"#)
        #expect(plan.touchesOnly.steps.map(\.host) == ["c"])
        #expect(plan.leftAlone.map(\.host) == ["a", "b"])
        #expect(plan.leftAlone.allSatisfy { $0.kind == .skipped && $0.reason?.isEmpty == false })
        var closed = plan
        closed.sites[0].steps[0].action = .none(.waiting(until: Date(timeIntervalSince1970: 1_700_000_000)))
        #expect(closed.leftAlone.map(\.host) == ["a", "b"], "a refresh waits for no window")
    }

    @Test func surveys() throws {
        let name = BaseFileName(of: image)
        let survey = HostSurvey(
            host: "a", surveyedAt: Date(timeIntervalSince1970: 0), clockSkewSeconds: 0.26, ttlSeconds: 60, imagesType: "qcow2",
            freeBytes: 9,
            tools: ["sftp", "curl", "container"], baseFiles: [BaseFile(name: name, bytes: 5, allocatedBytes: 4, ageSeconds: 3.9)])
        let hosts = ["a", "b"].map { ForecacheModel.Host(name: HostName($0), site: "dcn1", role: "Compute", address: "192.0.2.1") }
        let report = SurveyReport([(hosts[0], .surveyed(survey)), (hosts[1], .unreachable(reason: "no route"))], images: [name: image])
        #expect(
            try ContractJSON.text(report, pretty: false)
                == #"{"hosts":[{"base_files":[{"age_seconds":3,"allocated_bytes":4,"bytes":5,"image":"07bc2424-753b-4f65-9da5-5a99d8383fe6","name":"\#(name)"}],"#
                + #""clock_skew_seconds":0.3,"error":null,"format":"raw","free_bytes":9,"host":"a","images_type":"qcow2","reachable":true,"#
                + #""site":"dcn1","tools":["curl","sftp"],"ttl_seconds":60},{"base_files":[],"clock_skew_seconds":null,"error":"no route","format":null,"#
                + #""free_bytes":null,"host":"b","images_type":null,"reachable":false,"site":"dcn1","tools":[],"ttl_seconds":null}]}"#)
        #expect(report.hosts.map(\.missingTools) == [["qemu-img", "sha256sum", "sha512sum"], nil])
    }

    @Test func whatAPlanNeedsIsHeldAgainstWhatIsFree() throws {
        // 512 bytes of image, 4096 of disk: as raw it takes 512 more at least and 4096 more at most; 1000 are to stay free.
        let answers = try [(2023, false), (2024, nil), (5607, nil), (5608, true)].map { free, fits in
            var image = facts
            image.virtualSizeBytes = 4096
            var step = Step(host: "a", role: "Compute", action: .fetch, rule: "golden", priority: 50, ttlSeconds: 60, reasons: [])
            step.format = .raw
            let plan = Plan(
                image: image, sites: [SitePlan(site: "dcn1", via: .direct, forks: 1, copiesAtOnce: 1, keepFreeBytes: 1000, steps: [step])])
            let survey = HostSurvey(host: "a", surveyedAt: Date(timeIntervalSince1970: 0), freeBytes: Int64(free))
            let row = try #require(PlanTotals([plan], observed: ["a": .surveyed(survey)]).hosts.first)
            #expect([row.neededBytes, row.leastBytes, row.temporaryBytes, row.leftBytes] == [4096, 512, 512, Int64(free) - 4096])
            return row.fits == fits
        }
        #expect(answers == [true, true, true, true])
    }

    @Test func inventories() throws {
        let host = ForecacheModel.Host(name: "a", site: "dcn1", role: "Compute", address: "192.0.2.1", file: "i/dcn1.yaml")
        #expect(
            try ContractJSON.text(InventoryReport(Fleet(sites: [Site(name: "dcn1", hosts: [host])])), pretty: false)
                == #"{"sites":[{"hosts":[{"address":"192.0.2.1","file":"i/dcn1.yaml","name":"a","peer_address":null,"port":22,"role":"Compute","#
                + #""user":"tripleo-admin"}],"name":"dcn1"}]}"#)
    }

    @Test func events() throws {
        let line = EventListening.Line(
            receivedAt: Date(timeIntervalSince1970: 1_700_000_000), exchange: "glance", routingKey: "notifications.info", image: image,
            type: "image.upload", messageID: "m", publisher: nil, odd: nil)
        #expect(
            try ContractJSON.text(line, pretty: false)
                == #"{"exchange":"glance","image":"07bc2424-753b-4f65-9da5-5a99d8383fe6","message_id":"m","odd":null,"publisher":null,"#
                + #""received_at":"2023-11-14T22:13:20Z","routing_key":"notifications.info","type":"image.upload"}"#)
    }

    @Test func exitCodes() {
        let outcome = { (kind: OutcomeKind) in Outcome(image: image, site: "s", host: "h", kind: kind) }
        #expect(ExitStatus.code([], wasStopped: false) == 0)
        #expect(ExitStatus.code([outcome(.cached), outcome(.skipped), outcome(.unsupported)], wasStopped: false) == 0)
        #expect(ExitStatus.code([outcome(.cached), outcome(.failed)], wasStopped: false) == 2)
        #expect(ExitStatus.code([outcome(.failed)], wasStopped: false) == 1)
        var waiting = outcome(.skipped)
        waiting.againAt = Date(timeIntervalSince1970: 1_700_000_000)
        #expect(ExitStatus.code([waiting, waiting], wasStopped: false) == 1, "by hand nobody tries it again")
        #expect(ExitStatus.code([outcome(.cached), waiting], wasStopped: false) == 2)
        #expect(ExitStatus.code([outcome(.cached), outcome(.skipped)], wasStopped: true) == 2)
        #expect(ExitStatus.code([outcome(.skipped)], wasStopped: true) == 1)
        #expect(Refusal(Failure(.retriable, "x")).exitCode == 69)
        #expect(Refusal(Failure(.permanent, "x")).exitCode == 1)
    }
}
