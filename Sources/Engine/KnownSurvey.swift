import ForecacheModel
import FoundationEssentials

/// A survey as the surveyor keeps it: 32 bytes a base file, found by binary search, so that hundreds of hosts with thousands of base files cost tens of MiB
/// and a question about one image copies nothing but that image's base file.
struct KnownSurvey: Sendable {
    /// Everything but the base files.
    private let survey: HostSurvey
    /// In the order of their names.
    private var files: [KnownFile]

    private struct KnownFile: Sendable {
        var name: BaseFileName
        var age: Float
        var bytes: Int64
    }

    init(_ survey: HostSurvey) {
        files = survey.baseFiles.map { KnownFile(name: $0.name, age: Float($0.ageSeconds), bytes: $0.bytes) }
        files.sort { $0.name < $1.name }
        var rest = survey
        rest.baseFiles = []
        self.survey = rest
    }

    var surveyedAt: Date { survey.surveyedAt }
    var isContainerSilent: Bool { survey.isContainerSilent }

    /// The survey as it would read at a later moment if nothing else changed, with this one of its base files.
    func about(_ name: BaseFileName, at now: Date) -> HostSurvey {
        let passed = now.timeIntervalSince(survey.surveyedAt)
        var later = survey
        later.surveyedAt = now
        let (place, isKnown) = find(name)
        if isKnown {
            let file = files[place]
            later.baseFiles = [
                BaseFile(name: name, bytes: file.bytes, allocatedBytes: file.bytes, ageSeconds: Double(file.age) + passed)
            ]
        }
        return later
    }

    /// The base file is there with age 0 from `moment` on. False where its `bytes` are neither told nor known.
    mutating func note(_ name: BaseFileName, bytes: Int64?, at moment: Date) -> Bool {
        let (place, isKnown) = find(name)
        guard let bytes = bytes ?? (isKnown ? files[place].bytes : nil) else { return false }
        let file = KnownFile(name: name, age: Float(survey.surveyedAt.timeIntervalSince(moment)), bytes: bytes)
        if isKnown { files[place] = file } else { files.insert(file, at: place) }
        return true
    }

    /// Where the name is, or would be.
    private func find(_ name: BaseFileName) -> (place: Int, isKnown: Bool) {
        var (low, high) = (0, files.count)
        while low < high {
            let middle = (low + high) / 2
            if files[middle].name < name { low = middle + 1 } else { high = middle }
        }
        return (low, low < files.count && files[low].name == name)
    }
}
