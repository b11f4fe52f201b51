import Engine
import ForecacheModel
import FoundationEssentials
public import Logging
import OpenStackAPI
import Rules

/// Every rule's word on one image, and the image's whereabouts. Speaks to Glance at most, never to a host.
public struct Explain: Sendable {
    private let setup: Setup
    private let environment: [String: String]

    public init(setup: Setup, environment: [String: String]) {
        self.setup = setup
        self.environment = environment
    }

    /// The image of an id or a unique name, as Glance has it now.
    public func report(onImage selector: String, logger: Logger, note: (String) -> Void) async throws(Refusal) -> ExplainReport {
        let choice = ImageChoice(policy: setup.policy, catalog: try Shells.catalog(setup, environment: environment, logger: logger))
        let image = try await choice.image(selector)
        return try await report(on: image, among: try await choice.rivals(), note)
    }

    /// An image from a file that holds Glance's JSON: without any service.
    public func report(onFile path: String, note: (String) -> Void) async throws(Refusal) -> ExplainReport {
        let files = OperatorFiles(environment: environment)
        switch files.text(files.absolute(path, from: ".")) {
        case .failure(let failure): throw .failed(failure)
        case .success(let text):
            let image: ImageFacts
            do throws(Failure) { image = try ImageDocument.read(text, file: path) } catch { throw .failed(error) }
            return try await report(on: image, among: nil, note)
        }
    }

    private func report(on image: ImageFacts, among rivals: Rivals?, _ note: (String) -> Void) async throws(Refusal) -> ExplainReport {
        let began: [String: Date]
        do throws(Failure) { began = try await setup.matchTimes(note: note)?.matchesBegan(image.id) ?? [:] } catch { throw Refusal(error) }
        let explanation = setup.rules.explain(image, fleet: setup.fleet, now: Date(), among: rivals, since: began)
        return ExplainReport(explanation, fleet: setup.fleet)
    }
}
