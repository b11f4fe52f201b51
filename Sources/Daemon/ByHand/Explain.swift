import ForecacheModel
import FoundationEssentials
public import Logging
import OpenStackAPI
import Rules
import SQLiteLedger
import SSHFleet

/// Every rule's word on one image, and the image's whereabouts. Speaks to Glance at most, never to a host.
public struct Explain: Sendable {
    private let setup: Setup
    private let environment: [String: String]

    public init(setup: Setup, environment: [String: String]) {
        self.setup = setup
        self.environment = environment
    }

    /// The image of an id or a unique name, as Glance has it now.
    public func report(onImage selector: String, logger: Logger) async throws(Refusal) -> ExplainReport {
        let shells = try Shells.open(setup, environment: environment, logger: logger)
        let byHand = ByHand(
            policy: setup.policy, limits: setup.configuration.limits, peerNetwork: setup.configuration.peer.network,
            catalog: shells.catalog, hosts: shells.hosts, logger: logger)
        let found: Result<([ImageFacts], Rivals?), Refusal>
        do throws(Refusal) { found = .success((try await byHand.images([selector]), try await byHand.rivals())) } catch {
            found = .failure(error)
        }
        await shells.hosts.close()
        let (images, rivals) = try found.get()
        guard let image = images.first else { throw .failed(Failure(.permanent, "no image '\(selector.printable)' in Glance")) }
        return report(on: image, among: rivals, since: await began(image.id))
    }

    /// An image from a file that holds Glance's JSON: without any service.
    public func report(onFile path: String) throws(Refusal) -> ExplainReport {
        let files = OperatorFiles(environment: environment)
        switch files.text(files.absolute(path, from: ".")) {
        case .failure(let failure): throw .failed(failure)
        case .success(let text):
            do throws(Failure) { return report(on: try ImageDocument.read(text, file: path)) } catch { throw .failed(error) }
        }
    }

    /// As the service's ledger has it. Without one, or with one that cannot be read, the image is explained as if every match began now, and says until when.
    private func began(_ id: ImageID) async -> [String: Date] {
        guard setup.rules.lasts, FileManager.default.fileExists(atPath: setup.configuration.state) else { return [:] }
        do throws(Failure) { return try await SQLiteLedger.reading(path: setup.configuration.state).matchesBegan(id) } catch { return [:] }
    }

    private func report(on image: ImageFacts, among rivals: Rivals? = nil, since began: [String: Date] = [:]) -> ExplainReport {
        let explanation = setup.rules.explain(image, fleet: setup.fleet, now: Date(), among: rivals, since: began)
        return ExplainReport(explanation, fleet: setup.fleet)
    }
}
