import Engine
import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import Testing

/// What the surveyor keeps of a host, and what it answers of it.
@Suite struct SurveyorTests {
    private let first = Samples.imageID(1)
    private let second = Samples.imageID(2)

    @Test func anAnswerHoldsTheImagesOwnBaseFileWithItsAgeAsOfNow() async throws {
        let world = try World(sites: 1, hostsPerSite: 2)
        for number in [1, 2] { await world.catalog.put(Samples.image(number, tags: ["golden"])) }
        for id in [first, second] { _ = await world.reconciler.reconcile(id, cause: .event) }
        let hosts = world.policy.value.fleet.hosts
        world.clock.advance(by: .seconds(30))
        let before = try files(await world.surveyor.observations(of: hosts, for: first))
        #expect(before.map(\.name) == [BaseFileName(of: first), BaseFileName(of: first)])
        #expect(before.allSatisfy { abs($0.ageSeconds - 30) < 1 })
        // What is young is not asked for again.
        for host in hosts { await world.hosts.remove(second, from: host.name) }
        world.clock.advance(by: .seconds(10))
        let later = try files(await world.surveyor.observations(of: hosts, for: second))
        #expect(later.map(\.name) == [BaseFileName(of: second), BaseFileName(of: second)])
        #expect(later.allSatisfy { abs($0.ageSeconds - 40) < 1 })
        #expect(try files(await world.surveyor.observations(of: hosts, for: Samples.imageID(3))).isEmpty)
    }

    @Test func whatAnExecutorDidIsKnownAtOnceAndAForgottenHostIsAskedAgain() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        let host = try #require(world.policy.value.fleet.hosts.first)
        _ = await world.surveyor.observations(of: [host], for: first)
        for (id, bytes) in [(second, 2), (first, 1), (first, 7)] as [(ImageID, Int64)] {
            await world.surveyor.note(BaseFileName(of: id), bytes: bytes, on: host.name, at: world.clock.now.date)
        }
        #expect(try files(await world.surveyor.observations(of: [host], for: first)).map(\.bytes) == [7])
        #expect(try files(await world.surveyor.observations(of: [host], for: second)).map(\.bytes) == [2])
        await world.surveyor.forget(host.name)
        #expect(try files(await world.surveyor.observations(of: [host], for: first)).isEmpty)
    }

    @Test func aSilentContainerIsAskedForAgainSoon() async throws {
        let world = try World(sites: 1, hostsPerSite: 1)
        let host = try #require(world.policy.value.fleet.hosts.first)
        func isSilent() async -> Bool? {
            guard case .surveyed(let survey) = await world.surveyor.observations(of: [host], for: first)[host.name] else { return nil }
            return survey.isContainerSilent
        }
        await world.hosts.silenceContainer(true, on: host.name)
        #expect(await isSilent() == true)
        await world.hosts.silenceContainer(false, on: host.name)
        world.clock.advance(by: .seconds(Limits().awaySeconds - 1))
        #expect(await isSilent() == true)
        world.clock.advance(by: .seconds(2))
        #expect(await isSilent() == false)
    }

    @Test func aNameIsItsTwentyBytes() throws {
        let text = "00f0c48f35eace40ebcd33c4f256ef28b6860fbe"
        let name = try #require(BaseFileName(text))
        #expect(name.text == text)
        #expect(BaseFileName(text.uppercased()) == nil)
        #expect(BaseFileName(text + "0") == nil)
        #expect(BaseFileName("x" + text.dropFirst()) == nil)
        let texts = (0..<200).map { "\(BaseFileName(of: Samples.imageID($0)))" }
        #expect(texts.compactMap(BaseFileName.init).sorted().map(\.text) == texts.sorted())
    }

    private func files(_ observations: [HostName: HostObservation]) throws -> [BaseFile] {
        try observations.values.flatMap { observation in
            guard case .surveyed(let survey) = observation else { throw Failure(.fatal, "\(observation)") }
            return survey.baseFiles
        }
    }
}
