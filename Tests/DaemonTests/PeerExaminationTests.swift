import Engine
import ForecacheModel
import FoundationEssentials
import Planning
import Testing

@testable import Daemon

/// What `doctor` makes of a peer's words, in which FILE stands for the path that it was asked for.
@Suite struct PeerExaminationTests {
    @Test(arguments: [
        "FILE: No such file",
        "File \"FILE\" not found.",
        "scp: FILE: No such file or directory",
    ]) func aPeerThatHasNoSuchFileCanBeCopiedFrom(_ said: String) async throws {
        #expect(try await levels(said) == [.ok, .ok])
    }

    @Test(arguments: [
        "Warning: Identity file /etc/nova/migration/identity not accessible: No such file or directory. nova@192.0.2.11: Permission denied",
        "OCI runtime exec failed: exec: \"sh\": executable file not found in $PATH",
        "FILE.0000000000000000.part: No such file or directory",
        "Host key verification failed.",
    ]) func whatElseIsMissingIsAFailure(_ said: String) async throws {
        #expect(try await levels(said) == [.fail, .fail])
    }

    private func levels(_ said: String) async throws -> [DoctorReport.Level] {
        let folder = try Folder()
        try folder.write(
            "inventory.yaml",
            """
            dcn1_nova_compute:
              hosts: { a0: { ansible_host: 192.0.2.10, internal_api_ip: 192.0.2.20 }, a1: { ansible_host: 192.0.2.11, internal_api_ip: 192.0.2.21 } }
              vars: { tripleo_role_name: Compute }
            dcn1: { children: { dcn1_nova_compute: {} } }
            """)
        var options = Setup.Options(environment: folder.environment)
        options.file = try folder.write("forecache.yaml", "inventory: [inventory.yaml]\nsites: { dcn1: { via: proxy } }\n")
        let setup = try Setup.load(options)
        let surveyed = setup.fleet.hosts.map {
            ($0.name, HostObservation.surveyed(HostSurvey(host: $0.name, surveyedAt: Date(timeIntervalSince1970: 0))))
        }
        let file = "\(setup.configuration.node.cacheDirectory)/\(BaseFileName(of: try #require(PeerExamination.nobodys)).text)"
        let examination = PeerExamination(setup: setup, hosts: Refusing(said: said.replacing("FILE", with: file)))
        return await examination.findings(Dictionary(surveyed) { first, _ in first }).map(\.level)
    }
}

/// Hosts that say the same of whatever they are asked.
private struct Refusing: HostOperations {
    var said: String
    private var failure: Failure { Failure(.retriable, "copy on a0 (192.0.2.10) failed: peer: 192.0.2.11: \(said)") }

    func survey(_ host: Host) async throws(Failure) -> HostSurvey { throw failure }
    func fetch(_ request: BaseFileRequest, with grant: DownloadGrant, on host: Host, progress: @escaping Progress) async throws(Failure)
        -> Transfer
    { throw failure }
    func receive(_ request: BaseFileRequest, from source: @escaping ByteSource, on host: Host, progress: @escaping Progress)
        async throws(Failure) -> Transfer
    { throw failure }
    func copy(_ request: BaseFileRequest, from source: Host, on host: Host, progress: @escaping Progress) async throws(Failure) -> Transfer
    { throw failure }
    func publish(_ request: BaseFileRequest, on host: Host) async throws(Failure) -> Bool { throw failure }
    func release(_ request: BaseFileRequest, on host: Host) async throws(Failure) { throw failure }
    func touch(_ names: [BaseFileName], on host: Host) async throws(Failure) -> [BaseFileName: Touch] { throw failure }
    func sweep(olderThanSeconds: Int, on host: Host) async throws(Failure) -> Int64 { throw failure }
}
