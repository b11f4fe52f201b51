import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import Testing

/// What a base file is made of is decided host by host, from the operator's choice, nova.conf and the image.
@Suite struct FormatTests {
    private func step(
        _ wanted: WantedFormat, forcesRaw: Bool?, diskFormat: String?, tools: Set<String> = ["qemu-img"], isContainerSilent: Bool = false
    ) throws -> Step {
        let fleet = Samples.fleet(sites: 1, hosts: 1)
        var image = Samples.image(1)
        image.diskFormat = diskFormat
        let host = fleet.hosts[0]
        let placement = Placement(
            image: image.id, site: host.site, role: host.role, host: host.name, rule: "r", mode: .enforce, deliver: DeliverySettings(),
            reasons: [])
        let survey = HostSurvey(
            host: host.name, surveyedAt: Date(timeIntervalSince1970: 0), forcesRawImages: forcesRaw, tools: tools,
            isContainerSilent: isContainerSilent)
        let plan = Planner.plan(
            Decision(image: image, placements: [placement]), fleet: fleet, observed: [host.name: .surveyed(survey)],
            defaults: PlanningDefaults(format: wanted))
        return try #require(plan.steps.first)
    }

    @Test func autoIsWhatNovaConfSays() throws {
        #expect(try step(.auto, forcesRaw: nil, diskFormat: "qcow2").format == .raw)
        #expect(try step(.auto, forcesRaw: true, diskFormat: "vmdk").format == .raw)
        #expect(try step(.auto, forcesRaw: false, diskFormat: "qcow2").format == .original)
        #expect(try step(.raw, forcesRaw: false, diskFormat: "qcow2").format == .raw)
        #expect(try step(.original, forcesRaw: true, diskFormat: "qcow2").format == .original)
    }

    @Test(arguments: ["raw", "ami", "aki", "ari", "iso"]) func whatIsRawToQEMUIsNeverConverted(format: String) throws {
        let step = try step(.raw, forcesRaw: true, diskFormat: format, tools: [])
        #expect(step.format == .original && step.action == .fetch)
    }

    @Test func whereItCannotBeMadeItIsRefused() throws {
        for (format, tools, word) in [("qcow2", Set<String>(), "qemu-img"), ("luks", ["qemu-img"], "LUKS")] {
            guard case .none(.refused(let reason)) = try step(.auto, forcesRaw: nil, diskFormat: format, tools: tools).action else {
                Issue.record("\(format) is not refused")
                continue
            }
            #expect(reason.contains(word))
        }
    }

    /// A container that restarts is no reason to wait as long as for a missing program.
    @Test func whereNovasContainerIsSilentItIsTriedAgain() throws {
        let step = try step(.auto, forcesRaw: nil, diskFormat: "qcow2", tools: [], isContainerSilent: true)
        guard case .none(.unreachable(let reason)) = step.action else { throw Failure(.permanent, "\(step.action)") }
        #expect(reason.contains("does not answer"))
        #expect(try self.step(.auto, forcesRaw: false, diskFormat: "qcow2", tools: [], isContainerSilent: true).action == .fetch)
    }

    @Test func theLimitHoldsForTheDiskAndForTheBytes() throws {
        var plan = Plan(
            image: Samples.image(1),
            sites: [
                SitePlan(
                    site: "dcn1", via: .direct, deliver: DeliverySettings(maxSizeBytes: 1 << 19), forks: 1, copiesAtOnce: 1,
                    steps: [Step(host: "h", role: "r", action: .fetch, rule: "r", priority: 1, ttlSeconds: 60, reasons: [])])
            ])
        let look = InspectedImage(qemuFormat: nil, virtualSizeBytes: 1, proof: RangeProof(ranges: [], sha256: ""))
        #expect(plan.inspected(look).refusals.count == 1)
        plan.sites[0].deliver.maxSizeBytes = 1 << 20
        #expect(plan.inspected(look).refusals.isEmpty)
    }
}
