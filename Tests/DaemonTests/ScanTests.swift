import Engine
import ForecacheModel
import ForecacheTestSupport
import Inspection
import Planning
import Testing

@testable import Daemon

/// What `scan` says of base files that are safe in themselves, and of a whole look on a simulated host.
@Suite struct ScanTests {
    private func image(_ format: String, bytes: Int64 = 100) throws -> ImageFacts {
        let id = try #require(ImageID("07bc2424-753b-4f65-9da5-5a99d8383fe6"))
        return ImageFacts(id: id, diskFormat: format, sizeBytes: bytes)
    }

    private func file(bytes: Int64 = 100) throws -> BaseFile {
        BaseFile(name: try BaseFileName(of: image("raw").id), bytes: bytes, allocatedBytes: bytes, ageSeconds: 1)
    }

    @Test(arguments: [
        // what it is, what Glance declares, whether the host wants raw files, its size, and the verdict
        (DetectedFormat.raw, "raw", true, 100, ScanReport.Verdict.safe), (.gpt, "raw", true, 100, .safe), (.raw, "qcow2", true, 999, .safe),
        (.raw, "raw", true, 99, .odd), (.qcow2, "qcow2", true, 100, .odd), (.iso, "iso", true, 100, .safe),
        (.qcow2, "raw", true, 100, .unsafe), (.vmdk, "ami", false, 100, .unsafe), (.qcow2, "qcow2", false, 100, .safe),
        (.qcow2, "qcow2", false, 99, .odd), (.vhd, "qcow2", false, 100, .odd), (.raw, "qcow2", false, 100, .odd),
    ])
    func whatAFileIsIsHeldAgainstWhatItShouldBe(
        format: DetectedFormat, declared: String, forcesRaw: Bool, bytes: Int64, verdict: ScanReport.Verdict
    ) throws {
        let (found, reason) = BaseFileScan.verdict(on: format, try file(bytes: bytes), try image(declared), forcesRaw: forcesRaw)
        #expect(found == verdict)
        #expect((reason == nil) == (verdict == .safe))
    }

    @Test func aFileOfNoImageIsOddOnlyWhereNovaCouldNotUseIt() throws {
        #expect(BaseFileScan.verdict(on: .qcow2, try file(), nil, forcesRaw: false).0 == .safe)
        #expect(BaseFileScan.verdict(on: .raw, try file(), nil, forcesRaw: true).0 == .safe)
        #expect(BaseFileScan.verdict(on: .qcow2, try file(), nil, forcesRaw: true).0 == .odd)
    }

    @Test func aFileThatCannotBeReadIsSaid() async throws {
        let host = ForecacheModel.Host(name: "a", site: "dcn1", role: "Compute", address: "192.0.2.1")
        let scan = BaseFileScan(hosts: SimulatedFleet(clock: ManualClock()))
        let row = await scan.row(try file(), of: nil, on: host, forcesRaw: true)
        #expect(row.verdict == .unreadable)
        #expect(row.reason?.contains("there is no base file") == true)
    }
}
