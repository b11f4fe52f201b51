import ForecacheModel
import ForecacheTestSupport
import FoundationEssentials
import Planning
import Testing

@Suite struct RefreshScheduleTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)
    private let schedule = RefreshSchedule(atFraction: 0.6)

    private func seconds(_ image: Int, _ host: Int, ttl: Int = 1000) -> Double {
        let name = HostName("dcn\(host / 50)-compute-\(host % 50)")
        return schedule.refreshAt(touchedAt: now, ttlSeconds: ttl, image: Samples.imageID(image), host: name).timeIntervalSince(now)
    }

    @Test func refreshesComeAheadOfTheTTLAndAlwaysAtTheSameMoment() {
        for image in 0..<50 {
            for host in 0..<50 { #expect((480...600).contains(seconds(image, host))) }
        }
        #expect(seconds(7, 7) == seconds(7, 7))
    }

    /// 10,000 placements that became fresh together, one on each host: counted in a hundred parts of the time in which they come due.
    @Test func whatBecameFreshTogetherDoesNotComeDueTogether() {
        var parts = [Int](repeating: 0, count: 100)
        for host in 0..<10_000 { parts[min(99, max(0, Int((seconds(1, host, ttl: 86400) - 41472) / 103.68)))] += 1 }
        print("10,000 placements, due in hundredths of 2.9 h: \(parts.map(String.init).joined(separator: " "))")
        // 100 in each on average; the shares of host and image together leave the two ends thinner.
        #expect((parts.max() ?? 0) < 160)
        #expect(parts.dropFirst(10).dropLast(10).allSatisfy { $0 > 60 })
    }

    /// One log-in serves them all.
    @Test func theFilesOfOneHostComeDueCloseTogether() {
        let moments = (0..<100).map { seconds($0, 3, ttl: 86400) }
        let spread = (moments.max() ?? 0) - (moments.min() ?? 0)
        #expect(spread < schedule.takenAlongSeconds(ttlSeconds: 86400))
        #expect(spread > 600)
    }

    @Test func pausesNeverPassWhatIsLeftOfTheMargin() {
        for margin in stride(from: 2.0, to: 400_000, by: 37) {
            let pause = RefreshSchedule.pauseSeconds(margin: margin, shortest: 5)
            #expect(pause <= max(1, margin / 2) && pause <= 600 && pause >= 1)
        }
        // From the beginning of a day's margin, at least forty tries fit in.
        var (margin, tries) = (34_560.0, 0)
        while margin > 1 {
            margin -= RefreshSchedule.pauseSeconds(margin: margin, shortest: 5)
            tries += 1
        }
        #expect(tries > 40)
        #expect(RefreshSchedule.pauseSeconds(margin: 0, shortest: 5) == 600)
    }
}
